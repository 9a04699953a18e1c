"""Forced alignment against every path there is, and the times that are made of it."""

import importlib
import math
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asr.corpus.check import minimum_frames
from asr.decode import align as module
from asr.decode.align import Alignment, viterbi_align
from asr.decode.greedy import greedy_search
from asr.decode.timing import REACH_SECONDS, FrameClock, frame_clock, match
from asr.errors import ConfigError, TextError
from asr.inference.alignment import AlignedRecording, align_emissions
from asr.model.acoustic import AcousticModel, EncoderConfig
from asr.signal import dsp
from asr.signal.features import FeatureConfig, FeatureExtractor
from asr.text.timed import Timed
from asr.text.tokens import TokenTable
from tests.oracles import (
    Emissions,
    Tokens,
    collapse,
    emissions,
    log_softmax,
    path_scores,
    random_emissions,
)
from tests.support import REPOSITORY


def path_of(alignment: Alignment, num_frames: int) -> list[int]:
    """The token of each frame, 0 where it is the blank."""
    path = [0] * num_frames
    for token, first, last in zip(
        alignment.tokens, alignment.first_frames, alignment.last_frames, strict=True
    ):
        assert not any(path[first : last + 1])
        path[first : last + 1] = [token] * (last + 1 - first)
    return path


def total(log_probs: Emissions, path: Sequence[int]) -> float:
    return math.fsum(log_probs[frame, token] for frame, token in enumerate(path))


def plain_path(log_probs: Emissions, target: Sequence[int]) -> list[int]:
    """Viterbi with every choice kept; of equals the shortest step back."""
    states = [0]
    for token in target:
        states += [token, 0]
    column = [0.0] + [-math.inf] * (len(states) - 1)
    steps: list[list[int]] = []
    for frame in log_probs.tolist():
        previous, column = column, []
        steps.append([])
        for state, token in enumerate(states):
            sources = [previous[state]]
            if state >= 1:
                sources.append(previous[state - 1])
            if state >= 2 and token not in (0, states[state - 2]):
                sources.append(previous[state - 2])
            steps[-1].append(sources.index(max(sources)))
            column.append(max(sources) + frame[token])
    state = len(states) - 1 if column[-1] >= column[-2:][0] else len(states) - 2
    path = []
    for row in reversed(steps):
        path.append(states[state])
        state -= row[state]
    return path[::-1]


# --- The path


@given(emissions(max_frames=5))
def test_every_sequence_gets_its_likeliest_path(log_probs: Emissions) -> None:
    best: dict[Tokens, float] = {}
    for candidate, score in path_scores(log_probs).items():
        tokens = collapse(candidate)
        best[tokens] = max(score, best.get(tokens, -math.inf))
    for tokens, score in best.items():
        if score == -math.inf:
            with pytest.raises(TextError, match="no alignment"):
                viterbi_align(torch.from_numpy(log_probs), tokens)
            continue
        alignment = viterbi_align(torch.from_numpy(log_probs), tokens)
        path = path_of(alignment, len(log_probs))
        assert collapse(path) == tokens == alignment.tokens
        assert alignment.log_score == pytest.approx(score, abs=1e-12)
        assert total(log_probs, path) == pytest.approx(score, abs=1e-12)


@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(2, 4), st.data())
def test_checkpoints_change_nothing(
    seed: int, frames: int, tokens: int, data: st.DataObject
) -> None:
    generator = np.random.default_rng(seed)
    # Few distinct values: ties abound, and must be broken as without checkpoints.
    log_probs = log_softmax(generator.integers(0, 3, size=(frames, tokens)).astype(np.float64))
    target: list[int] = generator.integers(1, tokens, size=frames).tolist()
    while minimum_frames(target) > frames:
        target.pop()
    expected = plain_path(log_probs, target)
    assert path_of(viterbi_align(torch.from_numpy(log_probs), target), frames) == expected
    labels = np.zeros(2 * len(target) + 1, dtype=np.int64)
    labels[1::2] = target
    can_skip = np.zeros(len(labels), dtype=np.bool_)
    can_skip[3::2] = labels[3::2] != labels[1:-2:2]
    block = data.draw(st.integers(1, frames + 1))
    states, _ = module._best_path(log_probs, labels, can_skip, block)
    assert labels[states].tolist() == expected


def test_paths_are_those_of_torchaudio() -> None:
    """Recorded from torchaudio 2.11's forced_align."""
    log_probs = random_emissions(7, 12, 5, 2.0)
    path = path_of(viterbi_align(torch.from_numpy(log_probs), [3, 3, 1, 4]), 12)
    assert path == [0, 3, 0, 0, 3, 3, 1, 1, 4, 4, 0, 0]

    log_probs = random_emissions(8, 40, 6, 1.0)
    target = [1, 2, 2, 5, 3, 1, 1, 4, 2, 5]
    path = path_of(viterbi_align(torch.from_numpy(log_probs), target), 40)
    assert "".join(map(str, path)) == "1202550333333300000010001111111402220555"


def test_paths_are_those_of_torchaudio_where_it_runs() -> None:
    if not dsp.EXTENSION_LOADED:
        pytest.skip("torchaudio's compiled extension does not load beside this torch")
    functional = importlib.import_module("torchaudio.functional")
    for seed in range(50):
        log_probs = torch.from_numpy(random_emissions(seed, 80, 8, 2.0)).float()
        target = np.random.default_rng(seed).integers(1, 8, size=20).tolist()
        path, _ = functional.forced_align(log_probs[None], torch.tensor([target]))
        assert path_of(viterbi_align(log_probs, target), 80) == path[0].tolist()


def test_each_token_has_its_score_and_each_frame_its_ratio() -> None:
    log_probs = random_emissions(3, 30, 6, 2.0)
    alignment = viterbi_align(torch.from_numpy(log_probs), [1, 4, 4, 2])
    path = path_of(alignment, 30)
    for token, first, last, score in zip(
        alignment.tokens,
        alignment.first_frames,
        alignment.last_frames,
        alignment.log_scores,
        strict=True,
    ):
        assert score == pytest.approx(log_probs[first : last + 1, token].sum())
    expected = log_probs[np.arange(30), path] - log_probs.max(axis=1)
    assert alignment.log_ratios == pytest.approx(expected)
    assert (alignment.log_ratios <= 0).all()


@given(emissions(max_frames=12))
def test_what_greedy_search_hears_needs_no_search(log_probs: Emissions) -> None:
    emitted = torch.from_numpy(log_probs)
    tokens = greedy_search(emitted).tokens
    quick = viterbi_align(emitted, tokens)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_greedy_path", lambda *_: None)
        searched = viterbi_align(emitted, tokens)
    one, other = (
        vars(found) | {"log_ratios": found.log_ratios.tolist()} for found in (searched, quick)
    )
    assert one == other


def test_what_greedy_search_hears_matches_fully() -> None:
    log_probs = torch.from_numpy(random_emissions(5, 40, 5, 3.0))
    heard = greedy_search(log_probs)
    alignment = viterbi_align(log_probs, heard.tokens)
    assert alignment.log_score == pytest.approx(heard.log_score)
    assert match(alignment.log_ratios, len(heard.tokens)) == 1.0


@pytest.mark.parametrize(
    ("target", "frames", "needed"),
    [([1, 2, 3], 2, 3), ([1, 1], 2, 3), ([1, 1, 1, 2], 5, 6), ([1], 0, 1)],
)
def test_transcript_longer_than_the_audio_is_refused(
    target: list[int], frames: int, needed: int
) -> None:
    log_probs = torch.from_numpy(random_emissions(0, frames, 4))
    with pytest.raises(TextError) as error:
        viterbi_align(log_probs, target)
    assert f"{len(target)} tokens need at least {needed} frames" in str(error.value)
    assert f"there are {frames}" in str(error.value)
    fits = torch.from_numpy(random_emissions(0, needed, 4))
    assert viterbi_align(fits, target).tokens == tuple(target)


def test_no_tokens_are_all_blank() -> None:
    log_probs = random_emissions(1, 7, 3)
    alignment = viterbi_align(torch.from_numpy(log_probs), [])
    assert alignment.log_score == pytest.approx(log_probs[:, 0].sum())
    nothing = viterbi_align(torch.zeros(0, 3), [])
    assert (nothing.tokens, nothing.log_score, len(nothing.log_ratios)) == ((), 0.0, 0)


@pytest.mark.parametrize("token", [0, 4, -1])
def test_tokens_outside_the_table_are_refused(token: int) -> None:
    log_probs = torch.from_numpy(random_emissions(0, 5, 4))
    with pytest.raises(ConfigError, match=f"expected 1 to 3 .*, found {token}"):
        viterbi_align(log_probs, [1, token])


def test_what_is_no_log_probability_is_refused() -> None:
    log_probs = torch.from_numpy(random_emissions(0, 5, 4))
    with pytest.raises(ConfigError, match="expected log-probabilities"):
        viterbi_align(log_probs.exp(), [1])
    log_probs[2, 1] = math.nan
    with pytest.raises(ConfigError, match="NaN"):
        viterbi_align(log_probs, [1])


_MEMORY = """
import resource, torch
from asr.decode.align import viterbi_align
def peak(frames, count):
    log_probs = torch.zeros(frames, 4).log_softmax(1)
    viterbi_align(log_probs, ([1, 2, 3] * count)[:count])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
small = peak(100, 20)
print((peak(30_000, 5_000) - small) // 1024)
"""


@pytest.mark.slow
def test_memory_stays_small_in_long_audio() -> None:
    pytest.importorskip("resource")
    done = subprocess.run(
        [sys.executable, "-c", _MEMORY], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 60  # MiB; a byte for each choice would take 286


# --- Times

TABLE = TokenTable((" ", "A", "B", "C"))
CLOCK = FrameClock(0.04)


def peaky(path: str, confidence: float = 0.97) -> torch.Tensor:
    """Emissions that say a path; `.` is the blank."""
    tokens = [0 if c == "." else TABLE.encode(c)[0] for c in path]
    probabilities = np.full((len(path), 5), (1 - confidence) / 4)
    probabilities[np.arange(len(path)), tokens] = confidence
    return torch.from_numpy(np.log(probabilities))


def align(path: str, text: str) -> AlignedRecording:
    return align_emissions(peaky(path), TABLE, text, CLOCK, len(path) * 0.04)


def edges(words: Sequence[Timed]) -> list[tuple[str, float, float]]:
    return [(w.text, round(w.start_seconds, 4), round(w.end_seconds, 4)) for w in words]


def test_words_begin_at_the_space_and_end_halfway_to_the_next() -> None:
    aligned = align("....A.B.. .C....", "AB C")
    assert edges(aligned.words) == [("AB", 0.10, 0.30), ("C", 0.36, 0.50)]
    assert edges(aligned.words[0].characters) == [("A", 0.10, 0.20), ("B", 0.20, 0.30)]
    assert edges(aligned.words[1].characters) == [("C", 0.36, 0.50)]


def test_words_do_not_reach_across_a_long_silence() -> None:
    aligned = align("A..........  ..........C", "A C")
    (_, _, end), (_, start, _) = edges(aligned.words)
    assert end == pytest.approx(REACH_SECONDS)
    assert start == pytest.approx(23 * 0.04 - REACH_SECONDS)


def test_words_stay_inside_the_recording() -> None:
    assert edges(align("A B", "A B").words) == [("A", 0.0, 0.02), ("B", 0.04, 0.12)]
    short = align_emissions(peaky("A"), TABLE, "A", CLOCK, 1 / 16000)
    assert edges(short.words) == [("A", 0.0, round(1 / 16000, 4))]


@given(st.data(), st.integers(0, 1000), st.booleans())
def test_times_are_monotone_inside_and_never_empty(
    data: st.DataObject, seed: int, stacked: bool
) -> None:
    words = data.draw(st.lists(st.text("ABC", min_size=1, max_size=4), min_size=1, max_size=5))
    text = " ".join(words)
    needed = minimum_frames(TABLE.encode(text))
    frames = data.draw(st.integers(needed, needed + 30))
    log_probs = torch.from_numpy(random_emissions(seed, frames, 5, 2.0))
    clock = FrameClock(0.04, 0.015) if stacked else CLOCK
    duration = (frames - 1) * 0.04 + (0.01 if stacked else 0.0001)
    aligned = align_emissions(log_probs, TABLE, text, clock, duration)
    assert [word.text for word in aligned.words] == words
    reached = 0.0
    for word in aligned.words:
        assert reached <= word.start_seconds < word.end_seconds <= duration
        assert "".join(character.text for character in word.characters) == word.text
        inner = word.start_seconds
        for character in word.characters:
            assert character.start_seconds == inner
            inner = character.end_seconds
        assert inner == word.end_seconds
        assert word.confidence is not None
        assert 0 <= word.confidence <= 1
        reached = word.end_seconds


def test_the_wrong_word_is_the_one_without_confidence() -> None:
    aligned = align("..A.A..  .BB.B.. .C..C..", "AA CB CC")
    first, wrong, last = (word.confidence for word in aligned.words)
    assert (first, last) == (1.0, 1.0)
    assert wrong is not None
    assert wrong < 0.2
    assert 0.2 < aligned.match < 1
    assert align("..A.A..  .BB.B.. .C..C..", "AA BB CC").match == 1.0


def test_spaces_around_and_between_words_count_for_nothing() -> None:
    aligned = align("..A.. ..C.", "  A \t\n C ")
    assert aligned.text == "A C"


@pytest.mark.parametrize("text", ["", " \n "])
def test_empty_transcript_is_refused(text: str) -> None:
    with pytest.raises(TextError, match="empty"):
        align("..A..", text)


def test_transcript_with_other_characters_is_refused() -> None:
    with pytest.raises(TextError, match=r"'X' \(U\+0058\)"):
        align("..A..", "AX")


@pytest.mark.parametrize(
    ("rate", "stack", "subsampling"), [(16_000, 1, 4), (11_025, 1, 3), (8_000, 3, 1)]
)
def test_clock_follows_the_frames_of_the_model(rate: int, stack: int, subsampling: int) -> None:
    features = FeatureConfig(sample_rate=rate, high_hz=rate / 2, stack=stack, num_mels=16)
    channels = 0 if subsampling == 1 else 4
    encoder = EncoderConfig(
        layers=1,
        hidden=4,
        projection=4,
        convolution_channels=channels,
        subsampling=subsampling,  # type: ignore[arg-type]
    )
    clock = frame_clock(features, encoder)
    frames = 1000
    extractor = FeatureExtractor(features)
    samples = frames * extractor.hop * stack * subsampling
    length = torch.tensor([len(extractor(torch.zeros(samples)))])
    outputs = AcousticModel(encoder, features.num_features, 3).output_lengths(length)
    assert int(outputs) == frames + 1
    last = clock.centres([frames], math.inf)[0]
    middle = (stack - 1) / 2 * extractor.hop / rate
    assert last == pytest.approx(samples / rate + middle, abs=1e-9)
