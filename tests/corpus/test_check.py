"""The question asked before training: can this data be learned from?"""

import itertools
import re
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asr.corpus.check import check_corpus, minimum_frames
from asr.corpus.manifest import Corpus, Utterance, write_manifest
from asr.errors import ManifestError, TextError
from asr.model.loss import ctc_loss
from asr.text.tokens import TokenTable
from tests.oracles import Tokens, collapse

TABLE = TokenTable(tuple(" ABC"))


def utterance(name: str, text: str, duration: float = 1.0) -> Utterance:
    return Utterance(name, Path(f"/{name}.wav"), duration, text)


def frames(seconds: float) -> int:
    """Ten a second."""
    return round(10 * seconds)


def test_minimum_frames_is_the_shortest_path_that_spells_the_target() -> None:
    shortest: dict[Tokens, int] = {}
    for length in range(8):
        for path in itertools.product(range(3), repeat=length):
            shortest.setdefault(collapse(path), length)

    within_reach = [target for target in shortest if len(target) <= 4]
    assert len(within_reach) == 1 + 2 + 4 + 8 + 16
    assert minimum_frames([]) == 0
    for target in within_reach:
        assert minimum_frames(target) == shortest[target]


@given(st.lists(st.integers(1, 3), min_size=1, max_size=6))
def test_loss_is_finite_from_minimum_frames_on(target: list[int]) -> None:
    enough = minimum_frames(target)
    log_probs = torch.full((1, enough, 4), 0.25).log()
    targets, count = torch.tensor([target]), torch.tensor([len(target)])

    assert ctc_loss(log_probs, torch.tensor([enough]), targets, count).isfinite().all()
    if enough > 1:
        short = ctc_loss(log_probs[:, 1:], torch.tensor([enough - 1]), targets, count)
        assert short.isinf().all()


def check(
    *utterances: Utterance,
    where: str = "train",
    may_be_empty: bool = False,
    keep_tags: bool = False,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "some.jsonl")
        write_manifest(path, utterances)
        corpus = Corpus.open([path], require_audio=False)
        check_corpus(corpus, TABLE, frames, where, may_be_empty, keep_tags)


def test_what_can_be_trained_on_passes() -> None:
    check(utterance("a", "AB C"), utterance("b", "AA", duration=0.3))


def test_characters_outside_the_table_are_listed_by_utterance() -> None:
    with pytest.raises(TextError) as error:
        check(
            *(utterance("good", "A"), utterance("u1", "A-B?"), utterance("u2", "é")),
            where="train.jsonl",
        )

    message = str(error.value)
    assert message.startswith("train.jsonl: characters outside the token table ' ABC'")
    assert "2 utterances (u1: '-?'; u2: 'é')" in message
    assert "good" not in message
    assert "remove or spell out '-', '?', 'é'" in message

    with pytest.raises(TextError, match="'b' in lower case where the model writes upper case"):
        check(utterance("u1", "Ab"))


def test_empty_transcripts_are_listed() -> None:
    with pytest.raises(ManifestError, match=r"^dev: empty transcripts in 1 utterance \(u1\)") as e:
        check(utterance("good", "A"), utterance("u1", ""), where="dev")
    assert "set data.empty_text=nothing if these recordings really hold no speech" in str(e.value)


def test_empty_transcripts_may_be_the_truth() -> None:
    good, silent = utterance("good", "A"), utterance("u1", "", 0.1)
    check(good, silent, may_be_empty=True)
    with pytest.raises(ManifestError, match=r"^dev: all 2 transcripts are empty"):
        check(silent, utterance("u2", " \u3000"), where="dev", may_be_empty=True)
    with pytest.raises(ManifestError, match=r"u3: 1 frames needed, 0 in 0\.04 s"):
        check(good, silent, utterance("u3", "", 0.04), may_be_empty=True)


def test_transcripts_too_long_for_their_audio_are_listed_with_the_frames() -> None:
    with pytest.raises(ManifestError) as error:
        check(utterance("good", "AB", 0.2), utterance("u1", "AA", 0.2))

    assert "too long for their audio in 1 utterance (u1: 3 frames needed, 2 in 0.20 s)" in str(
        error.value
    )


def test_what_is_wrong_with_the_text_is_said_first() -> None:
    wrong = [utterance("u1", "AAAA", 0.1), utterance("u2", ""), utterance("u3", "?")]
    for remaining, message in ((3, "outside"), (2, "empty"), (1, "too long")):
        with pytest.raises((ManifestError, TextError), match=message):
            check(*wrong[:remaining])


def test_long_lists_are_cut_and_counted() -> None:
    with pytest.raises(ManifestError, match=r"13 utterances \(u0; .*u9; and 3 more\)") as error:
        check(*(utterance(f"u{i}", "") for i in range(13)))

    assert "u10" not in str(error.value)


@given(st.lists(st.tuples(st.text("AB", min_size=1, max_size=6), st.integers(1, 8)), min_size=1))
def test_all_that_are_too_long_are_found_in_order(pairs: list[tuple[str, int]]) -> None:
    long = [
        f"u{i}"
        for i, (text, tenths) in enumerate(pairs)
        if minimum_frames(TABLE.encode(text)) > tenths
    ]
    utterances = [utterance(f"u{i}", text, tenths / 10) for i, (text, tenths) in enumerate(pairs)]
    if not long:
        check(*utterances)
        return
    with pytest.raises(ManifestError, match=f"their audio in {len(long)} utterance") as error:
        check(*utterances)
    assert re.findall(r"(u\d+): \d+ frames", str(error.value)) == long[:10]


def test_characters_that_belong_to_no_text_are_counted_by_name() -> None:
    with pytest.raises(TextError) as caught:
        check(utterance("u1", "A\u200bB\u200b"), utterance("u2", "A"), utterance("u3", "\x07A"))
    message = str(caught.value)
    assert "U+0007 CONTROL CHARACTER (1 times), U+200B ZERO WIDTH SPACE (2 times)" in message
    assert "2 utterances (u1; u3)" in message


def test_tags_are_refused_unless_they_are_to_be_learnt() -> None:
    tagged = [
        utterance("u1", "A <unk> B <unk>"),
        utterance("u2", "[noise] C"),
        utterance("u3", "A"),
    ]
    with pytest.raises(TextError, match=r"<unk> \(twice\), \[noise\] \(once\) in 2 utterances"):
        check(*tagged)
    with pytest.raises(TextError, match="characters outside the token table"):
        check(*tagged, keep_tags=True)
