"""A recogniser measured on a manifest."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Unpack

import torch

from asr.corpus.manifest import Utterance
from asr.decode.decoder import Decoder
from asr.errors import AudioError
from asr.inference.options import DecodingKeywords
from asr.inference.recognizer import Recognizer
from asr.inference.transcript import Transcript
from asr.scoring.calibration import correct_words
from asr.scoring.nonspeech import NonSpeech, nonspeech
from asr.scoring.rejection import Rejections, count_rejections
from asr.scoring.wer import (
    AlignedUtterance,
    ErrorCounts,
    Score,
    align,
    check_speakers,
    summarise,
    word_errors,
)
from asr.text.unwritable import find_unwritable

_log = logging.getLogger("asr.inference")


@dataclass(frozen=True)
class Evaluation:
    """Figures and transcripts of a recogniser on a manifest."""

    aligned: list[AlignedUtterance]
    """Every utterance that was not rejected; error rates are theirs."""
    rejected: list[AlignedUtterance]
    """Those that were rejected, with the texts that they would have got otherwise."""
    transcripts: dict[str, Transcript]
    real_time_factor: float
    """Seconds that all of it took (reading, features, model, search) for each second of audio."""
    failures: dict[str, str]
    """Id and reason of each utterance whose audio could not be read; scored as all deleted."""
    speakers: Mapping[str, str] | None
    """The speaker of each utterance if the bootstrap draws speakers; None: it draws utterances."""

    @cached_property
    def score(self) -> Score:
        """The error rates. Raises ManifestError as `summarise` does, as where nothing is said."""
        return summarise(self.aligned, self.speakers)

    @cached_property
    def nonspeech(self) -> NonSpeech | None:
        """What was written where nothing is said; None where each utterance says something.

        A recording that could not be read does not count.
        """
        seconds = {key: t.duration_seconds for key, t in self.transcripts.items()}
        nothing = ErrorCounts(0, 0, 0, 0)
        silent = [
            AlignedUtterance(u.id, (), nothing, nothing) for u in self.rejected if not u.words.words
        ]
        return nonspeech([*self.aligned, *silent], seconds)

    @property
    def rejections(self) -> Rejections:
        """How many utterances were rejected, and whether rightly."""
        return count_rejections(self.aligned, self.rejected)

    @property
    def hypotheses(self) -> dict[str, str]:
        """Id and text of each utterance that was transcribed."""
        return {key: transcript.text for key, transcript in self.transcripts.items()}

    def word_confidences(self) -> tuple[list[float], list[bool]]:
        """Of every word of a hypothesis its confidence, and whether it is right.

        Needs transcripts with word timestamps.
        """
        confidences, correct = [], []
        for utterance in self.aligned:
            if utterance.id in self.transcripts:
                words = self.transcripts[utterance.id].words
                confidences += [word.confidence or 0.0 for word in words]
                correct += correct_words(utterance)
        return confidences, correct

    def oracle_wer(self) -> float:
        """The WER if of each utterance's N-best texts the one with fewest errors were chosen."""
        errors = 0
        for utterance in self.aligned:
            reference = " ".join(word for word, _ in utterance.pairs if word is not None)
            transcript = self.transcripts.get(utterance.id)
            others = transcript.nbest if transcript else ()
            counts = [word_errors(reference, other.text).errors for other in others]
            errors += min([utterance.words.errors, *counts])
        return errors / self.score.words


def evaluate(
    recognizer: Recognizer,
    utterances: Sequence[Utterance],
    *,
    by_speaker: bool = False,
    advance: Callable[[], object] = lambda: None,
    word_timestamps: bool = False,
    decoder: Decoder | None = None,
    **options: Unpack[DecodingKeywords],
) -> Evaluation:
    """Transcribe and score every utterance, in batches; `advance` is called after each.

    A second of silence goes first, so that what is done once only, such as compiling the search,
    is not part of the real-time factor.

    `word_timestamps`, `decoder` and the decoding options are as in `Recognizer.transcribe`.
    """
    if found := find_unwritable([u.text for u in utterances], recognizer.tokens):
        _log.warning("%s; until then each of these words counts as an error", found)
    speakers = {u.id: u.speaker or u.id for u in utterances} if by_speaker else None
    if speakers:
        check_speakers([u.id for u in utterances if u.text], speakers)
    heard: dict[str, Transcript] = {}
    failures: dict[str, str] = {}
    decoder = decoder or recognizer.prepare(**options).decoder
    silence = torch.zeros(recognizer.sample_rate)
    recognizer.transcribe(
        silence, recognizer.sample_rate, word_timestamps=word_timestamps, decoder=decoder
    )
    started = time.perf_counter()
    outcomes = recognizer.transcribe_all(
        utterances, word_timestamps=word_timestamps, decoder=decoder
    )
    for number, outcome in outcomes:
        key = utterances[number].id
        if isinstance(outcome, Transcript):
            heard[key] = outcome
        elif isinstance(outcome, AudioError):
            _log.error("%s: %s", key, outcome)
            failures[key] = str(outcome)
        else:
            raise outcome
        advance()
    processing_seconds = time.perf_counter() - started
    transcripts = {u.id: heard[u.id] for u in utterances if u.id in heard}
    audio_seconds = sum(transcript.duration_seconds for transcript in transcripts.values())
    hypotheses = {key: _text_if_accepted(transcript) for key, transcript in transcripts.items()}
    aligned = align({u.id: u.text for u in utterances}, hypotheses, missing_as_empty=True)
    rejected = {key for key, transcript in transcripts.items() if transcript.rejected}
    return Evaluation(
        aligned=[utterance for utterance in aligned if utterance.id not in rejected],
        rejected=[utterance for utterance in aligned if utterance.id in rejected],
        transcripts=transcripts,
        real_time_factor=processing_seconds / audio_seconds if audio_seconds else 0.0,
        failures=failures,
        speakers=speakers,
    )


def _text_if_accepted(transcript: Transcript) -> str:
    """The text that a transcript would have if nothing were rejected."""
    if transcript.rejected and transcript.nbest:
        return transcript.nbest[0].text
    return transcript.text
