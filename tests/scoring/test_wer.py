"""Error rates, their error bars, the report, and files of transcripts."""

import itertools
import json
import logging
import random
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.errors import AsrError, ManifestError
from asr.scoring import bootstrap
from asr.scoring.nonspeech import NonSpeech, nonspeech
from asr.scoring.report import (
    render_alignment,
    render_comparison,
    render_nonspeech,
    render_report,
    render_worst,
    report_json,
)
from asr.scoring.transcripts import (
    TranscriptFormat,
    read_speakers,
    read_transcripts,
    write_hypotheses,
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


# --- counts ---------------------------------------------------------------------------------


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


# --- corpus ---------------------------------------------------------------------------------

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
    wrong = r"none of the 3 references holds a word.*inserted: 3, in 2 utterances"
    with pytest.raises(ManifestError, match=wrong):
        score({"a": "", "b": " ", "c": ""}, {"a": "HELLO", "b": "", "c": "OH NO"})


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=8), texts)
def test_what_is_written_where_nothing_is_said_is_counted(
    pairs: list[tuple[str, str]], written: str
) -> None:
    references = {str(i): reference for i, (reference, _) in enumerate(pairs)} | {"n": "A", "s": ""}
    hypotheses = {str(i): hypothesis for i, (_, hypothesis) in enumerate(pairs)} | {"n": "A"}
    aligned = align(references, hypotheses | {"s": written})
    silent = [i for i, text in references.items() if not text.split()]
    words = [len((hypotheses | {"s": written})[i].split()) for i in silent]
    found = nonspeech(aligned, dict.fromkeys(references, 30.0))
    assert found == NonSpeech(len(silent), 30.0 * len(silent), sum(map(bool, words)), sum(words))
    assert found.words_per_minute == pytest.approx(2 * sum(words) / len(silent))
    without = summarise(align(references, {**hypotheses, "s": ""}))
    assert summarise(aligned).insertions == without.insertions + len(written.split())
    assert summarise(aligned).words == without.words


def test_only_what_was_heard_can_be_kept_silent_about() -> None:
    aligned = align({"a": "ONE", "b": "", "c": ""}, {"a": "ONE", "b": "TWO", "c": ""})
    assert nonspeech(aligned, {"a": 1.0, "b": 12.0}) == NonSpeech(1, 12.0, 1, 1)
    assert nonspeech(aligned, {"a": 1.0}) is None
    assert nonspeech(aligned[:1], {"a": 1.0}) is None


def test_every_an4_test_utterance_is_read_and_counted(shared_data: Path) -> None:
    path = shared_data / "an4" / "etc" / "an4_test.transcription"
    references = read_transcripts(path, TranscriptFormat.TRN)
    silent = align(references, {}, missing_as_empty=True)
    result = summarise(silent)
    assert (result.utterances, result.words, result.deletions) == (130, 773, 773)
    assert sum(utterance.characters.deletions for utterance in silent) == 2565
    assert (result.wer, result.cer, result.ser, result.wer_interval) == (1, 1, 1, (1, 1))
    assert score(references, references).wer_interval == (0, 0)


# --- bootstrap ------------------------------------------------------------------------------

ERRORS = [0, 1, 3, 0, 2, 0, 5, 1, 0, 0, 2, 4]
WORDS = [4, 5, 6, 1, 8, 3, 7, 2, 9, 4, 6, 5]


def drawn(seed: int, size: int) -> list[list[int]]:
    """Indices of many resamples, drawn one by one with another generator."""
    generator = random.Random(seed)
    return [[generator.randrange(size) for _ in range(size)] for _ in range(4000)]


def test_interval_agrees_with_a_slow_loop() -> None:
    rates = [
        sum(ERRORS[i] for i in indices) / sum(WORDS[i] for i in indices)
        for indices in drawn(1, len(WORDS))
    ]
    expected = np.quantile(rates, [0.025, 0.975])
    assert bootstrap.interval(ERRORS, WORDS) == pytest.approx(expected, abs=0.01)


def test_interval_agrees_with_every_possible_resample() -> None:
    errors, words = [0, 1, 4, 2, 1], [3, 4, 5, 2, 7]
    rates = [
        sum(errors[i] for i in indices) / sum(words[i] for i in indices)
        for indices in itertools.product(range(5), repeat=5)
    ]
    expected = np.quantile(rates, [0.05, 0.95])
    found = bootstrap.interval(errors, words, resamples=40_000, confidence=0.9)
    assert found == pytest.approx(expected, abs=0.01)


def test_three_utterances_reach_their_extremes() -> None:
    """The chance that all three draws are of one utterance is 1/27, more than a tail of 2.5 %."""
    assert bootstrap.interval([0, 1, 2], [4, 4, 4]) == (0.0, 0.5)


@pytest.mark.parametrize(
    ("errors", "words"),
    [([2] * 40, [7] * 40), ([1, 2, 3], [4, 8, 12]), ([3], [4]), ([0, 0], [1, 9])],
)
def test_equal_rates_give_zero_width(errors: list[int], words: list[int]) -> None:
    rate = errors[0] / words[0]
    assert bootstrap.interval(errors, words) == (rate, rate)


def test_interval_is_repeatable_and_knows_no_order(monkeypatch: pytest.MonkeyPatch) -> None:
    first = bootstrap.interval(ERRORS, WORDS)
    assert bootstrap.interval(ERRORS, WORDS) == first
    assert bootstrap.interval(ERRORS[::-1], WORDS[::-1]) == first
    assert bootstrap.interval(ERRORS, WORDS, seed=1) != first
    monkeypatch.setattr(bootstrap, "_DRAWN_AT_ONCE", 37)
    assert bootstrap.interval(ERRORS, WORDS) == first


def test_interval_covers_the_true_rate_as_often_as_it_claims() -> None:
    generator = np.random.default_rng(5)
    covered = 0
    for _ in range(200):
        words = generator.integers(1, 15, size=80)
        errors = generator.binomial(words, 0.1)
        low, high = bootstrap.interval(errors, words, resamples=400)
        covered += low <= 0.1 <= high
    assert 180 <= covered <= 199


def test_resamples_without_words_are_left_out() -> None:
    low, high = bootstrap.interval([1, 2], [0, 4])
    assert low == 0.5  # the second alone; the first alone has no rate
    assert high == 0.75


def test_memory_stays_bounded() -> None:
    generator = np.random.default_rng(0)
    words = np.arange(1, 20_001)  # all rows distinct: the worst case
    errors = generator.binomial(words, 0.1)
    tracemalloc.start()
    bootstrap.interval(errors, words, resamples=120)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6


def test_speakers_widen_the_interval() -> None:
    speakers = [number // 20 for number in range(200)]
    errors = [speaker % 2 for speaker in speakers]  # half of the speakers are misheard throughout
    words = [2] * 200
    by_utterance = bootstrap.interval(errors, words)
    by_speaker = bootstrap.interval(errors, words, speakers)
    assert by_speaker[0] < by_utterance[0] < 0.25 < by_utterance[1] < by_speaker[1]
    assert bootstrap.interval(errors, words, list(range(200))) == by_utterance


def test_score_draws_speakers_and_wants_them_all() -> None:
    speakers = {"u1": "anna", "u2": "anna", "u3": "ben", "u4": "ben"}
    result = score(REFERENCES, HYPOTHESES, speakers=speakers)
    assert result.resampled == "speakers"
    assert result.wer_interval == (2 / 5, 1.0)  # anna alone, ben alone
    with pytest.raises(ManifestError, match=r"no speaker for 1 of 4 utterances \('u4'\)"):
        score(REFERENCES, HYPOTHESES, speakers={key: speakers[key] for key in ("u1", "u2", "u3")})
    with pytest.raises(ManifestError, match="all utterances are of the speaker 'anna'"):
        score(REFERENCES, HYPOTHESES, speakers=dict.fromkeys(REFERENCES, "anna"))
    with pytest.raises(ManifestError, match="all utterances are of the speaker 'anna'"):
        score(REFERENCES, HYPOTHESES, speakers={"u1": "anna", "u2": "anna", "u4": "anna"})


def test_who_says_nothing_may_be_nobody() -> None:
    speakers = {"u1": "anna", "u2": "anna", "u4": "ben"}
    nobody = score(REFERENCES, HYPOTHESES, speakers=speakers)
    assert nobody == score(REFERENCES, HYPOTHESES, speakers=speakers | {"u3": "the noise"})
    assert nobody.wer_interval[0] < nobody.wer < nobody.wer_interval[1]


def test_paired_comparison_agrees_with_a_slow_loop() -> None:
    better = [max(0, count - number % 2) for number, count in enumerate(ERRORS)]
    better[3] = 2
    differences = [
        (sum(better[i] for i in indices) - sum(ERRORS[i] for i in indices))
        / sum(WORDS[i] for i in indices)
        for indices in drawn(2, len(WORDS))
    ]
    found = bootstrap.paired_comparison(ERRORS, better, WORDS)
    assert found.difference == (sum(better) - sum(ERRORS)) / sum(WORDS)
    assert found.interval == pytest.approx(np.quantile(differences, [0.025, 0.975]), abs=0.01)
    improved = np.mean([(difference < 0) + (difference == 0) / 2 for difference in differences])
    assert found.probability_of_improvement == pytest.approx(improved, abs=0.03)
    reverse = bootstrap.paired_comparison(better, ERRORS, WORDS)
    assert reverse.difference == -found.difference


def test_probability_of_improvement_at_its_extremes() -> None:
    same = align(REFERENCES, HYPOTHESES)
    perfect = align(REFERENCES, REFERENCES)
    assert probability_of_improvement(same, same) == bootstrap.Comparison(0.0, (0.0, 0.0), 0.5)
    silent = align(REFERENCES, {}, missing_as_empty=True)
    assert probability_of_improvement(silent, perfect).probability_of_improvement > 0.99
    assert probability_of_improvement(perfect, silent).probability_of_improvement < 0.01


# --- report ---------------------------------------------------------------------------------


def test_report_golden() -> None:
    references = {"u1": "RUBOUT G M E F NINE", "u2": "YES", "u3": "M N"}
    aligned = align(references, {"u1": "RUBOUT T M F NINE OH", "u2": "YES", "u3": "M"})
    result = summarise(aligned)
    low, high = result.wer_interval
    assert (
        render_report(aligned, result, real_time_factor=0.01234)
        == f"""\
WER                44.44%  95 % bootstrap interval over utterances: {low:.2%} to {high:.2%}
CER                32.00%
SER                66.67%
words                   9  1 substituted, 2 deleted, 1 inserted
utterances              3
real-time factor   0.0123

Substitutions (1 most frequent of 1)
     1  G -> T

Deletions (2 most frequent of 2)
     1  E
     1  N

Insertions (1 most frequent of 1)
     1  OH

Worst utterances (2 of 2 with errors)

u1: errors 3, words 6
REF:  RUBOUT G M E F NINE **
HYP:  RUBOUT T M * F NINE OH
EVAL:        S   D        I

u3: errors 1, words 2
REF:  M N
HYP:  M *
EVAL:   D"""
    )


def test_alignment_breaks_long_utterances_and_keeps_columns() -> None:
    (utterance,) = align({"long": "ALPHA BETA GAMMA DELTA"}, {"long": "ALPHA BE GAMMA DELTA X"})
    assert (
        render_alignment(utterance, width=18)
        == """\
long: errors 2, words 4
REF:  ALPHA BETA
HYP:  ALPHA BE
EVAL:       S
REF:  GAMMA DELTA
HYP:  GAMMA DELTA
EVAL:
REF:  *
HYP:  X
EVAL: I"""
    )


def test_alignment_shows_what_does_not_print_and_counts_wide_characters() -> None:
    (utterance,) = align({"id\x1b": "日本 e\u0323\u0302x"}, {"id\x1b": "a e\u200bx"})
    assert render_alignment(utterance) == (
        "id\\x1b: errors 2, words 2\nREF:  日本 \u1ec7x\nHYP:  a    e\\u200bx\nEVAL: S    S"
    )


def test_alignment_of_silence_is_its_heading() -> None:
    (utterance,) = align({"silence": ""}, {"silence": ""})
    assert render_alignment(utterance) == "silence: errors 0, words 0"


def test_worst_are_ranked_and_absent_where_nothing_is_wrong() -> None:
    references = {"b": "A A A", "a": "A A A", "short": "A", "fine": "A"}
    aligned = align(references, {"b": "A", "a": "A", "short": "A B C", "fine": "A"})
    title, *shown = render_worst(aligned, worst=2)
    assert title == "Worst utterances (2 of 3 with errors)"
    assert [text.split(":")[0] for text in shown] == ["short", "a"]
    assert render_worst(aligned, worst=0) == []
    perfect = align(references, references)
    assert render_report(perfect, summarise(perfect)).count("\n\n") == 0


def test_frequent_errors_are_ordered_by_count_then_name() -> None:
    references = {str(number): "B" for number in range(5)}
    hypotheses = dict(zip(references, "DPDEE", strict=True))
    aligned = align(references, hypotheses)
    text = render_report(aligned, summarise(aligned), worst=0, frequent=2)
    assert text.endswith("Substitutions (2 most frequent of 3)\n     2  B -> D\n     2  B -> E")
    assert "Substitutions" not in render_report(aligned, summarise(aligned), frequent=0)


def test_report_json_has_the_agreed_keys() -> None:
    result = score(REFERENCES, HYPOTHESES)
    figures = json.loads(json.dumps(report_json(result), allow_nan=False))
    assert figures == {
        "wer": result.wer,
        "cer": result.cer,
        "ser": result.ser,
        "wer_interval": list(result.wer_interval),
        "words": 7,
        "substitutions": 1,
        "deletions": 1,
        "insertions": 2,
        "utterances": 4,
        "real_time_factor": None,
    }
    assert report_json(result, 0.5)["real_time_factor"] == 0.5


def test_without_a_score_its_figures_are_null() -> None:
    aligned = align({"u1": "", "u2": ""}, {"u1": "NO", "u2": ""})
    found = nonspeech(aligned, {"u1": 20.0, "u2": 10.0})
    figures = json.loads(json.dumps(report_json(None, 0.5, found), allow_nan=False))
    assert figures.pop("nonspeech") == {
        "utterances": 2,
        "seconds": 30.0,
        "with_words": 1,
        "words": 1,
        "words_per_minute": 2.0,
    }
    assert figures.pop("real_time_factor") == 0.5
    assert figures == dict.fromkeys(
        set(report_json(score(REFERENCES, HYPOTHESES))) - {"real_time_factor"}
    )
    text = render_report(aligned, None)
    assert text.startswith("no error rate: none of the 2 references holds a word\n\nInsertions (1 ")
    assert "u1: errors 1, words 0" in text


def test_nonspeech_is_rendered_in_a_line() -> None:
    assert render_nonspeech(NonSpeech(12, 90.0, 2, 3)) == (
        "nonspeech: 12 utterances say nothing (90.0 s); something was written in 2 of them: "
        "3 words, 2.00 a minute"
    )
    assert "1 utterance says nothing (5.0 s)" in render_nonspeech(NonSpeech(1, 5.0, 0, 0))


def test_comparison_is_rendered_with_signs() -> None:
    comparison = bootstrap.Comparison(-0.0125, (-0.03, 0.005), 0.917)
    assert render_comparison(comparison) == (
        "WER against the baseline: -1.25% (95 % paired bootstrap interval: -3.00% to +0.50%)\n"
        "probability of improvement: 91.7%"
    )


# --- files of transcripts -------------------------------------------------------------------

EXPECTED = {"u1": "ONE TWO", "u2": "A", "u3": "", "u4": "caf\u00e9"}
JSONL = (
    '{"id": "u1", "text": " ONE TWO ", "audio_filepath": "a.wav", "duration": 1.0}\n'
    '{"text": "A", "id": "u2"}\n\n{"id": "u3", "text": ""}\n{"id": "u4", "text": "cafe\\u0301"}\n'
)
KALDI = "u1 ONE TWO\nu2\tA\nu3\n\nu4   cafe\u0301\n"
TRN = "ONE TWO (u1)\nA (u2)\n(u3)\ncafe\u0301(u4)\n"


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", JSONL),
        ("a.txt", KALDI),
        ("a.TEXT", KALDI),
        ("text", KALDI),
        ("a.trn", TRN),
    ],
)
def test_formats_follow_the_suffix(
    tmp_path: Path, name: str, content: str, bom: str, ending: str
) -> None:
    path = tmp_path / name
    path.write_bytes((bom + content.replace("\n", ending)).encode())
    assert read_transcripts(path) == EXPECTED


def test_a_format_is_named_or_known_but_never_guessed(tmp_path: Path) -> None:
    path = tmp_path / "an4_test.transcription"
    path.write_text(TRN)
    with pytest.raises(ManifestError, match=r"the suffix '\.transcription' does not tell"):
        read_transcripts(path)
    assert read_transcripts(path, TranscriptFormat.TRN) == EXPECTED
    assert read_transcripts(path, TranscriptFormat.KALDI)["A"] == "(u2)"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"id": "a", "text": "A"}\n{"id": "b"', "line 2: not JSON"),
        ("a.jsonl", b"[" * 100_000, "line 1: not JSON"),
        ("a.jsonl", b"[1]", "line 1: expected a JSON object"),
        ("a.jsonl", b'{"id": "a", "pred": "A"}', "'text' is missing; found the keys id, pred"),
        ("a.jsonl", b'{"id": 7, "text": "A"}', "'id' must be text, found 7"),
        ("a.jsonl", b'{"id": "a", "text": null}', "'text' must be text, found None"),
        ("a.jsonl", b'{"id": " ", "text": "A"}', "line 1: the id is empty"),
        ("a.jsonl", b'{"id": "a", "text": "\\ud800"}', "line 1: not valid Unicode"),
        ("a.txt", b"a ONE\nb TWO\n\na THREE", "line 4: the id 'a' stands already on line 1"),
        ("a.txt", "e\u0301 A\n\u00e9 B".encode(), "line 2: the id 'é' stands already on line 1"),
        ("a.trn", b"ONE TWO (a)\nTHREE", r"line 2: expected `word word \(id\)`"),
        ("a.trn", b"ONE (a b)", r"line 1: expected `word word \(id\)`"),
        ("a.trn", b"{ UH / UM } ONE (a)", "alternatives in braces"),
        ("a.txt", b"", "the file is empty"),
        ("a.txt", b"\xef\xbb\xbf\r\n \n", "the file is empty"),
        ("a.txt", b"a \xff\xfe", "cannot read the transcripts"),
    ],
)
def test_malformed_files_are_refused(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ManifestError, match=message) as caught:
        read_transcripts(path)
    assert str(caught.value).startswith(str(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"none\.txt: cannot read"):
        read_transcripts(tmp_path / "none.txt")
    with pytest.raises(ManifestError, match="cannot read"):
        read_transcripts(tmp_path)
    with pytest.raises(AsrError, match=r"h\.jsonl: cannot write"):
        write_hypotheses(tmp_path / "absent" / "h.jsonl", {"a": "A"})


def test_trn_keeps_brackets_inside_the_text(tmp_path: Path) -> None:
    path = tmp_path / "a.trn"
    path.write_text("ONE (COUGH) TWO (u1)\n")
    assert read_transcripts(path) == {"u1": "ONE (COUGH) TWO"}


def test_speakers_are_read_where_they_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"id": "a", "text": "A", "speaker": "anna"}\n{"id": "b", "text": "B"}\n'
        '{"id": "c", "text": "C", "speaker": null}\n'
    )
    assert read_speakers(path) == {"a": "anna"}
    path.write_text('{"id": "a", "text": "A", "speaker": 3}\n')
    with pytest.raises(ManifestError, match="line 1: 'speaker' must be text, found 3"):
        read_speakers(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hypotheses")


words = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=5)


@given(st.dictionaries(words, st.lists(words, max_size=4).map("\u2028".join), min_size=1))
def test_written_hypotheses_read_back(folder: Path, hypotheses: dict[str, str]) -> None:
    path = folder / "hypotheses.jsonl"
    write_hypotheses(path, hypotheses)
    assert len(path.read_text(encoding="utf-8").rstrip("\n").split("\n")) == len(hypotheses)
    try:
        found = read_transcripts(path)
    except ManifestError as error:
        assert "stands already" in str(error)  # noqa: PT017 - ids that NFC makes equal
        return
    assert score(found, found).wer == 0 if any(found.values()) else True
    assert len(found) == len(hypotheses)
