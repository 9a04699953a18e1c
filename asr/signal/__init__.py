"""Audio and features.

In: audio files (WAV, FLAC, Ogg, MP3 and others), or mono waveforms `(S,)`.
Out: mono float32 waveforms at the rate asked for (`audio`), features `(T, F)` for the encoder
(`features`), and randomly changed versions of both for training (`augment`, `spec_augment`).

Nothing is believed about a file until it is checked (`audio_file`, `containers`); `dsp` is the only
module that imports torchaudio.
"""
