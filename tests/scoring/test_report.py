"""Reports of scores as text and JSON."""

import json

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
from asr.scoring.wer import (
    align,
    score,
    summarise,
)

REFERENCES = {"u1": "A B C D", "u2": "YES", "u3": "", "u4": "M N"}
HYPOTHESES = {"u1": "A X C D E", "u2": "YES", "u3": "NO", "u4": "M"}


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


def test_a_report_without_spaces_says_what_to_read() -> None:
    texts = {"a": "今天天气很好", "b": "打开"}
    aligned = align(texts, texts)
    assert "Read the CER instead of the WER" in render_report(aligned, summarise(aligned))
    spaced = {"a": "今天 天气 很 好", "b": "打开 门"}
    aligned = align(spaced, spaced)
    assert "CER instead" not in render_report(aligned, summarise(aligned))


def test_alignment_of_empty_texts_is_its_heading() -> None:
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
    assert text.startswith("no error rate: none of the 2 references has words\n\nInsertions (1 ")
    assert "u1: errors 1, words 0" in text


def test_comparison_is_rendered_with_signs() -> None:
    comparison = bootstrap.Comparison(-0.0125, (-0.03, 0.005), 0.917)
    assert render_comparison(comparison) == (
        "WER against the baseline: -1.25% (95 % paired bootstrap interval: -3.00% to +0.50%)\n"
        "probability of improvement: 91.7%"
    )


def test_nonspeech_is_rendered_in_a_line() -> None:
    assert render_nonspeech(NonSpeech(12, 90.0, 2, 3)) == (
        "nonspeech: 12 utterances without speech (90.0 s), of which 2 got words: 3 in all, "
        "2.00 per minute"
    )
    assert "1 utterance without speech (5.0 s)" in render_nonspeech(NonSpeech(1, 5.0, 0, 0))
