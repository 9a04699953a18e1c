"""A recogniser measured on a manifest."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from asr.corpus.manifest import Utterance
from asr.errors import AudioError
from asr.recognizer import Recognizer
from asr.scoring.wer import AlignedUtterance, Score, align, summarise

_log = logging.getLogger("asr.evaluation")


@dataclass(frozen=True)
class Evaluation:
    """Figures and transcripts of a recogniser on a manifest."""

    score: Score
    aligned: list[AlignedUtterance]
    hypotheses: dict[str, str]
    real_time_factor: float
    """Seconds of work (reading, features, model, search) for each second of audio."""
    failures: dict[str, str]
    """Id and reason of each utterance whose audio could not be read; scored as all deleted."""


def evaluate(
    recognizer: Recognizer,
    utterances: Sequence[Utterance],
    beam_size: int = 1,
    by_speaker: bool = False,
    advance: Callable[[], object] = lambda: None,
) -> Evaluation:
    """Transcribe and score every utterance, one at a time; `advance` is called after each."""
    hypotheses: dict[str, str] = {}
    failures: dict[str, str] = {}
    worked = heard = 0.0
    for utterance in utterances:
        try:
            transcript = recognizer.transcribe(utterance.audio_filepath, beam_size=beam_size)
        except AudioError as error:
            _log.error("%s: %s", utterance.id, error)
            failures[utterance.id] = str(error)
        else:
            hypotheses[utterance.id] = transcript.text
            worked += transcript.processing_seconds
            heard += transcript.duration_seconds
        advance()
    aligned = align({u.id: u.text for u in utterances}, hypotheses, missing_as_empty=True)
    speakers = {u.id: u.speaker or u.id for u in utterances} if by_speaker else None
    return Evaluation(
        score=summarise(aligned, speakers),
        aligned=aligned,
        hypotheses=hypotheses,
        real_time_factor=worked / heard if heard else 0.0,
        failures=failures,
    )
