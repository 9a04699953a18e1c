"""A stream gives what the whole recording gives, in whichever blocks it comes."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import asr
from asr.corpus.manifest import read_manifest
from asr.decode.beam import SearchConfig
from asr.decode.decoder import Decoder, build_decoder
from asr.errors import AudioError, ConfigError
from asr.inference.decoding import SegmentDecoder
from asr.inference.events import Final, Partial, StreamEvent
from asr.inference.phrases import PhraseTranscriber
from asr.inference.recognizer import Recognizer
from asr.inference.stream import Stream
from asr.signal import audio
from recipes.tones.prepare import SAMPLE_RATE
from tests.support import Tones

MODES = [None, 0.5]
"""Phrases, and chunks with so much right context."""


@pytest.fixture(scope="module")
def recognizer(tones: Tones) -> Recognizer:
    return asr.load(tones.checkpoint)


@pytest.fixture(scope="module")
def speech(tones: Tones) -> Tensor:
    """Utterances with pauses of a quiet noise between them."""
    generator = torch.Generator().manual_seed(0)
    parts = [1e-4 * torch.randn(SAMPLE_RATE, generator=generator)]
    for utterance in read_manifest(tones.test)[:5]:
        parts.append(audio.read(utterance.audio_filepath)[0])
        parts.append(1e-4 * torch.randn(round(1.3 * SAMPLE_RATE), generator=generator))
    return torch.cat(parts)


def fed(stream: Stream, waveform: Tensor, sizes: Callable[[], int]) -> list[StreamEvent]:
    events, start = [], 0
    while start < len(waveform):
        block = waveform[start : start + sizes()]
        events += stream.feed(block, SAMPLE_RATE)
        start += len(block)
    return events


def finals(events: Sequence[StreamEvent]) -> list[Final]:
    return [event for event in events if isinstance(event, Final)]


def text_of(events: Sequence[StreamEvent]) -> str:
    return " ".join(final.text for final in finals(events))


@pytest.mark.parametrize("kind", ["greedy", "beam", "lexicon"])
def test_finals_are_those_of_the_recording_with_vad(
    recognizer: Recognizer, speech: Tensor, tmp_path: Path, kind: str
) -> None:
    decoder = Decoder(SearchConfig(beam_size=1 if kind == "greedy" else 8))
    if kind == "lexicon":
        said = recognizer.transcribe(speech, SAMPLE_RATE, vad="energy", decoder=decoder)
        words = sorted(set(said.text.split()))
        (tmp_path / "words.txt").write_text("\n".join(words))
        search = SearchConfig(beam_size=50)
        decoder = build_decoder(recognizer.tokens, search, lexicon=tmp_path / "words.txt")
    expected = recognizer.transcribe(
        speech, SAMPLE_RATE, vad="energy", decoder=decoder, word_timestamps=True
    )
    stream = recognizer.stream(decoder=decoder, word_timestamps=True)
    events = fed(stream, speech, lambda: 777) + stream.finish()
    found = [word for final in finals(events) for word in final.words]
    assert len(finals(events)) > 1
    assert text_of(events) == expected.text
    assert [word.text for word in found] == [word.text for word in expected.words]
    for mine, its in zip(found, expected.words, strict=True):
        assert mine.start_seconds == pytest.approx(its.start_seconds, abs=1e-5)
        assert mine.end_seconds == pytest.approx(its.end_seconds, abs=1e-5)
        assert mine.confidence == pytest.approx(its.confidence, abs=1e-4)
    for one in finals(events):
        assert one.start_seconds <= one.words[0].start_seconds
        assert one.words[-1].end_seconds <= one.end_seconds + 0.1


@pytest.mark.parametrize("right_context_seconds", MODES)
def test_blocks_of_any_size_give_the_same_finals(
    recognizer: Recognizer, speech: Tensor, right_context_seconds: float | None
) -> None:
    rng = random.Random(0)
    found = []
    for sizes in (lambda: 80, lambda: len(speech), lambda: rng.choice([1, 100, 9000])):
        stream = recognizer.stream(
            decoder=Decoder(), word_timestamps=True, right_context_seconds=right_context_seconds
        )
        found.append(finals(fed(stream, speech, sizes) + stream.finish()))
    assert found[0] == found[1] == found[2]


def test_chunks_find_what_was_said_before_its_phrase_ends(
    recognizer: Recognizer, tones: Tones
) -> None:
    utterances = read_manifest(tones.test)[:6]
    speech = torch.cat([audio.read(one.audio_filepath)[0] for one in utterances])
    stream = recognizer.stream(decoder=Decoder(), right_context_seconds=0.5)
    early = fed(stream, speech, lambda: 800)
    assert text_of(early)
    expected = recognizer.transcribe(speech, SAMPLE_RATE, decoder=Decoder()).text.split()
    found = text_of(early + stream.finish()).split()
    assert abs(len(found) - len(expected)) <= len(expected) // 4


@pytest.mark.parametrize("right_context_seconds", MODES)
def test_a_lexicon_decides_at_the_end_of_a_phrase(
    recognizer: Recognizer, speech: Tensor, tmp_path: Path, right_context_seconds: float | None
) -> None:
    words = recognizer.transcribe(speech, SAMPLE_RATE, vad="energy").text.split()
    (tmp_path / "words.txt").write_text("\n".join(sorted(set(words))))
    stream = recognizer.stream(
        lexicon=tmp_path / "words.txt", right_context_seconds=right_context_seconds
    )
    events = fed(stream, speech, lambda: 800) + stream.finish()
    assert len(finals(events)) > 1
    assert set(text_of(events).split()) <= set(words)


@pytest.mark.parametrize("right_context_seconds", MODES)
def test_flush_ends_the_phrase_and_another_stream_begins(
    recognizer: Recognizer, speech: Tensor, right_context_seconds: float | None
) -> None:
    begin = round(3.21 * SAMPLE_RATE)

    def stream() -> Stream:
        return recognizer.stream(
            decoder=Decoder(), word_timestamps=True, right_context_seconds=right_context_seconds
        )

    parts = []
    for part in (speech[:begin], speech[begin:]):
        alone = stream()
        parts.append(finals(alone.feed(part, SAMPLE_RATE) + alone.finish()))
    both = stream()
    first = both.feed(speech[:begin], SAMPLE_RATE) + both.flush()
    second = both.feed(speech[begin:], SAMPLE_RATE) + both.finish()
    assert finals(first) == parts[0]
    assert [one.text for one in finals(second)] == [one.text for one in parts[1]]
    for mine, its in zip(finals(second), parts[1], strict=True):
        assert mine.start_seconds == pytest.approx(its.start_seconds + 3.21)
        for word, other in zip(mine.words, its.words, strict=True):
            assert word.end_seconds == pytest.approx(other.end_seconds + 3.21)


def test_partial_results_become_the_final_one_or_are_taken_back(
    recognizer: Recognizer, speech: Tensor
) -> None:
    stream = recognizer.stream(decoder=Decoder())
    events = fed(stream, speech, lambda: 800) + stream.finish()
    shown, partials = "", 0
    for event in events:
        if isinstance(event, Final):
            assert event.text
            shown = ""
        else:
            assert event.text != shown
            shown = event.text
            partials += bool(shown)
    assert not shown
    assert partials > len(finals(events))


@pytest.mark.parametrize("right_context_seconds", MODES)
def test_noise_that_never_pauses_is_cut(
    recognizer: Recognizer, speech: Tensor, right_context_seconds: float | None
) -> None:
    """The loud samples of an utterance, for longer than a phrase may be."""
    loud = speech[round(SAMPLE_RATE) :][: 4 * SAMPLE_RATE].repeat(20)
    loud = torch.cat([speech[:SAMPLE_RATE], loud[loud.abs() > 1e-3]])
    assert len(loud) > 35 * SAMPLE_RATE
    stream = recognizer.stream(decoder=Decoder(), right_context_seconds=right_context_seconds)
    events = fed(stream, loud, lambda: SAMPLE_RATE)
    for event in events:
        assert event.end_seconds - event.start_seconds <= 30 or isinstance(event, Partial)
    assert finals(events)
    stream.finish()


def test_an_encoder_that_reads_forwards_may_do_without_right_context(
    recognizer: Recognizer, speech: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError):
        recognizer.stream(right_context_seconds=0)
    monkeypatch.setattr(
        recognizer.model, "config", replace(recognizer.model.config, bidirectional=False)
    )
    stream = recognizer.stream(right_context_seconds=0, decoder=Decoder())
    events = fed(stream, speech, lambda: 800) + stream.finish()
    assert finals(events)


def test_partial_results_are_rarer_where_they_take_long(
    recognizer: Recognizer, speech: Tensor
) -> None:
    decode = SegmentDecoder(Decoder(), recognizer.tokens, recognizer.clock, False)

    def looks(seconds: float) -> int:
        now = iter(float(i // 2) * seconds * 10 + i % 2 * seconds for i in range(10**6))
        times: list[float] = []

        def clock() -> float:
            times.append(next(now))
            return times[-1]

        transcriber = PhraseTranscriber(
            recognizer.encode, recognizer.windows, decode, 0.0, 0.2, clock
        )
        for block in torch.split(speech, 800):
            transcriber.feed(block)
            transcriber.partial()
        return len(times) // 2

    assert looks(0.1) > 2 * looks(0.6) > 0


def test_other_rates_are_resampled(recognizer: Recognizer, speech: Tensor) -> None:
    from asr.signal.dsp import resample

    rate = SAMPLE_RATE * 3
    stream = recognizer.stream(decoder=Decoder())
    events = []
    for block in torch.split(resample(speech, SAMPLE_RATE, rate), 1000):
        events += stream.feed(block.numpy(), rate)
    events += stream.finish()
    assert text_of(events) == recognizer.transcribe(speech, SAMPLE_RATE, vad="energy").text


def test_nothing_was_said(recognizer: Recognizer) -> None:
    stream = recognizer.stream(decoder=Decoder())
    assert stream.flush() == []
    assert stream.feed(np.zeros(0, np.float32), SAMPLE_RATE) == []
    assert stream.feed(torch.zeros(5 * SAMPLE_RATE), SAMPLE_RATE) == []
    assert stream.finish() == []


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (torch.zeros(100), SAMPLE_RATE * 2, "as before"),
        (torch.zeros(100), 16, "if kHz are meant, give 16000"),
        (torch.full((100,), float("nan")), SAMPLE_RATE, "found NaN"),
        (torch.zeros(100, 2), SAMPLE_RATE, "one channel"),
        (torch.zeros(100, dtype=torch.int16), SAMPLE_RATE, "divide 16-bit integers"),
        ([0.0] * 100, SAMPLE_RATE, "expected an array, found list"),
    ],
)
def test_samples_that_are_refused_change_nothing(
    recognizer: Recognizer, speech: Tensor, samples: object, rate: int, message: str
) -> None:
    stream = recognizer.stream(decoder=Decoder())
    events = stream.feed(speech[:30_000], SAMPLE_RATE)
    with pytest.raises(AudioError, match=message):
        stream.feed(samples, rate)  # type: ignore[arg-type]
    events += stream.feed(speech[30_000:], SAMPLE_RATE) + stream.finish()
    assert text_of(events) == recognizer.transcribe(speech, SAMPLE_RATE, vad="energy").text


def test_a_finished_stream_is_not_fed(recognizer: Recognizer) -> None:
    stream = recognizer.stream(decoder=Decoder())
    stream.finish()
    for call in (stream.finish, stream.flush, lambda: stream.feed(torch.zeros(9), SAMPLE_RATE)):
        with pytest.raises(AudioError, match="start another"):
            call()


@pytest.mark.parametrize("wrong", [0.0, -1.0, 11.0, float("nan"), "1", True])
def test_wrong_options(recognizer: Recognizer, wrong: object) -> None:
    with pytest.raises(ConfigError, match=r"^right_context_seconds: expected 0.1 to 10 seconds"):
        recognizer.stream(right_context_seconds=wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"^step_seconds: expected 0.1 to 10 seconds"):
        recognizer.stream(step_seconds=wrong)  # type: ignore[arg-type]
