"""Rich transcripts: words with times and confidences, alternatives, rejection."""

import dataclasses
import json
import multiprocessing
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import asr
from asr.corpus.manifest import read_manifest
from asr.decode.beam import SearchConfig
from asr.decode.confidence import Calibration
from asr.decode.decoder import Decoder, build_decoder
from asr.errors import ConfigError
from asr.inference.evaluation import evaluate
from asr.inference.recognizer import Recognizer
from asr.inference.transcript import Alternative, Transcript, join_transcripts
from asr.model.device import has_native_bfloat16, precision_dtype
from asr.signal import audio
from recipes.tones.prepare import SAMPLE_RATE, TONES
from tests.support import REPOSITORY, Tones


@pytest.fixture(scope="module")
def recognizer(tones: Tones) -> Recognizer:
    return asr.load(tones.checkpoint)


@pytest.fixture(scope="module")
def spoken(tones: Tones) -> list[tuple[Path, str]]:
    """Some recordings and what they say."""
    utterances = read_manifest(tones.test)[:12]
    return [(Path(utterance.audio_filepath), utterance.text) for utterance in utterances]


BEAM = Decoder(SearchConfig(beam_size=8))


@pytest.mark.parametrize("decoder", [Decoder(), BEAM], ids=["greedy", "beam"])
def test_words_follow_each_other_inside_the_recording(
    recognizer: Recognizer, spoken: list[tuple[Path, str]], decoder: Decoder
) -> None:
    for path, _ in spoken:
        found = recognizer.transcribe(path, decoder=decoder, word_timestamps=True)
        assert " ".join(word.text for word in found.words) == found.text
        edges = [e for word in found.words for e in (word.start_seconds, word.end_seconds)]
        assert edges == sorted(edges)
        assert edges[0] >= 0
        assert edges[-1] <= found.duration_seconds
        for word in found.words:
            assert word.start_seconds < word.end_seconds
            assert word.confidence is not None
            assert 0 <= word.confidence <= 1


def test_times_are_when_the_words_sound(recognizer: Recognizer) -> None:
    def tone(character: str, seconds: float) -> Tensor:
        time = torch.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
        return sum((torch.sin(2 * torch.pi * f * time) for f in TONES[character]), time * 0)

    def pause(seconds: float) -> Tensor:
        return torch.zeros(round(seconds * SAMPLE_RATE))

    generator = torch.Generator().manual_seed(0)
    pieces = [pause(0.05), tone("A", 0.15), pause(0.08), tone("D", 0.15), pause(0.35)]
    pieces += [tone("G", 0.15), pause(0.05)]
    waveform = torch.cat(pieces) * 0.2
    waveform += 0.003 * torch.randn(len(waveform), generator=generator)
    found = recognizer.transcribe(waveform, SAMPLE_RATE, word_timestamps=True)
    assert found.text == "AD G"
    first, second = found.words
    assert (first.start_seconds, first.end_seconds) == pytest.approx((0.05, 0.43), abs=0.13)
    assert (second.start_seconds, second.end_seconds) == pytest.approx((0.78, 0.93), abs=0.13)


def test_words_cost_nothing_unless_asked(
    recognizer: Recognizer, spoken: list[tuple[Path, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asr.inference.decoding.word_confidences", lambda *_: pytest.fail("asked"))
    found = recognizer.transcribe(spoken[0][0])
    assert (found.words, found.log_ratio, found.rejected) == ((), None, False)


def test_confidences_are_calibrated(recognizer: Recognizer, spoken: list[tuple[Path, str]]) -> None:
    calibration = Calibration(0.5, -1.0)
    raw, mapped = (
        recognizer.transcribe(spoken[0][0], decoder=decoder, word_timestamps=True)
        for decoder in (BEAM, dataclasses.replace(BEAM, calibration=calibration))
    )
    expected = calibration.apply([word.confidence or 0.0 for word in raw.words])
    assert [word.confidence for word in mapped.words] == pytest.approx(expected.tolist())


def test_alternatives_are_distinct_and_ordered(
    recognizer: Recognizer, spoken: list[tuple[Path, str]]
) -> None:
    decoder = Decoder(SearchConfig(beam_size=16, nbest=5))
    found = recognizer.transcribe(spoken[0][0], decoder=decoder)
    assert found.nbest[0].text == found.text
    assert found.nbest[0].log_score == found.log_score
    assert len({alternative.text for alternative in found.nbest}) == len(found.nbest) == 5
    scores = [alternative.log_score for alternative in found.nbest]
    assert scores == sorted(scores, reverse=True)
    timed = recognizer.transcribe(spoken[0][0], decoder=decoder, word_timestamps=True)
    assert timed.nbest == found.nbest  # the hypotheses that vote are not all returned
    assert timed.text == found.text


def test_what_a_grammar_does_not_allow_is_rejected(
    recognizer: Recognizer, spoken: list[tuple[Path, str]], tmp_path: Path
) -> None:
    path, text = spoken[0]
    others = [other for _, other in spoken[1:]]
    for sentences, is_in in (([text, *others], True), (others, False)):
        grammar = tmp_path / "grammar.jsgf"
        grammar.write_text(f"public <said> = {' | '.join(sentences)};")
        free = build_decoder(recognizer.tokens, SearchConfig(beam_size=16), grammar=grammar)
        found = recognizer.transcribe(path, decoder=free)
        assert found.text in ([text] if is_in else others)
        assert not found.rejected
        assert found.log_ratio is not None
        assert found.log_ratio <= 0
        strict = dataclasses.replace(free, reject_below=-0.5)
        judged = recognizer.transcribe(path, decoder=strict, word_timestamps=True)
        assert judged.log_ratio == found.log_ratio
        assert judged.rejected != is_in
        assert judged.text == (text if is_in else "")
        assert bool(judged.words) == is_in


def test_nothing_possible_is_an_empty_text_that_says_so(
    recognizer: Recognizer, tmp_path: Path
) -> None:
    grammar = tmp_path / "grammar.jsgf"
    grammar.write_text("public <said> = ABCDEFGHIABCDEFGHI;")
    decoder = build_decoder(recognizer.tokens, SearchConfig(beam_size=16), grammar=grammar)
    found = recognizer.transcribe(
        torch.zeros(800), SAMPLE_RATE, decoder=decoder, word_timestamps=True
    )
    assert (found.text, found.words, found.nbest) == ("", (), ())
    assert found.rejected
    assert found.log_score == -torch.inf


def test_silence_has_no_words(recognizer: Recognizer) -> None:
    found = recognizer.transcribe(torch.zeros(1), SAMPLE_RATE, word_timestamps=True)
    assert " ".join(word.text for word in found.words) == found.text


def test_metrics_come_with_the_checkpoint(tones: Tones, recognizer: Recognizer) -> None:
    assert recognizer.checkpoint.metrics == json.loads(
        (tones.checkpoint / "metrics.json").read_text()
    )


def test_evaluation_judges_confidences_and_alternatives(
    tones: Tones, recognizer: Recognizer, caplog: pytest.LogCaptureFixture
) -> None:
    utterances = [
        dataclasses.replace(utterance, text=utterance.text + " A" * (place % 2))
        for place, utterance in enumerate(read_manifest(tones.test)[:6])
    ]
    utterances.append(
        dataclasses.replace(utterances[0], id="lost", audio_filepath=Path("gone.wav"))
    )
    decoder = Decoder(SearchConfig(beam_size=16, nbest=8))
    utterances[1] = dataclasses.replace(utterances[1], text=utterances[1].text.lower())
    result = evaluate(recognizer, utterances, decoder=decoder, word_timestamps=True)
    assert caplog.text.count("1 of 7 references has characters") == 1
    assert "convert the transcripts to upper case" in caplog.text
    assert list(result.transcripts) == list(result.hypotheses) == [u.id for u in utterances[:-1]]
    one_by_one = [recognizer.transcribe(u, decoder=decoder) for u in utterances[:-1]]
    assert list(result.hypotheses.values()) == [transcript.text for transcript in one_by_one]
    assert set(result.failures) == {"lost"}
    confidences, correct = result.word_confidences()
    heard = sum(len(text.split()) for text in result.hypotheses.values())
    assert len(confidences) == len(correct) == heard
    assert sum(correct) == sum(u.words.hits for u in result.aligned)
    assert 0 < result.oracle_wer() <= result.score.wer
    alone = evaluate(recognizer, utterances, beam_size=16)
    assert alone.score == result.score
    assert alone.oracle_wer() == alone.score.wer


def test_utterances_in_one_recording_are_those_alone(
    recognizer: Recognizer, spoken: list[tuple[Path, str]]
) -> None:
    pause = torch.zeros(round(0.4 * SAMPLE_RATE))
    waveforms = [audio.read(path)[0] for path, _ in spoken]
    joined = torch.cat([part for waveform in waveforms for part in (waveform, pause)])
    decoder = Decoder(SearchConfig(beam_size=8, nbest=4))
    alone = [recognizer.transcribe(w, SAMPLE_RATE, decoder=decoder) for w in waveforms]
    found = recognizer.transcribe(joined, SAMPLE_RATE, decoder=decoder, word_timestamps=True)

    assert found.text == " ".join(transcript.text for transcript in alone)
    assert found.duration_seconds == len(joined) / SAMPLE_RATE
    assert " ".join(word.text for word in found.words) == found.text
    edges = [e for word in found.words for e in (word.start_seconds, word.end_seconds)]
    assert edges == sorted(edges)
    start, number = 0.0, 0
    for waveform, transcript in zip(waveforms, alone, strict=True):
        end = start + len(waveform) / SAMPLE_RATE
        for word in found.words[number : number + len(transcript.text.split())]:
            assert start - 0.2 < word.start_seconds < word.end_seconds < end + 0.2
            number += 1
        start = end + 0.4
    assert found.nbest[0].text == found.text
    assert found.nbest[0].log_score == pytest.approx(found.log_score)
    scores = [alternative.log_score for alternative in found.nbest]
    assert len(scores) == 4
    assert scores == sorted(scores, reverse=True)


def test_emissions_of_segments_have_a_space_between(
    recognizer: Recognizer, spoken: list[tuple[Path, str]]
) -> None:
    pause = torch.zeros(round(0.4 * SAMPLE_RATE))
    joined = torch.cat([p for path, _ in spoken for p in (audio.read(path)[0], pause)])
    segments, log_probs = recognizer.segments(joined), recognizer.log_probs(joined)
    assert len(segments) > 2
    assert torch.allclose(log_probs.exp().sum(dim=1), torch.ones(len(log_probs)), atol=1e-4)
    changed = (log_probs != torch.cat(segments)).any(dim=1)
    assert int(changed.sum()) < len(segments)
    assert (log_probs[changed].argmax(dim=1) == recognizer.tokens.space).all()


def test_in_silence_nothing_is_said(recognizer: Recognizer, spoken: list[tuple[Path, str]]) -> None:
    """Its windows are not encoded, and the others are as they were."""
    waveforms = [audio.read(path, SAMPLE_RATE)[0] for path, _ in spoken[:3]]
    windows = [window for one in waveforms for window in recognizer.windows.of_stretch(0, one)]
    expected = [recognizer.encode([window])[0] for window in windows]
    windows[1] = dataclasses.replace(windows[1], is_silent=True)
    found = recognizer.encode(windows)
    assert [one.shape for one in found] == [one.shape for one in expected]
    torch.testing.assert_close(found[0], expected[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found[2], expected[2], atol=1e-5, rtol=1e-5)
    assert bool((found[1].argmax(1) == 0).all())
    torch.testing.assert_close(found[1].logsumexp(1), torch.zeros(len(found[1])), atol=1e-5, rtol=0)
    assert recognizer.encode([windows[1]])[0].equal(found[1])


def test_the_likeliest_combinations_of_the_parts() -> None:
    def part(**texts: float) -> Transcript:
        nbest = tuple(Alternative(text, score, score / 2) for text, score in texts.items())
        return Transcript(nbest[0].text, 1.0, nbest[0].log_score, 0.1, nbest=nbest)

    parts = [part(A=-1.0, B=-1.5), part(C=-2.0, D=-2.2, E=-9.0)]
    joined = join_transcripts(parts, 3)
    assert (joined.text, joined.duration_seconds, joined.log_score) == ("A C", 2.0, -3.0)
    assert [a.text for a in joined.nbest] == ["A C", "A D", "B C"]
    assert joined.nbest[1] == Alternative("A D", -3.2, -1.6)


SAMPLE = REPOSITORY / "recipes" / "synthetic" / "samples" / "07-code-flite-slt.flac"


@pytest.fixture(scope="module")
def shipped() -> Recognizer:
    return asr.load(REPOSITORY / "checkpoints" / "an4-blstm")


def _answer(recognizer: Recognizer, answers: Any) -> None:
    answers.put(recognizer.transcribe(SAMPLE, beam_size=1).text)


def _answer_of_process(method: str, recognizer: Recognizer) -> str:
    context: Any = multiprocessing.get_context(method)
    answers = context.Queue()
    process = context.Process(target=_answer, args=(recognizer, answers))
    process.start()
    try:
        return str(answers.get(timeout=60))
    finally:
        process.kill()
        process.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_server_may_load_and_then_fork(shipped: Recognizer) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        expected = shipped.transcribe(SAMPLE, beam_size=1).text
        assert expected
        assert _answer_of_process("fork", shipped) == expected
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_a_pickled_recogniser_says_the_same(shipped: Recognizer) -> None:
    expected = shipped.transcribe(SAMPLE, beam_size=1).text
    assert pickle.loads(pickle.dumps(shipped)).transcribe(SAMPLE, beam_size=1).text == expected


@pytest.mark.slow
def test_a_spawned_process_recognises(shipped: Recognizer) -> None:
    expected = shipped.transcribe(SAMPLE, beam_size=1).text
    shipped.prepare(beam_size=4)  # what is compiled goes along
    assert _answer_of_process("spawn", shipped) == expected


def test_precision(shipped: Recognizer) -> None:
    waveform, _ = audio.read(SAMPLE, shipped.sample_rate)
    coarse = asr.load(REPOSITORY / "checkpoints" / "an4-blstm", precision="bfloat16")
    (exact,), (near,) = shipped.segments(waveform), coarse.segments(waveform)
    assert coarse.precision == "bfloat16"
    assert near.dtype == exact.dtype
    differences = (near.exp() - exact.exp()).abs()
    assert 0 < differences.max() < 0.1
    assert shipped.precision == "float32"
    automatic = precision_dtype("auto", torch.device("cpu"))
    assert (automatic is torch.bfloat16) == has_native_bfloat16(torch.device("cpu"))


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"precision: expected one of float32, bfloat16, auto"):
        asr.load(REPOSITORY / "checkpoints" / "an4-blstm", precision="int8")  # type: ignore[arg-type]


def test_hours_of_batches_do_not_fill_the_kernel_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
    monkeypatch.setenv(name, "to be restored")
    monkeypatch.delenv(name)

    asr.load(REPOSITORY / "checkpoints/an4-blstm")

    assert 0 < int(os.environ[name]) < 1024
