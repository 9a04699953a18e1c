"""Word, character and sentence error rates of utterances joined by id.

Counts come from jiwer's minimal alignment with unit costs (Levenshtein 1966). The number of errors
is unique, but its split into substitutions, deletions and insertions is not: sclite, whose costs
are 4/3/3, may count them differently. Words are compared as written, after Unicode NFC and with any
run of white space as one separator: case and punctuation count.
"""

import logging
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

import jiwer

from asr.errors import ManifestError
from asr.scoring import bootstrap
from asr.scoring.alternatives import nearest_wording, without_parentheses
from asr.text.normal import normal_form

Pair = tuple[str | None, str | None]
"""A reference word beside a hypothesis word; None where one of them has no partner. An optional
word of the reference that was left out stands beside an empty text, and is no error."""

_logger = logging.getLogger(__name__)
_NAMED_IDS = 5


@dataclass(frozen=True)
class ErrorCounts:
    """The differences between a hypothesis and its reference, in words or in characters."""

    hits: int
    substitutions: int
    deletions: int
    insertions: int

    @property
    def words(self) -> int:
        """Length of the reference, in the unit that was counted."""
        return self.hits + self.substitutions + self.deletions

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors per reference unit; above 1 where there are many insertions.

        Raises ManifestError if the reference is empty: its rate is undefined, although its
        insertions count in the rate of a corpus.
        """
        if self.words == 0:
            raise ManifestError(
                "the error rate of an empty reference is undefined; score it together with "
                "utterances that have words"
            )
        return self.errors / self.words

    def __add__(self, other: "ErrorCounts") -> "ErrorCounts":
        return ErrorCounts(
            self.hits + other.hits,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
        )


_NONE = ErrorCounts(0, 0, 0, 0)


@dataclass(frozen=True)
class AlignedUtterance:
    """One utterance, its reference and hypothesis aligned word by word."""

    id: str
    pairs: tuple[Pair, ...]
    words: ErrorCounts
    characters: ErrorCounts


@dataclass(frozen=True)
class Score:
    """Error rates of a corpus, as fractions: errors summed over utterances / units summed."""

    wer: float
    cer: float
    ser: float
    """Share of the utterances with at least one word wrong."""
    wer_interval: tuple[float, float]
    """95 % percentile bootstrap interval of the WER."""
    words: int
    substitutions: int
    deletions: int
    insertions: int
    utterances: int
    resampled: Literal["utterances", "speakers"] = "utterances"
    """What the bootstrap drew."""


def word_errors(reference: str, hypothesis: str) -> ErrorCounts:
    """Count word errors of one utterance; either text may be empty."""
    output = jiwer.process_words(normal_form(reference), normal_form(hypothesis))
    return _counts(output.alignments[0])


def character_errors(reference: str, hypothesis: str) -> ErrorCounts:
    """Count character errors of one utterance; the space between two words is a character."""
    output = jiwer.process_characters(normal_form(reference), normal_form(hypothesis))
    return _counts(output.alignments[0])


def align(
    references: Mapping[str, str],
    hypotheses: Mapping[str, str],
    *,
    missing_as_empty: bool = False,
    alternatives: bool = False,
) -> list[AlignedUtterance]:
    """Align every utterance with the hypothesis of the same id, in the order of the references.

    Raises ManifestError if there is no reference, or if the two do not name the same utterances.
    With `missing_as_empty` a reference without a hypothesis counts as deleted, with a warning: the
    fair score of a recogniser that failed on a file. With `alternatives` the references are in
    sclite's notation (see `asr.scoring.alternatives`): the nearest wording is scored.
    """
    _check_ids(references, hypotheses, missing_as_empty)
    expected = [normal_form(text) for text in references.values()]
    found = [normal_form(hypotheses.get(key, "")) for key in references]
    left_out: list[tuple[tuple[int, str], ...]] = [()] * len(expected)
    if alternatives:
        found = [" ".join(without_parentheses(text.split())) for text in found]
        wordings = [
            nearest_wording(text, other.split())
            for text, other in zip(expected, found, strict=True)
        ]
        expected = [" ".join(wording.words) for wording in wordings]
        left_out = [wording.left_out for wording in wordings]
    words = jiwer.process_words(expected, found)
    characters = jiwer.process_characters(expected, found)
    return [
        _with_optional(
            AlignedUtterance(
                key, _pairs(reference, hypothesis, chunks), _counts(chunks), _counts(fine)
            ),
            optional,
        )
        for key, reference, hypothesis, chunks, fine, optional in zip(
            references,
            words.references,
            words.hypotheses,
            words.alignments,
            characters.alignments,
            left_out,
            strict=True,
        )
    ]


def summarise(
    aligned: Sequence[AlignedUtterance],
    speakers: Mapping[str, str] | None = None,
    *,
    resamples: int = bootstrap.RESAMPLES,
    seed: int = 0,
) -> Score:
    """Pool aligned utterances into corpus rates; with `speakers` (id → speaker) resample those.

    Words in the hypothesis of an empty reference count as insertions; such an utterance needs no
    speaker. Raises ManifestError if no reference has words, if a speaker is missing, and if there
    is only one.
    """
    words = sum((utterance.words for utterance in aligned), _NONE)
    characters = sum((utterance.characters for utterance in aligned), _NONE)
    if words.words == 0:
        raise ManifestError(
            f"none of the {len(aligned)} references has words: error rates are undefined (words "
            f"inserted: {words.insertions}, in {sum(u.words.errors > 0 for u in aligned)} "
            "utterances); expected at least one reference with words"
        )
    return Score(
        wer=words.rate,
        cer=characters.rate,
        ser=sum(utterance.words.errors > 0 for utterance in aligned) / len(aligned),
        wer_interval=bootstrap.interval(
            [utterance.words.errors for utterance in aligned],
            [utterance.words.words for utterance in aligned],
            _groups(aligned, speakers),
            resamples=resamples,
            seed=seed,
        ),
        words=words.words,
        substitutions=words.substitutions,
        deletions=words.deletions,
        insertions=words.insertions,
        utterances=len(aligned),
        resampled="utterances" if speakers is None else "speakers",
    )


def score(
    references: Mapping[str, str],
    hypotheses: Mapping[str, str],
    *,
    speakers: Mapping[str, str] | None = None,
    missing_as_empty: bool = False,
    resamples: int = bootstrap.RESAMPLES,
    seed: int = 0,
) -> Score:
    """Score hypotheses against references (both id → text): `align`, then `summarise`."""
    aligned = align(references, hypotheses, missing_as_empty=missing_as_empty)
    return summarise(aligned, speakers, resamples=resamples, seed=seed)


def probability_of_improvement(
    baseline: Sequence[AlignedUtterance],
    system: Sequence[AlignedUtterance],
    speakers: Mapping[str, str] | None = None,
    *,
    resamples: int = bootstrap.RESAMPLES,
    seed: int = 0,
) -> bootstrap.Comparison:
    """Paired bootstrap of two systems aligned with the same references (Bisani and Ney 2004)."""
    assert [utterance.id for utterance in baseline] == [utterance.id for utterance in system]
    return bootstrap.paired_comparison(
        [utterance.words.errors for utterance in baseline],
        [utterance.words.errors for utterance in system],
        [utterance.words.words for utterance in system],
        _groups(system, speakers),
        resamples=resamples,
        seed=seed,
    )


def _counts(chunks: Iterable[jiwer.AlignmentChunk]) -> ErrorCounts:
    lengths: Counter[str] = Counter()
    for chunk in chunks:
        lengths[chunk.type] += max(
            chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx
        )
    return ErrorCounts(
        lengths["equal"], lengths["substitute"], lengths["delete"], lengths["insert"]
    )


def _pairs(
    reference: Sequence[str], hypothesis: Sequence[str], chunks: Iterable[jiwer.AlignmentChunk]
) -> tuple[Pair, ...]:
    return tuple(
        pair
        for chunk in chunks
        for pair in zip_longest(
            reference[chunk.ref_start_idx : chunk.ref_end_idx],
            hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx],
        )
    )


def _with_optional(
    aligned: AlignedUtterance, left_out: Sequence[tuple[int, str]]
) -> AlignedUtterance:
    """The utterance with the optional words of the reference that were left out, as right."""
    if not left_out:
        return aligned
    pairs: list[Pair] = []
    waiting, seen = list(left_out), 0
    for pair in aligned.pairs:
        while waiting and pair[0] is not None and waiting[0][0] == seen:
            pairs.append((waiting.pop(0)[1], ""))
        pairs.append(pair)
        seen += pair[0] is not None
    pairs += [(word, "") for _, word in waiting]
    characters = sum(len(word) + 1 for _, word in left_out) - (aligned.words.words == 0)
    return AlignedUtterance(
        aligned.id,
        tuple(pairs),
        aligned.words + ErrorCounts(len(left_out), 0, 0, 0),
        aligned.characters + ErrorCounts(characters, 0, 0, 0),
    )


def _check_ids(
    references: Mapping[str, str], hypotheses: Mapping[str, str], missing_as_empty: bool
) -> None:
    if not references:
        raise ManifestError("there is no reference to score against; expected at least one")
    missing = [key for key in references if key not in hypotheses]
    extra = [key for key in hypotheses if key not in references]
    if extra or (missing and not missing_as_empty):
        problems = [
            f"{lack} {len(keys)} of {len(of)} {kind} ({_first_few(keys)})"
            for keys, of, lack, kind in (
                (missing, references, "no hypothesis for", "references"),
                (extra, hypotheses, "no reference for", "hypotheses"),
            )
            if keys
        ]
        raise ManifestError(
            f"references and hypotheses must name the same utterances: {', and '.join(problems)}"
        )
    if missing:
        _logger.warning(
            "no hypothesis for %d of %d references, which count as all deleted: %s",
            len(missing),
            len(references),
            _first_few(missing),
        )


def _first_few(keys: Sequence[str]) -> str:
    named = ", ".join(repr(key) for key in keys[:_NAMED_IDS])
    return f"{named}, …" if len(keys) > _NAMED_IDS else named


def _groups(
    aligned: Sequence[AlignedUtterance], speakers: Mapping[str, str] | None
) -> list[Hashable] | None:
    """The speaker of each utterance; one without speech may be a group of its own."""
    if speakers is None:
        return None
    check_speakers([utterance.id for utterance in aligned if utterance.words.words], speakers)
    return [speakers.get(utterance.id, (utterance.id,)) for utterance in aligned]


def check_speakers(speaking: Sequence[str], speakers: Mapping[str, str]) -> None:
    """Raise ManifestError unless the utterances with these ids can be resampled by speaker."""
    unknown = [key for key in speaking if key not in speakers]
    if unknown:
        raise ManifestError(
            f"no speaker for {len(unknown)} of {len(speaking)} utterances ({_first_few(unknown)}); "
            "resampling by speaker needs one for each"
        )
    if len({speakers[key] for key in speaking}) == 1:
        raise ManifestError(
            f"all utterances are by the speaker {speakers[speaking[0]]!r}; resampling by speaker "
            "needs at least two: resample utterances instead"
        )
