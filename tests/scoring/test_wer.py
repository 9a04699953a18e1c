"""Word, character and sentence error rates."""

import logging
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.errors import ManifestError
from asr.scoring import bootstrap
from asr.scoring.transcripts import (
    TranscriptFormat,
    read_transcripts,
)
from asr.scoring.wer import (
    ErrorCounts,
    align,
    character_errors,
    probability_of_improvement,
    score,
    summarise,
    word_errors,
)


def levenshtein(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """The textbook recurrence, as an oracle."""
    row = list(range(len(hypothesis) + 1))
    for i, expected in enumerate(reference, start=1):
        diagonal, row[0] = row[0], i
        for j, found in enumerate(hypothesis, start=1):
            diagonal, row[j] = (
                row[j],
                min(row[j] + 1, row[j - 1] + 1, diagonal + (expected != found)),
            )
    return row[-1]


@pytest.mark.parametrize(
    ("reference", "hypothesis", "distance"),
    [
        ("kitten", "sitting", 3),
        ("saturday", "sunday", 3),
        ("intention", "execution", 5),
        ("flaw", "lawn", 2),
        ("a b", "ab", 1),  # the space between words is a character
        ("a  b", "a b", 0),  # but how many spaces is no matter
    ],
)
def test_classic_character_distances(reference: str, hypothesis: str, distance: int) -> None:
    counts = character_errors(reference, hypothesis)
    assert counts.errors == distance
    assert counts.words == len(" ".join(reference.split()))


@pytest.mark.parametrize(
    ("reference", "hypothesis", "counts"),
    [
        ("the cat sat on the mat", "the cat sit on mat", ErrorCounts(4, 1, 1, 0)),
        ("A B C D", "A X C D E", ErrorCounts(3, 1, 0, 1)),
        ("A B C", "", ErrorCounts(0, 0, 3, 0)),
        ("", "A B", ErrorCounts(0, 0, 0, 2)),
        ("", "", ErrorCounts(0, 0, 0, 0)),
        (" A\tB\u00a0C ", "A B C", ErrorCounts(3, 0, 0, 0)),
        ("caf\u00e9", "cafe\u0301", ErrorCounts(1, 0, 0, 0)),
        ("Yes", "yes", ErrorCounts(0, 1, 0, 0)),
    ],
)
def test_word_counts_by_hand(reference: str, hypothesis: str, counts: ErrorCounts) -> None:
    assert word_errors(reference, hypothesis) == counts


texts = st.text(alphabet="ab \t\u00e9", max_size=14)


@given(texts, texts)
def test_errors_equal_the_textbook_distance(reference: str, hypothesis: str) -> None:
    expected, found = reference.split(), hypothesis.split()
    words = word_errors(reference, hypothesis)
    assert words.errors == levenshtein(expected, found)
    assert words.words == len(expected)
    assert words.hits + words.substitutions + words.insertions == len(found)
    assert character_errors(reference, hypothesis).errors == levenshtein(
        " ".join(expected), " ".join(found)
    )


def test_rate_of_an_empty_reference_is_undefined() -> None:
    assert word_errors("A B", "X Y Z").rate == 1.5
    with pytest.raises(ManifestError, match="empty reference is undefined"):
        _ = word_errors("", "A").rate


REFERENCES = {"u1": "A B C D", "u2": "YES", "u3": "", "u4": "M N"}
HYPOTHESES = {"u1": "A X C D E", "u2": "YES", "u3": "NO", "u4": "M"}


def test_corpus_rates_are_micro_averaged() -> None:
    result = score(REFERENCES, HYPOTHESES)
    assert (result.words, result.utterances) == (7, 4)
    assert (result.substitutions, result.deletions, result.insertions) == (1, 1, 2)
    assert result.wer == 4 / 7
    assert result.cer == (1 + 2 + 2 + 2) / (7 + 3 + 0 + 3)
    assert result.ser == 3 / 4
    low, high = result.wer_interval
    assert 0 <= low < result.wer < high


@given(st.permutations(list(REFERENCES)), st.permutations(list(HYPOTHESES)))
def test_joined_by_id_whatever_the_order(left: list[str], right: list[str]) -> None:
    shuffled = score({key: REFERENCES[key] for key in left}, {k: HYPOTHESES[k] for k in right})
    assert shuffled == score(REFERENCES, HYPOTHESES)


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=8))
def test_the_corpus_is_the_sum_of_its_utterances(pairs: list[tuple[str, str]]) -> None:
    references = {str(number): reference for number, (reference, _) in enumerate(pairs)}
    hypotheses = {str(number): hypothesis for number, (_, hypothesis) in enumerate(pairs)}
    for utterance, (reference, hypothesis) in zip(
        align(references, hypotheses), pairs, strict=True
    ):
        assert utterance.words == word_errors(reference, hypothesis)
        assert utterance.characters == character_errors(reference, hypothesis)
        assert [word for word, _ in utterance.pairs if word is not None] == reference.split()
        assert [word for _, word in utterance.pairs if word is not None] == hypothesis.split()


def test_one_letter_utterances_count() -> None:
    references = {letter: letter for letter in "ABCDE"}
    result = score(references, references | {"B": "D"})
    assert (result.words, result.utterances, result.wer) == (5, 5, 0.2)


def test_ids_must_agree() -> None:
    references = {f"u{number}": "A" for number in range(9)}
    with pytest.raises(ManifestError, match=r"no hypothesis for 7 of 9 references \('u2', .*…\)"):
        score(references, {"u0": "A", "u1": "A"})
    with pytest.raises(ManifestError, match=r"no reference for 1 of 10 hypotheses \('x'\)"):
        score(references, references | {"x": "A"})
    with pytest.raises(ManifestError, match="no reference to score"):
        score({}, {})


def test_missing_as_empty_counts_deletions_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        result = score({"a": "ONE TWO", "b": "THREE"}, {"b": "THREE"}, missing_as_empty=True)
    assert (result.deletions, result.wer) == (2, 2 / 3)
    assert "no hypothesis for 1 of 2 references" in caplog.text
    with pytest.raises(ManifestError, match="no reference for 1 of 1"):
        score({"a": "ONE"}, {"b": "ONE"}, missing_as_empty=True)


def test_references_without_a_word_have_no_rate() -> None:
    wrong = r"none of the 3 references has words.*inserted: 3, in 2 utterances"
    with pytest.raises(ManifestError, match=wrong):
        score({"a": "", "b": " ", "c": ""}, {"a": "HELLO", "b": "", "c": "OH NO"})


def test_every_an4_test_utterance_is_read_and_counted(shared_data: Path) -> None:
    path = shared_data / "an4" / "etc" / "an4_test.transcription"
    references = read_transcripts(path, TranscriptFormat.TRN)
    silent = align(references, {}, missing_as_empty=True)
    result = summarise(silent)
    assert (result.utterances, result.words, result.deletions) == (130, 773, 773)
    assert sum(utterance.characters.deletions for utterance in silent) == 2565
    assert (result.wer, result.cer, result.ser, result.wer_interval) == (1, 1, 1, (1, 1))
    assert score(references, references).wer_interval == (0, 0)


def test_score_resamples_speakers_and_needs_all_of_them() -> None:
    speakers = {"u1": "anna", "u2": "anna", "u3": "ben", "u4": "ben"}
    result = score(REFERENCES, HYPOTHESES, speakers=speakers)
    assert result.resampled == "speakers"
    assert result.wer_interval == (2 / 5, 1.0)  # anna alone, ben alone
    with pytest.raises(ManifestError, match=r"no speaker for 1 of 3 utterances \('u4'\)"):
        score(REFERENCES, HYPOTHESES, speakers={key: speakers[key] for key in ("u1", "u2", "u3")})
    with pytest.raises(ManifestError, match="all utterances are by the speaker 'anna'"):
        score(REFERENCES, HYPOTHESES, speakers=dict.fromkeys(REFERENCES, "anna"))
    with pytest.raises(ManifestError, match="all utterances are by the speaker 'anna'"):
        score(REFERENCES, HYPOTHESES, speakers={"u1": "anna", "u2": "anna", "u4": "anna"})


def test_utterance_without_speech_needs_no_speaker() -> None:
    speakers = {"u1": "anna", "u2": "anna", "u4": "ben"}
    nobody = score(REFERENCES, HYPOTHESES, speakers=speakers)
    assert nobody == score(REFERENCES, HYPOTHESES, speakers=speakers | {"u3": "the noise"})
    assert nobody.wer_interval[0] < nobody.wer < nobody.wer_interval[1]


def test_probability_of_improvement_at_its_extremes() -> None:
    same = align(REFERENCES, HYPOTHESES)
    perfect = align(REFERENCES, REFERENCES)
    assert probability_of_improvement(same, same) == bootstrap.Comparison(0.0, (0.0, 0.0), 0.5)
    silent = align(REFERENCES, {}, missing_as_empty=True)
    assert probability_of_improvement(silent, perfect).probability_of_improvement > 0.99
    assert probability_of_improvement(perfect, silent).probability_of_improvement < 0.01
