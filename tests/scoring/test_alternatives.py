"""References in sclite's notation; the counts are those of `sclite -D` 2.4.10."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.errors import ManifestError
from asr.scoring.alternatives import Wording, nearest_wording
from asr.scoring.report import render_alignment
from asr.scoring.wer import align


@pytest.mark.parametrize(
    ("reference", "hypothesis", "counts"),
    [
        ("(UH) I SEE", "I SEE", (3, 0, 0, 0)),
        ("YES (%HESITATION) SIR", "YES SIR", (3, 0, 0, 0)),
        ("{ UH / UM / @ } ONE { TWO THREE / 23 }", "ONE 23", (2, 0, 0, 0)),
        ("{ UH / UM / @ } ONE { TWO THREE / 23 }", "UM ONE TWO FOUR", (3, 1, 0, 0)),
        ("(UH) ONE", "UH ONE", (2, 0, 0, 0)),
        ("(UH) ONE", "OH ONE", (1, 1, 0, 0)),
        ("{ (UH) / A { B / C } } D", "A C D", (3, 0, 0, 0)),
        ("COUGH ONE", "(COUGH) ONE", (2, 0, 0, 0)),
        ("(COUGH) ONE", "(COUGH) ONE", (2, 0, 0, 0)),
        ("{UH/UM} ONE", "UM ONE", (2, 0, 0, 0)),
        ("(UH HUH) ONE", "ONE", (1, 0, 2, 0)),
        ("ONE / TWO @", "ONE / TWO @", (4, 0, 0, 0)),
        ("(C) (B) (C) { @ / B A }", "B A D", (5, 0, 0, 1)),
    ],
)
def test_counts_are_those_of_sclite(
    reference: str, hypothesis: str, counts: tuple[int, int, int, int]
) -> None:
    (aligned,) = align({"u": reference}, {"u": hypothesis}, alternatives=True)
    words = aligned.words
    assert (words.hits, words.substitutions, words.deletions, words.insertions) == counts
    assert sum(pair[0] is not None for pair in aligned.pairs) == words.words


def test_a_word_that_is_left_out_is_shown_and_no_error() -> None:
    (aligned,) = align({"u": "(UH) I { SEE / SAW }"}, {"u": "I SEA"}, alternatives=True)
    assert render_alignment(aligned).splitlines()[1:] == [
        "REF:  UH I SEE",
        "HYP:     I SEA",
        "EVAL:      S",
    ]


def test_elsewhere_the_signs_are_words() -> None:
    (aligned,) = align({"u": "{ A / B } (C)"}, {"u": "A"})
    assert aligned.words.words == 6


parts = st.recursive(
    st.sampled_from(["A", "B", "(A)", "(C)"]),
    lambda part: st.lists(
        st.lists(part, max_size=2).map(lambda words: " ".join(words) or "@"), min_size=1, max_size=3
    ).map(lambda choices: f"{{ {' / '.join(choices)} }}"),
    max_leaves=5,
)


def wordings(reference: str) -> set[tuple[str, ...]]:
    """All wordings, by writing out the innermost braces one after the other."""
    begin, opened, rest = reference.rpartition("{")
    if opened:
        choices, _, end = rest.partition("}")
        texts = (begin + choice.replace("@", "") + end for choice in choices.split("/"))
        return set().union(*map(wordings, texts))
    either = [{word[1:-1], ""} if word[0] == "(" else {word} for word in reference.split()]
    return {tuple(filter(None, words)) for words in itertools.product(*either)}


@settings(max_examples=30)
@given(st.lists(parts, max_size=4).map(" ".join))
def test_every_wording_and_no_other_is_found(reference: str) -> None:
    """Leaving a word out has its price, so that only without optional words each finds itself."""
    for words in wordings(reference):
        assert nearest_wording(reference, words).words in wordings(reference)
    plain = reference.replace("(", "").replace(")", "")
    for words in wordings(plain):
        assert nearest_wording(plain, words) == Wording(words)


@pytest.mark.parametrize("reference", ["{ A", "A }", "{ A / { B }", "{ " * 5000])
def test_braces_that_do_not_match_are_refused(reference: str) -> None:
    with pytest.raises(ManifestError, match=r"expected . (after|before) each"):
        nearest_wording(reference, ["A"])


def test_long_texts_with_alternatives_are_refused() -> None:
    with pytest.raises(ManifestError, match="shorter text, found one of 10001 words"):
        nearest_wording("(A) " * 10_000, ["A"] * 10_000)
