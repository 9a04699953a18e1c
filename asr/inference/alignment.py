"""Forced alignment of a recording with its known transcript: when each word is said, how surely."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Unpack

from torch import Tensor

from asr.corpus.manifest import Utterance
from asr.corpus.recordings import read_utterance
from asr.decode.align import viterbi_align
from asr.decode.confidence import VOTERS, word_confidences
from asr.decode.decoder import Decoder
from asr.decode.timing import FrameClock, match, time_words
from asr.errors import TextError
from asr.inference.decoding import with_confidences
from asr.inference.options import DecodingKeywords
from asr.inference.recognizer import Recognizer
from asr.signal import audio
from asr.text.normal import normal_form
from asr.text.timed import TimedWord
from asr.text.tokens import TokenTable


@dataclass(frozen=True)
class AlignedRecording:
    """A known transcript with the times of its words."""

    text: str
    words: tuple[TimedWord, ...]
    duration_seconds: float
    log_score: float
    """Natural log-probability of the likeliest path through the transcript."""
    match: float
    """From 0 to 1, how well the transcript fits the recording: `timing.match` over all of it."""
    damage: tuple[str, ...] = ()
    """What is wrong with a damaged recording, of which this is what was left."""


def align_recording(
    recognizer: Recognizer,
    recording: str | Path | Utterance,
    text: str,
    raw: audio.RawFormat | None = None,
    *,
    damaged: Literal["refuse", "read"] = "refuse",
    decoder: Decoder | None = None,
    **options: Unpack[DecodingKeywords],
) -> AlignedRecording:
    """Align an audio file of any length, or an utterance of a manifest, with its transcript.

    Times count from the beginning of the utterance. Any amount of white space separates words. The
    confidence of a word is how surely it was said, judged as in `Recognizer.transcribe`: by the
    emissions, and by the hypotheses that the decoder finds (`decoder`, or the decoding options, by
    default with the checkpoint's own language model). `raw` describes a headerless file. Of a
    damaged recording, `damaged="read"` reads what is left.

    Raises AudioError on a recording that cannot be read, and TextError, naming the file, on a
    transcript that is empty, that the token table cannot spell, or that is longer than the audio
    allows.
    """
    damage: list[str] | None = [] if damaged == "read" else None
    path = recording.audio_filepath if isinstance(recording, Utterance) else recording
    if isinstance(recording, Utterance) and raw is None:
        waveform, _ = read_utterance(recording, recognizer.sample_rate, damage)
    else:
        waveform, _ = audio.read(path, recognizer.sample_rate, raw, damage=damage)
    decoder = decoder or recognizer.prepare(**options).decoder
    duration_seconds = len(waveform) / recognizer.sample_rate
    try:
        aligned = align_emissions(
            recognizer.log_probs(waveform),
            recognizer.tokens,
            text,
            recognizer.clock,
            duration_seconds,
            decoder,
        )
    except TextError as error:
        raise TextError(f"{path}: {error}") from error
    return dataclasses.replace(aligned, damage=tuple(damage or ()))


def align_emissions(
    log_probs: Tensor,
    table: TokenTable,
    text: str,
    clock: FrameClock,
    duration_seconds: float,
    decoder: Decoder | None = None,
) -> AlignedRecording:
    """Align emissions `(T, C)` at the times of `clock` with a transcript.

    Without a decoder the confidence of a word is its own `match`. Raises TextError as
    `align_recording` does.
    """
    text = normal_form(text)
    if not text:
        raise TextError("the transcript is empty; expected the words that are said")
    alignment = viterbi_align(log_probs, table.encode(text))
    words = time_words(alignment, table, clock, duration_seconds)
    if decoder is not None:
        hypotheses = decoder(log_probs, at_least=VOTERS)
        confidences = word_confidences(log_probs, alignment, hypotheses, table)
        words = with_confidences(words, decoder.calibration.apply(confidences))
    return AlignedRecording(
        text=text,
        words=tuple(words),
        duration_seconds=duration_seconds,
        log_score=alignment.log_score,
        match=match(alignment.log_ratios, len(alignment.tokens)),
    )
