"""Stretches of speech are found where they are, whatever the level, the noise and the blocks."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from asr.errors import ConfigError
from asr.signal.noise import coloured_noise
from asr.signal.rng import seeded_generator
from asr.signal.vad import SpeechSegment, VadConfig, VoiceActivityDetector, speech_segments

RATE = 16_000
PADDING = VadConfig().padding_seconds


def sounds(*lengths: float, rate: int = RATE, background: float = 0.001) -> Tensor:
    """What is quiet and, in turn, bursts of noise 20 dB louder, of so many seconds each."""
    samples = [round(length * rate) for length in lengths]
    waveform = coloured_noise(sum(samples), seeded_generator(0))
    gains = [1.0 if i % 2 == 0 else 10.0 for i in range(len(samples))]
    return background * waveform * torch.tensor(gains).repeat_interleave(torch.tensor(samples))


def found(
    waveform: Tensor, rate: int = RATE, config: VadConfig | None = None, block: int = 10 * RATE
) -> list[SpeechSegment]:
    detector = VoiceActivityDetector(rate, config or VadConfig())
    segments = [each for piece in torch.split(waveform, block) for each in detector.feed(piece)]
    return segments + detector.finish()


def seconds(segments: list[SpeechSegment], rate: int = RATE) -> list[float]:
    return [edge / rate for segment in segments for edge in (segment.start, segment.end)]


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 48_000])
@pytest.mark.parametrize("background", [1e-4, 0.001, 0.1])
def test_bursts_are_found_with_their_padding(rate: int, background: float) -> None:
    waveform = sounds(2, 1.5, 2, 0.4, 0.5, 0.3, 3, rate=rate, background=background)
    expected = [2 - PADDING, 3.5 + PADDING, 5.5 - PADDING, 6.7 + PADDING]
    assert seconds(found(waveform, rate), rate) == pytest.approx(expected, abs=0.06)


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
def test_digital_silence_is_no_padding(rate: int) -> None:
    """Of the noise around speech 0.1 s is there before it and 0.15 s after it."""
    burst = sounds(0.1, 2, 0.15, rate=rate)
    waveform = torch.cat([sounds(2, rate=rate), torch.zeros(rate), burst, torch.zeros(3 * rate)])
    assert seconds(found(waveform, rate), rate) == pytest.approx([3, 5.25], abs=0.02)


def test_speech_at_the_ends_is_kept_within_the_recording() -> None:
    waveform = torch.cat([torch.zeros(RATE), sounds(0.2, 1, 1, 1)])
    first, last = found(waveform)
    assert seconds([first, last]) == pytest.approx([1, 2.5, 2.9, 4.2], abs=0.15)
    assert last.end == len(waveform)


@pytest.mark.parametrize("gain", [0.0, 1e-4, 0.01, 1.0])
def test_noise_and_silence_are_no_speech(gain: float) -> None:
    for seed in range(3):
        assert found(gain * coloured_noise(60 * RATE, seeded_generator(seed))) == []


def test_clicks_are_no_speech() -> None:
    waveform = sounds(*[1, 0.01] * 20, 1)
    assert found(waveform) == []
    assert found(waveform, config=VadConfig(shortest_seconds=0.02)) != []


@pytest.mark.parametrize("num_samples", [0, 1, 100, 12_345])
def test_recordings_that_hold_next_to_nothing(num_samples: int) -> None:
    assert found(torch.zeros(num_samples)) == []
    assert found(0.1 * coloured_noise(RATE, seeded_generator(0))[:num_samples]) == []


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_blocks_of_any_sizes_give_the_same_segments(data: st.DataObject) -> None:
    waveform = sounds(1.1, 0.3, 0.9, 4, 0.85, 0.2, 0.3, 0.7, 2)
    config = VadConfig(longest_seconds=2.5)
    whole = found(waveform, config=config)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(waveform)), max_size=30)))
    detector = VoiceActivityDetector(RATE, config)
    segments = []
    for first, end in itertools.pairwise([0, *cuts, len(waveform)]):
        segments += detector.feed(waveform[first:end])
    assert segments + detector.finish() == whole
    assert len(whole) >= 4


def test_long_speech_is_cut_where_it_is_least_like_speech() -> None:
    """At the longest pause in it, and nothing is lost between."""
    syllables = [0.3, 0.1] * 15
    waveform = sounds(2, *syllables, 0.3, 0.4, *syllables, 0.3, 2)
    first, last = found(waveform, config=VadConfig(longest_seconds=10))
    assert first.end == last.start
    assert first.end / RATE == pytest.approx(8.5, abs=0.15)
    assert seconds([first, last])[::3] == pytest.approx([2 - PADDING, 15 + PADDING], abs=0.06)


@pytest.mark.parametrize("longest", [2.0, 2.5, 7.0])
def test_no_segment_is_longer_than_the_longest(longest: float) -> None:
    lengths = [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.1, 2.9, 0.75, 2.0, 0.78, 0.15] * 3
    segments = found(sounds(2, *lengths[1:], 2), config=VadConfig(longest_seconds=longest))
    assert all(0 < each.end - each.start <= longest * RATE for each in segments)
    assert all(a.end <= b.start for a, b in itertools.pairwise(segments))


def test_a_live_stream_knows_soon_that_speech_has_begun_and_that_it_has_ended() -> None:
    waveform = sounds(3, 2, 3)
    detector = VoiceActivityDetector(RATE)
    began, ended = [], []
    for number, block in enumerate(torch.split(waveform, 800), 1):
        now = number * 800 / RATE
        ended += [(now, segment) for segment in detector.feed(block)]
        if segment := detector.unfinished():
            began.append((now, segment.start / RATE))
            assert segment.end / RATE <= now
    assert began[0][0] <= 3 + 0.3
    assert began[0][1] == pytest.approx(3 - PADDING, abs=0.06)
    assert all(start == began[0][1] for _, start in began)
    ((now, segment),) = ended
    assert now <= 5 + VadConfig().pause_seconds + 0.3
    assert segment.start / RATE == began[0][1]
    assert detector.unfinished() is None


def test_segments_are_cut_out_of_pieces_of_any_size() -> None:
    waveform = sounds(1.1, 1, 2, 2.5, 1, 0.5, 0.5)
    expected = found(waveform)
    assert len(expected) == 3
    for size in (100, 5000, len(waveform)):
        parts = list(speech_segments(torch.split(waveform, size), RATE))
        assert [(start, start + len(part)) for start, part in parts] == [
            (segment.start, segment.end) for segment in expected
        ]
        assert all(torch.equal(part, waveform[start:][: len(part)]) for start, part in parts)


@pytest.mark.parametrize("size", [1600, 50_000, 10**9])
def test_a_background_that_becomes_louder_is_no_speech(size: int) -> None:
    """Heard forwards alone, it would be for 3 s."""
    background = sounds(7, 9)
    waveform = background.clone()
    for start in (3 * RATE, 13 * RATE):  # the second in the noise that is louder
        waveform[start : start + RATE] *= 10
    assert seconds(found(waveform))[-4] == pytest.approx(7 - PADDING, abs=0.06)
    parts = list(speech_segments(torch.split(waveform, size), RATE))
    edges = [edge / RATE for start, part in parts for edge in (start, start + len(part))]
    expected = [3 - PADDING, 4 + PADDING, 13 - PADDING, 14 + PADDING]
    assert edges == pytest.approx(expected, abs=0.06)


def test_speech_amid_a_background_that_has_just_become_louder_is_cut_out_of_it() -> None:
    waveform = sounds(4, 6)
    waveform[5 * RATE : 6 * RATE] *= 10
    ((start, part),) = speech_segments([waveform], RATE)
    edges = [start / RATE, (start + len(part)) / RATE]
    assert edges == pytest.approx([5 - PADDING, 6 + PADDING], abs=0.06)


def test_what_is_settled_is_in_no_later_segment() -> None:
    waveform = sounds(1.1, 1, 2, 4, 1, 0.5, 0.5)
    detector = VoiceActivityDetector(RATE, VadConfig(longest_seconds=2))
    settled = 0
    for number, block in enumerate(torch.split(waveform, 1000), 1):
        assert all(segment.start >= settled for segment in detector.feed(block))
        assert settled <= detector.settled <= number * 1000
        settled = detector.settled
    # Whatever comes, all but the last seconds can be forgotten.
    for block in torch.split(coloured_noise(20 * RATE, seeded_generator(1)), 1000):
        detector.feed(10 * block)
        assert detector.settled >= number * 1000 - 3.5 * RATE
        number += 1


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"padding_seconds": 0.5}, "vad.padding_seconds: expected 0 to half of pause_seconds"),
        ({"padding_seconds": -0.1}, "vad.padding_seconds: expected 0 to .* found -0.1"),
        ({"shortest_seconds": 0.0}, "vad.shortest_seconds: expected 0.01 to 1, found 0"),
        ({"longest_seconds": 1.0}, "vad.longest_seconds: expected 2 to 3600, found 1.0"),
        ({"longest_seconds": float("nan")}, "vad.longest_seconds: expected 2 to 3600, found nan"),
    ],
)
def test_settings_beyond_use_are_refused(settings_: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        VadConfig(**settings_)


def test_a_rate_of_no_recording_is_refused() -> None:
    with pytest.raises(ConfigError, match="vad: expected a sample_rate in whole Hz"):
        VoiceActivityDetector(16)
