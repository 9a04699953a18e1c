"""The question asked before training: can this data be learned from?"""

import itertools
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asr.corpus.check import check_utterances, minimum_frames
from asr.corpus.manifest import Utterance
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


def test_targets_come_in_order() -> None:
    utterances = [utterance("a", "AB C"), utterance("b", "AA", duration=0.3)]

    assert check_utterances(utterances, TABLE, frames, "train") == [[2, 3, 1, 4], [2, 2]]


def test_characters_outside_the_table_are_listed_by_utterance() -> None:
    utterances = [utterance("good", "A"), utterance("u1", "A-B?"), utterance("u2", "é")]

    with pytest.raises(TextError) as error:
        check_utterances(utterances, TABLE, frames, "train.jsonl")

    message = str(error.value)
    assert message.startswith("train.jsonl: characters outside the token table ' ABC'")
    assert "2 utterances (u1: '-?'; u2: 'é')" in message
    assert "good" not in message


def test_empty_transcripts_are_listed() -> None:
    utterances = [utterance("good", "A"), utterance("u1", "")]

    with pytest.raises(ManifestError, match=r"^dev: empty transcripts in 1 utterance \(u1\)"):
        check_utterances(utterances, TABLE, frames, "dev")


def test_transcripts_too_long_for_their_audio_are_listed_with_the_frames() -> None:
    utterances = [utterance("good", "AB", 0.2), utterance("u1", "AA", 0.2)]

    with pytest.raises(ManifestError) as error:
        check_utterances(utterances, TABLE, frames, "train")

    assert "too long for their audio in 1 utterance (u1: 3 frames needed, 2 in 0.20 s)" in str(
        error.value
    )


def test_long_lists_are_cut_and_counted() -> None:
    with pytest.raises(ManifestError, match=r"13 utterances \(u0; .*u9; and 3 more\)") as error:
        check_utterances([utterance(f"u{i}", "") for i in range(13)], TABLE, frames, "train")

    assert "u10" not in str(error.value)
