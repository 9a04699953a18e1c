"""A recording and its known transcript brought together: when each word is said, and whether."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from asr.corpus.manifest import Utterance
from asr.corpus.recordings import read_utterance
from asr.decode.align import viterbi_align
from asr.decode.timing import FrameClock, frame_clock, match, time_words
from asr.errors import TextError
from asr.inference.recognizer import Recognizer
from asr.signal import audio
from asr.text.timed import TimedWord
from asr.text.tokens import TokenTable


@dataclass(frozen=True)
class AlignedRecording:
    """What is said in a recording, and when."""

    text: str
    words: tuple[TimedWord, ...]
    duration_seconds: float
    log_score: float
    """Natural log-probability of the likeliest path through the transcript."""
    match: float
    """From 0 to 1, how well the transcript fits the recording: `timing.match` over all of it."""


def align_recording(
    recognizer: Recognizer,
    recording: str | Path | Utterance,
    text: str,
    raw: audio.RawFormat | None = None,
) -> AlignedRecording:
    """Align an audio file of any length, or an utterance of a manifest, with its transcript.

    Times count from the beginning of the utterance. White space parts words, however much of it.
    `raw` describes a headerless file. Raises AudioError on a recording that cannot be read, and
    TextError, naming the file, on a transcript that is empty, that the token table cannot spell, or
    that is longer than the audio allows.
    """
    path = recording.audio_filepath if isinstance(recording, Utterance) else recording
    if isinstance(recording, Utterance) and raw is None:
        waveform, _ = read_utterance(recording, recognizer.sample_rate)
    else:
        waveform, _ = audio.read(path, recognizer.sample_rate, raw)
    clock = frame_clock(recognizer.extractor.config, recognizer.model.config)
    duration_seconds = len(waveform) / recognizer.sample_rate
    try:
        return align_emissions(
            recognizer.log_probs(waveform), recognizer.tokens, text, clock, duration_seconds
        )
    except TextError as error:
        raise TextError(f"{path}: {error}") from error


def align_emissions(
    log_probs: Tensor, table: TokenTable, text: str, clock: FrameClock, duration_seconds: float
) -> AlignedRecording:
    """Align emissions `(T, C)` at the times of `clock` with a transcript.

    Raises TextError as `align_recording` does.
    """
    text = " ".join(text.split())
    if not text:
        raise TextError("the transcript is empty; expected the words that are said")
    alignment = viterbi_align(log_probs, table.encode(text))
    return AlignedRecording(
        text=text,
        words=tuple(time_words(alignment, table, clock, duration_seconds)),
        duration_seconds=duration_seconds,
        log_score=alignment.log_score,
        match=match(alignment.log_ratios, len(alignment.tokens)),
    )
