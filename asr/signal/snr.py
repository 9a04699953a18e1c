"""How far each moment of a recording stands out from its background noise.

Shapes: S samples, T frames, B frequency bands.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_HOP_SECONDS = 0.01
_WINDOW_SECONDS = 0.025
_EDGES_HZ = (*range(100, 4000, 250), 4000, 5000, 6000, 7000, 8000)
"""Of the frequency bands, of which those below half of the sample rate are used. Bands of equal
width have estimates of equal variance; below 100 Hz there is hum and rumble, and no speech."""
_SMOOTHED_FRAMES = 7
"""70 ms, about a short sound of speech: the power of noise varies less when it is averaged."""
_CHUNK_FRAMES = 10
"""The noise is estimated for this many frames together."""
_CHUNKS_OF_NOISE = 30
"""3 s. A band is quiet now and then within so many words, even amid speech."""
_CHUNKS_TO_BEGIN = 10
"""1 s of sound is waited for before the noise of its first moments is known."""
_LEAST_TO_MEAN = 1.35
"""The mean power of stationary noise, of which the least of 30 chunks is an estimate too low."""
_SILENCE_DB = -90.0
"""Noise below this is that of 16-bit quantisation, if any: it says nothing about the background."""
_LARGEST_DB = 8.0
"""Larger ratios count as this: a tone stands out in one band or two, a voice in many."""
_CHUNKS_AT_A_TIME = 100


class FrameSnr:
    """The signal-to-noise ratio of each 10 ms of a waveform that comes in blocks of any sizes.

    The noise in a band is the least power that the band had in 0.1 s of the last 3 s (minimum
    statistics, Martin 2001). Digital silence has no part in this. The ratio of a frame is the root
    mean square over the bands of their ratios in dB, each between 0 and 8: in stationary noise of
    any level and colour about 1, and above 2 for less than a frame in 10,000. A frame without any
    sound has -inf.

    Frame `i` is centred at sample `(i + 0.5) * hop`. Results come at most 0.15 s after the sound,
    those of the first second after a second. Memory use is bounded by the largest block.
    """

    def __init__(self, sample_rate: int) -> None:
        self.hop = round(_HOP_SECONDS * sample_rate)
        """Samples from one frame to the next."""
        length = round(_WINDOW_SECONDS * sample_rate)
        self._size = 1 << (length - 1).bit_length()
        edges_hz = [hz for hz in _EDGES_HZ if hz <= sample_rate / 2]
        self._edges = [round(hz * self._size / sample_rate) for hz in edges_hz]
        window = torch.hann_window(length)
        self._window = window
        energy = float(window.square().sum())
        self._widths = np.diff(self._edges).astype(np.float32)[:, None] * energy
        self._silence = np.float32(10 ** (_SILENCE_DB / 10))
        self._held = torch.zeros((self._size - self.hop) // 2)
        self._samples = self._scored = 0
        # The mean of seven frames belongs to the one in their middle, three before the last.
        self._early = _SMOOTHED_FRAMES // 2
        self._first_frames: NDArray[np.float32] | None = self._no_frames()
        self._last_frames = np.zeros((len(self._widths), _SMOOTHED_FRAMES - 1), np.float32)
        self._noise = np.full((len(self._widths), _CHUNKS_OF_NOISE), np.inf, np.float32)

    def feed(self, block: Tensor) -> NDArray[np.float32]:
        """Ratios `(T,)` in dB of the frames that the next samples `(S,)` complete."""
        self._samples += len(block)
        self._held = torch.cat((self._held, block))
        ratios = [np.zeros(0, np.float32)]
        chunk = _CHUNK_FRAMES * self.hop
        while (chunks := (len(self._held) - self._size + self.hop) // chunk) > 0:
            samples = min(chunks, _CHUNKS_AT_A_TIME) * chunk
            ratios.append(self._feed(self._powers(self._held[: samples + self._size - self.hop])))
            self._held = self._held[samples:]
        # A copy: otherwise the whole block would be kept for its end.
        self._held = self._held.clone()
        return np.concatenate(ratios)

    def finish(self) -> NDArray[np.float32]:
        """Ratios `(T,)` of the last frames: in all there are `ceil(S / hop)`."""
        missing = -(-self._samples // self.hop) - self._scored
        # Silence follows until the last frame is out of reach of every window.
        chunks = -(-missing // _CHUNK_FRAMES) + 2
        ratios = self.feed(torch.zeros(chunks * _CHUNK_FRAMES * self.hop))
        if self._first_frames is not None:
            ratios = np.concatenate((ratios, self._begin(self._first_frames)))
        return ratios[:missing]

    def _no_frames(self) -> NDArray[np.float32]:
        return np.zeros((len(self._widths), 0), np.float32)

    def _powers(self, samples: Tensor) -> NDArray[np.float32]:
        """The power `(B, T)` in each band of each frame, as that of white noise would be."""
        spectrum = torch.stft(
            samples,
            self._size,
            self.hop,
            len(self._window),
            self._window,
            center=False,
            return_complex=True,
        )
        bins = (spectrum.real.square() + spectrum.imag.square()).numpy()
        edges = self._edges
        powers = np.add.reduceat(bins[: edges[-1]], edges[:-1], axis=0) / self._widths
        return np.asarray(powers)

    def _feed(self, powers: NDArray[np.float32]) -> NDArray[np.float32]:
        """The ratios `(T,)` that follow when the powers `(B, T)` of some chunks are known."""
        if self._first_frames is None:
            return self._ratios(powers)
        # Nothing is known of the noise until it has been heard for a second.
        frames = np.concatenate((self._first_frames, powers), axis=1)
        audible = np.flatnonzero(self._audible(frames))
        silent = audible[0] * _CHUNK_FRAMES if len(audible) else frames.shape[1]
        silence, self._first_frames = frames[:, :silent], frames[:, silent:]
        ratios = self._ratios(silence)
        if self._first_frames.shape[1] < _CHUNKS_TO_BEGIN * _CHUNK_FRAMES:
            return ratios
        return np.concatenate((ratios, self._begin(self._first_frames)))

    def _begin(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """The ratios when the first second `(B, T)`, or all that there is, has been heard."""
        first = frames[:, : _CHUNKS_TO_BEGIN * _CHUNK_FRAMES]
        noise = self._chunks(first)[:, self._audible(first)]
        if noise.shape[1]:
            self._noise[:, -1] = noise.min(axis=1)
        self._first_frames = None
        return self._ratios(frames)

    def _ratios(self, powers: NDArray[np.float32]) -> NDArray[np.float32]:
        noise = np.repeat(self._next_noise(powers), _CHUNK_FRAMES, axis=1)
        count = powers.shape[1]
        frames = np.concatenate((self._last_frames, powers), axis=1)
        self._last_frames = frames[:, count:]
        # Shifted sums, not a running one: the result must not depend on what came before.
        smoothed = frames[:, :count].copy()
        for shift in range(1, _SMOOTHED_FRAMES):
            smoothed += frames[:, shift : shift + count]
        smoothed /= _SMOOTHED_FRAMES
        decibels = 10 * np.log10(np.maximum(smoothed / noise, np.float32(1)))
        np.minimum(decibels, np.float32(_LARGEST_DB), out=decibels)
        ratios = np.sqrt(np.square(decibels).mean(axis=0))
        centres = frames[:, _SMOOTHED_FRAMES // 2 :][:, :count]
        ratios[(centres <= self._silence).all(axis=0)] = -np.inf
        early = min(self._early, count)
        self._early -= early
        self._scored += count - early
        return np.asarray(ratios[early:])

    def _next_noise(self, powers: NDArray[np.float32]) -> NDArray[np.float32]:
        """The power `(B, chunks)` of the noise in each of some chunks, of powers `(B, T)`."""
        audible = self._audible(powers)
        heard = np.concatenate((self._noise, self._chunks(powers)[:, audible]), axis=1)
        least = np.lib.stride_tricks.sliding_window_view(heard, _CHUNKS_OF_NOISE, axis=1)
        self._noise = heard[:, heard.shape[1] - _CHUNKS_OF_NOISE :]
        noise = np.maximum(least.min(axis=2) * np.float32(_LEAST_TO_MEAN), self._silence)
        return np.asarray(noise[:, np.cumsum(audible)])

    def _chunks(self, powers: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(powers.reshape(len(powers), -1, _CHUNK_FRAMES).mean(axis=2))

    def _audible(self, powers: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Whether each chunk has sound throughout: half of one would be too low an estimate."""
        sound = (powers > self._silence).any(axis=0)
        return np.asarray(sound.reshape(-1, _CHUNK_FRAMES).all(axis=1))
