"""Recordings cut into windows: nothing is lost, nothing comes twice, whatever the blocks."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from asr.inference import windows
from asr.inference.windows import NEAR_SECONDS, Passage, Window, WindowReader
from asr.signal.features import FeatureConfig, FeatureExtractor

RATE, SUBSAMPLING = 1000, 2
UNIT = 10 * SUBSAMPLING
"""Samples of an output frame."""
CONFIG = FeatureConfig(sample_rate=RATE, num_mels=4, num_ceps=4, high_hz=400.0, normalise="none")


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "PASSAGE_SECONDS", 8.0)
    monkeypatch.setattr(windows, "SEGMENT_SECONDS", 2.0)
    monkeypatch.setattr(windows, "WINDOW_SECONDS", 3.0)
    monkeypatch.setattr(windows, "CONTEXT_SECONDS", 0.5)


def noise_with_pauses(seconds: float, pauses: list[float]) -> Tensor:
    """Noise, silent for 0.4 s around each pause."""
    waveform = torch.randn(round(seconds * RATE), generator=torch.Generator().manual_seed(0)) / 10
    for pause in pauses:
        waveform[round((pause - 0.2) * RATE) : round((pause + 0.2) * RATE)] /= 1000
    return waveform


def passages(waveform: Tensor, block: int = 10**9) -> list[Passage]:
    reader = WindowReader(FeatureExtractor(CONFIG), SUBSAMPLING)
    return list(reader.passages(torch.split(waveform, block)))


def cut(waveform: Tensor, block: int = 10**9) -> list[Window]:
    return [window for passage in passages(waveform, block) for window in passage.windows]


def kept(window: Window) -> Tensor:
    """The features of the frames that count."""
    return window.features[window.begin * SUBSAMPLING : window.end * SUBSAMPLING]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 30_000),
    st.lists(st.floats(0.5, 29), max_size=12),
    st.sampled_from([1, 700, 8192, 10**9]),
)
def test_every_frame_is_in_one_window(samples: int, pauses: list[float], block: int) -> None:
    waveform = noise_with_pauses(samples / RATE, [p for p in pauses if p * RATE < samples - 300])
    if block == 1:
        waveform = waveform[:3000]
    found = cut(waveform, block)
    frames = -(-(1 + len(waveform) // 10) // SUBSAMPLING)
    edges = [(window.start, window.start + window.end - window.begin) for window in found]
    assert edges[0][0] == 0
    assert edges[-1][1] == frames
    assert all(one[1] == other[0] for one, other in itertools.pairwise(edges))
    assert passages(waveform, block)[-1].read_seconds == len(waveform) / RATE
    assert found[0].starts_segment
    assert found[-1].ends_segment
    assert all(one.ends_segment == other.starts_segment for one, other in itertools.pairwise(found))
    # A frame beside a cut saw zeros on one side; all others are those of the whole recording.
    whole = FeatureExtractor(CONFIG)(waveform)
    for window in found:
        inner = kept(window)[3:-3]
        first = window.start * SUBSAMPLING + 3
        torch.testing.assert_close(inner, whole[first : first + len(inner)], atol=1e-4, rtol=1e-4)


def test_blocks_do_not_matter() -> None:
    waveform = noise_with_pauses(40.0, [3.0, 5.0, 13.0, 21.0, 22.0])
    expected = passages(waveform)
    for block in (333, 5000):
        found = passages(waveform, block)
        assert [p.read_seconds for p in found] == [p.read_seconds for p in expected]
        for one, other in zip(cut(waveform, block), cut(waveform), strict=True):
            assert torch.equal(one.features, other.features)
            assert one.start == other.start


def test_a_short_recording_is_one_segment_and_a_longer_one_is_cut_at_its_pauses() -> None:
    assert len(cut(noise_with_pauses(2.0, [1.0]))) == 1
    starts = [window.start * UNIT / RATE for window in cut(noise_with_pauses(6.0, [2.0, 4.5]))]
    assert starts == pytest.approx([0.0, 2.0, 4.5], abs=0.06)


def test_a_passage_ends_in_its_last_pause() -> None:
    found = passages(noise_with_pauses(20.0, [2.0, 6.0, 13.0]))
    starts = [passage.windows[0].start * UNIT / RATE for passage in found]
    assert starts == pytest.approx([0.0, 6.0, 13.0], abs=0.06)
    assert all(passage.windows[0].starts_segment for passage in found)


def test_without_pauses_windows_overlap_and_the_segment_goes_on() -> None:
    found = cut(noise_with_pauses(20.0, []))
    assert [window.starts_segment for window in found] == [True] + [False] * (len(found) - 1)
    assert [window.ends_segment for window in found] == [False] * (len(found) - 1) + [True]
    context = round(0.5 * RATE / UNIT)
    assert all(window.begin == context for window in found[1:])
    assert max(len(window.features) for window in found) * 10 / RATE <= 3.0 + 2 * 0.5


@pytest.mark.parametrize(("gain", "is_silent"), [(1.0, True), (5.0, False)])
def test_a_long_silence_is_silent_unless_something_stands_out(gain: float, is_silent: bool) -> None:
    """A sound of 1 s amid it, too soft to be as loud as the others."""
    rate = 16_000
    waveform = 1e-4 * torch.randn(6 * rate, generator=torch.Generator().manual_seed(0))
    waveform[:rate] *= 1000
    waveform[-rate:] *= 1000
    waveform[5 * rate // 2 : 7 * rate // 2] *= gain
    config = FeatureConfig(num_mels=4, num_ceps=4)
    ((*found,),) = (
        passage.windows
        for passage in WindowReader(FeatureExtractor(config), SUBSAMPLING).passages([waveform])
    )
    assert [window.is_silent for window in found] == [False, is_silent, False]
    assert [window.start * 0.02 for window in found] == pytest.approx([0, 1.5, 4.5], abs=0.06)


def test_only_what_is_near_a_sound_counts_in_the_normalisation() -> None:
    rate = 16_000
    config = FeatureConfig(num_mels=4, num_ceps=4, normalise="level")
    reader = WindowReader(FeatureExtractor(config), SUBSAMPLING)
    near = round((NEAR_SECONDS + 0.05) * rate)  # where a sound ends is known to 50 ms

    def sound(level: float) -> Tensor:
        """The features of 1 s of sound, whose background has a level of its own further away."""
        waveform = 0.001 * torch.randn(2 * rate, generator=torch.Generator().manual_seed(0))
        waveform[rate // 2 : -rate // 2] *= 100
        waveform[: rate // 2 - near] *= level
        waveform[near - rate // 2 :] *= level
        ((window),) = reader.of_stretch(0, waveform)
        return window.features[60:140]

    torch.testing.assert_close(sound(0.3), sound(1.0), atol=0.02, rtol=0)
