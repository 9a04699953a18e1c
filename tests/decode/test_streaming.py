"""A search over blocks of emissions against the search of the whole recording."""

import math
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from asr.decode.align import viterbi_align
from asr.decode.beam import BeamSearch, SearchConfig
from asr.decode.decoder import Decoder
from asr.decode.streaming import StreamingSearch, Stretch
from asr.errors import ConfigError
from asr.text.tokens import BLANK, TokenTable
from tests.oracles import random_emissions
from tests.oracles_search import Sources, sources, tiny_model

LETTERS = TokenTable(tuple(" ab"))
UNSPACED = TokenTable(tuple("abc"))
TEXT = [["a", "b"], ["ab", "a"], ["b", "ab", "ab"], ["a"]]
FRAME_SECONDS = 0.25
"""Four frames a step, and decisions after 80."""


def emissions_of(seed: int, frames: int, tokens: int, peakiness: float = 4) -> Tensor:
    return torch.from_numpy(random_emissions(seed, frames, tokens, peakiness))


def spoken(table: TokenTable, text: str, sure: float = 0.97) -> Tensor:
    """Each character for two frames, the space for one, and a blank behind each; `_`: a blank."""
    rows = []
    for character in text:
        token = BLANK if character == "_" else table.encode(character)[0]
        for one in [token] * (1 if character in " _" else 2) + [BLANK]:
            row = torch.full((len(table),), (1 - sure) / (len(table) - 1), dtype=torch.float64)
            row[one] = sure
            rows.append(row)
    return torch.stack(rows).log()


def blocks(log_probs: Tensor, size: int) -> Iterator[Tensor]:
    return (log_probs[start : start + size] for start in range(0, len(log_probs), size))


def run(
    decoder: Decoder, table: TokenTable, log_probs: Tensor, size: int, nbest: int = 1
) -> tuple[list[Stretch], Stretch]:
    search = decoder.start(table, FRAME_SECONDS)
    stretches = [one for block in blocks(log_probs, size) for one in search.feed(block)]
    return stretches, search.finish(nbest)


def settled_tokens(stretches: list[Stretch]) -> tuple[int, ...]:
    return tuple(token for stretch in stretches for token in stretch.tokens)


def whole(stretches: list[Stretch], rest: Stretch) -> list[tuple[tuple[int, ...], float, float]]:
    """The hypotheses of the recording: tokens, score and the language models' part of it."""
    before = settled_tokens(stretches)
    return [
        (before + one.tokens[rest.shares_space :], one.log_score, one.log_language)
        for one in rest.hypotheses
    ]


# The same as the whole recording


@settings(deadline=None)
@given(
    sources(),
    st.integers(0, 10**6),
    st.integers(0, 70),
    st.sampled_from([1, 2, 5, 12]),
    st.sampled_from([None, 3.0]),
    st.booleans(),
    st.sampled_from([1.0, 3.0, 6.0]),
)
def test_blocks_of_any_size_give_the_bytes_of_the_whole(
    world: Sources,
    seed: int,
    frames: int,
    beam_size: int,
    threshold: float | None,
    recombine: bool,
    peakiness: float,
) -> None:
    log_probs = emissions_of(seed, frames, len(world.table), peakiness)
    config = SearchConfig(
        beam_size, nbest=beam_size, beam_log_threshold=threshold, recombine=recombine
    )
    decoder = Decoder(config, world.fusion())
    expected = [(h.tokens, h.log_score, h.log_language) for h in decoder(log_probs)]
    found = [run(decoder, world.table, log_probs, size, beam_size) for size in (1, 2, 7, 100)]
    for stretches, rest in found:
        assert whole(stretches, rest) == expected
    first, *others = [
        [(s.first_frame, len(s.log_probs), s.hypotheses) for s in [*stretches, rest]]
        for stretches, rest in found
    ]
    assert all(other == first for other in others)


@pytest.mark.parametrize("size", [1, 2, 7, 200])
@pytest.mark.parametrize("table", [LETTERS, UNSPACED])
@pytest.mark.parametrize("decoder", [Decoder(), Decoder(SearchConfig(8, nbest=4))])
def test_without_language_models_too(decoder: Decoder, table: TokenTable, size: int) -> None:
    for seed in range(6):
        log_probs = emissions_of(seed, 75, 4)
        expected = [(h.tokens, h.log_score, 0.0) for h in decoder(log_probs)]
        found = run(decoder, table, log_probs, size, 4)
        assert whole(*found) == expected
        if decoder.is_greedy:
            rest, frames = found[1].hypotheses[0], decoder(log_probs)[0].frames
            assert rest.frames is not None
            assert frames is not None
            assert rest.frames == frames[len(frames) - len(rest.frames) :]


# Stretches


def test_stretches_are_cut_at_spaces_and_cover_the_recording() -> None:
    log_probs = spoken(LETTERS, "ab ba a b ab aa b ba " * 8)
    for decoder in (Decoder(), Decoder(SearchConfig(8))):
        stretches, rest = run(decoder, LETTERS, log_probs, 9)
        assert len(stretches) > 5
        texts = [LETTERS.decode(s.hypotheses[0].tokens) for s in [*stretches, rest]]
        assert " ".join(texts).strip() == ("ab ba a b ab aa b ba " * 8).strip()
        assert [s.shares_space for s in stretches] == [False] + [True] * (len(stretches) - 1)
        assert not any(s.continues_word for s in [*stretches, rest])
        for stretch, following in zip(stretches, [*stretches[1:], rest], strict=True):
            assert stretch.tokens[-1] == LETTERS.space
            end = stretch.first_frame + len(stretch.log_probs)
            assert stretch.first_frame < following.first_frame <= end
        assert rest.first_frame + len(rest.log_probs) == len(log_probs)


@pytest.mark.parametrize("table", [LETTERS, UNSPACED])
def test_alignments_of_stretches_are_that_of_the_recording(table: TokenTable) -> None:
    text = "ab ba a b ab aa b ba " * 8 if table is LETTERS else "abc__ba_____cc_a____b___" * 5
    log_probs = spoken(table, text)
    stretches, rest = run(Decoder(SearchConfig(8)), table, log_probs, 3)
    assert len(stretches) > 3
    expected = viterbi_align(log_probs, settled_tokens([*stretches, rest]))
    first_frames: list[int] = []
    for stretch in [*stretches, rest]:
        alignment = viterbi_align(stretch.log_probs, stretch.hypotheses[0].tokens)
        frames = [first + stretch.first_frame for first in alignment.first_frames]
        first_frames += frames[stretch.shares_space :]
    assert tuple(first_frames) == expected.first_frames


@settings(deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([LETTERS, UNSPACED]), st.integers(1, 20))
def test_every_stretch_can_be_aligned(seed: int, table: TokenTable, beam_size: int) -> None:
    log_probs = emissions_of(seed, 200, 4, peakiness=2)
    log_probs[::7, 1:3] = -math.inf
    log_probs = log_probs.log_softmax(1)
    search = Decoder(SearchConfig(beam_size)).start(table, FRAME_SECONDS)
    for number, block in enumerate(blocks(log_probs, 5)):
        for stretch in [*search.feed(block), *(search.flush() if number % 9 == 8 else [])]:
            assert viterbi_align(stretch.log_probs, stretch.hypotheses[0].tokens)
    rest = search.finish()
    assert viterbi_align(rest.log_probs, rest.hypotheses[0].tokens)


def test_the_other_hypotheses_of_a_stretch_are_those_that_the_beam_held() -> None:
    log_probs = spoken(LETTERS, "ab ba " * 6)
    log_probs[:2] = torch.tensor([0.02, 0.02, 0.44, 0.52]).log()  # nearly as likely "bb ba"
    [first, *_], _ = run(Decoder(SearchConfig(4)), LETTERS, log_probs, 4)
    assert LETTERS.decode(first.tokens) == "bb ba ab ba ab"
    assert {LETTERS.decode(one.tokens) for one in first.hypotheses[1:]} >= {"ab ba ab ba ab"}


def test_a_search_without_frames_has_the_empty_text() -> None:
    fusion = Sources(LETTERS, word_model=tiny_model(TEXT, 2)).fusion()
    for decoder in (Decoder(), Decoder(SearchConfig(4)), Decoder(SearchConfig(4), fusion)):
        search = decoder.start(LETTERS, FRAME_SECONDS)
        assert search.partial().tokens == ()
        assert search.flush() == []
        rest = search.finish()
        assert [h.tokens for h in rest.hypotheses] == [()]
        assert rest.log_probs.shape == (0, 4)


def test_partial_text_grows_with_the_emissions() -> None:
    search = Decoder(SearchConfig(8)).start(LETTERS, 0.04)
    texts = []
    for block in blocks(spoken(LETTERS, "ab ba"), 3):
        search.feed(block)
        texts.append(LETTERS.decode(search.partial().tokens))
    assert texts[0] == "a"
    assert texts[-1].endswith("ba")


def test_emissions_over_other_tokens_are_refused() -> None:
    search = Decoder().start(LETTERS, FRAME_SECONDS)
    with pytest.raises(ConfigError, match="log_probs: expected 4 tokens, found 3"):
        search.feed(torch.zeros(2, 3).log_softmax(1))


# Where the best prefix decides


def test_flush_makes_the_best_tokens_final() -> None:
    log_probs = spoken(LETTERS, "ab b__")
    for decoder in (Decoder(), Decoder(SearchConfig(8))):
        search = decoder.start(LETTERS, 0.04)
        search.feed(log_probs)
        [stretch] = search.flush()
        assert LETTERS.decode(stretch.tokens) == "ab b"
        assert search.partial().tokens == ()
        search.feed(spoken(LETTERS, " a"))
        rest = search.finish()
        assert LETTERS.decode(rest.tokens) == "a"
        assert not rest.continues_word
        assert rest.first_frame == len(log_probs) - 5


def test_flush_within_a_word_says_that_the_word_goes_on() -> None:
    search = Decoder(SearchConfig(8)).start(LETTERS, 0.04)
    search.feed(spoken(LETTERS, "a"))
    [first] = search.flush()
    search.feed(spoken(LETTERS, "b"))
    rest = search.finish()
    assert (LETTERS.decode(first.tokens), LETTERS.decode(rest.tokens)) == ("a", "b")
    assert not first.continues_word
    assert rest.continues_word


@pytest.mark.parametrize("decoder", [Decoder(), Decoder(SearchConfig(8))])
def test_silence_is_not_kept(decoder: Decoder) -> None:
    search = decoder.start(LETTERS, FRAME_SECONDS)
    stretches = search.feed(spoken(LETTERS, "ab a" + "_" * 500))
    assert LETTERS.decode(settled_tokens(stretches)) == "ab a"
    assert len(search.finish().log_probs) <= 80


@pytest.mark.parametrize("table", [LETTERS, UNSPACED])
def test_without_pause_space_or_agreement_memory_stays_flat(table: TokenTable) -> None:
    search = Decoder(SearchConfig(16)).start(table, FRAME_SECONDS)
    rows = torch.full((4000, 4), 0.01, dtype=torch.float64)
    rows[:, 2:] = 0.49 if table is LETTERS else 0.33
    rows = rows.log().log_softmax(1)
    sizes = []
    for block in blocks(rows, 50):
        search.feed(block)
        sizes.append(_nodes(search))
    assert max(sizes) < 1000
    assert len(search.finish().log_probs) < 100


def _nodes(search: StreamingSearch) -> int:
    beam = search._search
    assert isinstance(beam, BeamSearch)
    return len(beam._state.trie.nodes)


def test_a_long_search_reuses_its_memory() -> None:
    world = Sources(LETTERS, word_model=tiny_model(TEXT, 3), hotwords={"ab a": 3.0})
    search = Decoder(SearchConfig(16), world.fusion()).start(LETTERS, 0.04)
    log_probs = emissions_of(1, 500, 4)
    sizes = []
    for _ in range(30):
        search.feed(log_probs)
        sizes.append(_nodes(search))
    assert max(sizes) < 3 * sizes[0]
