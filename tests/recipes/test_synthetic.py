"""Phrases, the committed samples, and rendering where a synthesiser is installed."""

import ctypes.util
import importlib
import itertools
import math
import re
import shutil
from collections import Counter
from pathlib import Path
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asr.corpus.manifest import Utterance, read_manifest
from asr.errors import AsrError
from asr.signal import audio
from recipes.synthetic import espeak, phrases, prepare, render
from recipes.synthetic.accents import ACCENTS
from recipes.synthetic.render import SAMPLE_RATE, Delivery, Setting, Voice
from tests.support import run_recipe

SLT, ESPEAK = Voice("flite", "slt"), Voice("espeak", "en-us+m1")
WORDS = {
    *phrases.LETTERS,
    *phrases.ONES,
    *phrases.TEENS,
    *phrases.TENS,
    *phrases.ORDINALS,
    *phrases.MONTHS,
    *phrases.COMMANDS,
    *"OH HUNDRED THOUSAND AND HALF THIRTIETH OF AREA CODE APOSTROPHE".split(),
}


def has_espeak() -> bool:
    try:
        espeak.load()
    except AsrError:
        return False
    return True


needs_flite = pytest.mark.skipif(
    shutil.which("flite") is None, reason="flite is not installed (Debian's package flite)"
)
needs_espeak = pytest.mark.skipif(
    not has_espeak(),
    reason="espeak-ng is not installed (Debian's espeak-ng, pip's espeakng-loader)",
)


def samples() -> list[Utterance]:
    return read_manifest(prepare.SAMPLES / "manifest.jsonl")


def decibels(amplitude: torch.Tensor) -> float:
    return 20 * math.log10(float(amplitude))


@given(seed=st.integers(), kind=st.sampled_from([None, *phrases.KINDS]))
def test_phrases_are_spelled_in_a_small_vocabulary_and_follow_the_seed(
    seed: int, kind: str | None
) -> None:
    phrase = phrases.draw(Random(seed), kind)
    assert re.fullmatch("[A-Z]+( [A-Z]+)*", phrase.text)
    assert set(phrase.text.split()) <= WORDS
    assert phrase == phrases.draw(Random(seed), kind)
    assert kind in (None, phrase.kind)


def test_every_word_is_drawn_and_kinds_follow_their_weights() -> None:
    random = Random(0)
    drawn = [phrases.draw(random) for _ in range(5000)]
    assert {word for phrase in drawn for word in phrase.text.split()} == WORDS
    weights = {kind: weight for kind, (weight, _) in phrases.KINDS.items()}
    assert sum(weights.values()) == 100
    for kind, count in Counter(phrase.kind for phrase in drawn).items():
        assert count / len(drawn) == pytest.approx(weights[kind] / 100, abs=0.02)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (phrases.two_digits(10), "TEN"),
        (phrases.two_digits(19), "NINETEEN"),
        (phrases.two_digits(20), "TWENTY"),
        (phrases.two_digits(97), "NINETY SEVEN"),
        (phrases.ordinal(1), "FIRST"),
        (phrases.ordinal(20), "TWENTIETH"),
        (phrases.ordinal(22), "TWENTY SECOND"),
        (phrases.ordinal(30), "THIRTIETH"),
        (phrases.ordinal(31), "THIRTY FIRST"),
        (phrases.spelled("ANNA"), "A N N A"),
    ],
)
def test_numbers_and_names_are_in_english_words(said: str, expected: str) -> None:
    assert said == expected


def test_committed_samples_are_those_of_the_plan() -> None:
    planned = [(job.id, job.text, job.voice.speaker) for job in prepare.sample_plan()]
    assert [(u.id, u.text, u.speaker) for u in samples()] == planned
    names = {utterance.audio_filepath.name for utterance in samples()}
    assert {path.name for path in prepare.SAMPLES.iterdir()} == {*names, "manifest.jsonl"}
    assert sum(path.stat().st_size for path in prepare.SAMPLES.iterdir()) < 1_500_000


@pytest.mark.parametrize("utterance", samples(), ids=lambda utterance: utterance.id)
def test_sample_is_clean_speech_of_the_stated_length(utterance: Utterance) -> None:
    info = audio.probe(utterance.audio_filepath)
    assert (info.sample_rate, info.channels) == (SAMPLE_RATE, 1)
    assert (info.container, info.subtype) == ("FLAC", "PCM_16")
    assert info.duration_seconds == pytest.approx(utterance.duration, abs=1e-5)
    assert 1 <= utterance.duration <= 8
    waveform, _ = audio.read(utterance.audio_filepath)
    assert -6.5 < decibels(waveform.abs().max()) < -5.5
    assert -26 < decibels(waveform.pow(2).mean().sqrt()) < -15
    for edge in (waveform[:1280], waveform[-1280:]):  # 80 ms of a quiet room, not of nothing
        assert -75 < decibels(edge.pow(2).mean().sqrt()) < -55


def test_training_shares_no_voice_and_no_sentence_with_the_samples() -> None:
    jobs = prepare.training_plan(400, seed=3)
    assert {job.voice for job in jobs} <= set(prepare.TRAINING_VOICES)
    assert not {v.name for v in prepare.SAMPLE_VOICES} & {v.name for v in prepare.TRAINING_VOICES}
    variants = {voice.name.partition("+")[2] for voice in prepare.SAMPLE_VOICES} - {""}
    assert not variants & {voice.name.partition("+")[2] for voice in prepare.TRAINING_VOICES}
    sentences = {job.text for job in prepare.sample_plan() if " " in job.text}
    assert not sentences & {job.text for job in jobs}


def test_a_sentence_of_the_samples_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = iter(["A B", "A B", "YES", "C D"])
    monkeypatch.setattr(prepare, "draw", lambda _: phrases.Phrase("city", next(texts)))
    job = prepare._training_job(0, seed=0, reserved={"A B"}, words=(), accents=False)
    assert job.text == "YES"


def test_training_plan_follows_the_seed_and_each_utterance_only_its_number() -> None:
    jobs = prepare.training_plan(30, seed=1)
    assert prepare.training_plan(10, seed=1) == jobs[:10]
    assert len({job.id for job in jobs}) == 30
    assert [job.text for job in prepare.training_plan(30, seed=2)] != [job.text for job in jobs]


def test_only_the_given_words_are_used() -> None:
    jobs = prepare.training_plan(200, seed=1, words=("LEFT", "RIGHT"))

    said = [job.text for job in jobs]
    assert set(said) == {"LEFT", "RIGHT"}
    assert 70 < said.count("LEFT") < 130
    for words in ("LEFT,", ""):
        done = run_recipe(prepare.train, "--utterances", "1", "--words", words)
        assert (done.code, "expected words of A-Z such as YES,NO" in done.stderr) == (2, True)


def test_voices_of_other_languages_use_their_own_spelling() -> None:
    jobs = prepare.training_plan(200, seed=1, words=phrases.ONES, accents=True)

    assert {job.voice.name.partition("+")[0] for job in jobs} == set(ACCENTS)
    assert {job.text for job in jobs} == set(phrases.ONES)
    assert render.spoken_words(["SIX", "ONE"], Voice("espeak", "fr+m3")) == ["sixe", "ouane"]


def test_accents_are_for_digits_alone() -> None:
    for words in ([], ["--words", "ONE,YES"]):
        done = run_recipe(prepare.train, "--utterances", "1", "--accents", *words)
        assert (done.code, "ZERO,ONE,TWO" in done.stderr) == (2, True)


def test_letters_are_respelled_for_each_synthesiser() -> None:
    words = "RUBOUT A Z I FIFTY SIX AND A HALF".split()
    flite = ["rubout", "ay", "Z", "I", "fifty", "six", "and", "a", "half"]
    assert render.spoken_words(words, SLT) == flite
    other = ["rub out", "eigh", "zee", "I", "fifty", "six", "and", "a", "half"]
    assert render.spoken_words(words, ESPEAK) == other
    assert render.spoken_words(["A"], SLT) == ["ay"]


def test_trim_keeps_the_speech_and_two_frames_around_it() -> None:
    tone = torch.sin(torch.arange(1600) * 0.3)
    silence = torch.zeros(8000)
    kept = render.trim(torch.cat((silence, tone, silence + 1e-4)))
    assert len(kept) == 1600 + 4 * 160
    assert torch.equal(kept[320:1920], tone)
    assert torch.equal(render.trim(tone), tone)
    for nothing in (silence, torch.empty(0)):
        with pytest.raises(AsrError, match="silence"):
            render.trim(nothing)


def test_record_sets_level_silence_and_noise() -> None:
    speech = 0.1 * torch.sin(torch.arange(16_000) * 0.3)
    before = speech.clone()
    setting = Setting(peak_dbfs=-12, noise_dbfs=-60, lead_seconds=0.3, trail_seconds=0.2)
    recorded = render.record(speech, setting, seed=1)
    assert torch.equal(speech, before)
    assert len(recorded) == 1.5 * SAMPLE_RATE
    assert decibels(recorded.abs().max()) == pytest.approx(-12, abs=0.3)
    assert decibels(recorded[:4800].pow(2).mean().sqrt()) == pytest.approx(-60, abs=2)
    assert torch.equal(recorded, render.record(speech, setting, seed=1))
    assert not torch.equal(recorded, render.record(speech, setting, seed=2))
    assert len(render.record(speech[:1600], setting, seed=1)) == SAMPLE_RATE


def test_noise_has_unit_power_that_falls_by_three_decibels_an_octave() -> None:
    noise = render.pink_noise(1 << 16, seed=5)
    assert float(noise.pow(2).mean()) == pytest.approx(1, rel=1e-4)
    power = torch.fft.rfft(noise).abs().pow(2)
    bin_hertz = SAMPLE_RATE / 2 / (len(power) - 1)
    octaves = [power[int(f / bin_hertz) : int(2 * f / bin_hertz)].mean() for f in (500, 1000, 2000)]
    for lower, upper in itertools.pairwise(octaves):
        assert 10 * math.log10(float(lower / upper)) == pytest.approx(3, abs=0.4)


@needs_flite
def test_flite_speaks_each_letter() -> None:
    three, six = (render.render(text, SLT) for text in ("M A R", "M A R V I N"))
    assert len(six) > 1.3 * len(three)
    assert torch.equal(three, render.render("M A R", SLT))
    slow = render.render("M A R", SLT, Delivery(tempo=0.5))
    assert len(slow) == pytest.approx(2 * len(three), rel=0.15)
    paused = render.render("M A R", SLT, Delivery(pauses=frozenset({0, 1})))
    assert len(paused) > len(three) + 0.1 * SAMPLE_RATE


@needs_flite
def test_moving_the_formants_keeps_the_length() -> None:
    usual = render._flite("<speak>ninety one</speak>", "awb", Delivery())
    shifted = render._flite("<speak>ninety one</speak>", "awb", Delivery(formants=1.2))
    assert len(shifted) == pytest.approx(len(usual), rel=0.02)


@needs_flite
def test_unknown_flite_voice_is_refused() -> None:
    with pytest.raises(AsrError, match=r"no voice 'nobody', only .*slt"):
        render.render("A", Voice("flite", "nobody"))


@pytest.mark.parametrize(("program", "message"), [("false", "failed"), ("true", "no recording")])
def test_failure_of_flite_is_reported(
    monkeypatch: pytest.MonkeyPatch, program: str, message: str
) -> None:
    monkeypatch.setattr(render, "_flite_voices", lambda: ("slt",))
    monkeypatch.setattr(render, "_flite_program", lambda: shutil.which(program))
    with pytest.raises(AsrError, match=message):
        render.render("A", SLT)


@needs_espeak
def test_espeak_speaks_each_letter() -> None:
    three, six = (render.render(text, ESPEAK) for text in ("M A R", "M A R V I N"))
    assert len(six) > 1.3 * len(three)
    slow = render.render("M A R", ESPEAK, Delivery(tempo=0.6))
    assert len(slow) > 1.2 * len(three)
    paused = render.render("M A R", ESPEAK, Delivery(pauses=frozenset({0, 1}), pitch=9.0))
    assert len(paused) > len(three) + 0.1 * SAMPLE_RATE


@needs_espeak
@pytest.mark.parametrize("name", ["xx-nowhere", "en-us+nobody"])
def test_unknown_espeak_voice_is_refused(name: str) -> None:
    with pytest.raises(AsrError, match=f"no voice {re.escape(repr(name))}"):
        render.render("A", Voice("espeak", name))


@needs_espeak
@pytest.mark.parametrize("accent", ACCENTS)
def test_every_accent_says_every_digit(accent: str) -> None:
    for digit in phrases.ONES:
        speech = render.render(digit, Voice("espeak", f"{accent}+m3"))
        assert 0.15 < len(speech) / SAMPLE_RATE < 1.2


@needs_espeak
def test_installed_espeak_has_every_voice_of_the_recipe() -> None:
    for voice in (*prepare.SAMPLE_VOICES, *prepare.TRAINING_VOICES):
        if voice.engine == "espeak":
            assert len(espeak.load().speak("go", voice.name, 300, 50)) > 1000


def test_missing_synthesisers_are_named_with_their_packages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_module(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}")

    for module, name in (
        (render, "_flite_program"),
        (render, "_flite_voices"),
        (espeak, "load"),
        (espeak, "packaged"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name).__wrapped__)  # without its memory
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(ctypes.util, "find_library", lambda _: None)
    monkeypatch.setattr(importlib, "import_module", no_module)
    with pytest.raises(AsrError, match=r"apt-get install espeak-ng.*pip install espeakng-loader"):
        render.render("YES", ESPEAK)
    assert "apt-get install flite" in run_recipe(prepare.samples, "-o", tmp_path).error
    assert not list(tmp_path.iterdir())


def test_commands_write_recordings_and_manifests(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tone = torch.sin(torch.arange(16_000) * 0.3)
    monkeypatch.setattr(prepare, "render", lambda *_: tone)
    arguments = ["--utterances", "5", "--seed", "7", "-o", tmp_path / "train"]
    assert "5 utterances, 0.00 hours" in run_recipe(prepare.train, *arguments).stdout
    utterances = read_manifest(tmp_path / "train" / "manifest.jsonl")
    assert [u.text for u in utterances] == [job.text for job in prepare.training_plan(5, 7)]
    for utterance in utterances:
        seconds = audio.probe(utterance.audio_filepath).duration_seconds
        assert seconds == pytest.approx(utterance.duration, abs=1e-5)

    made = run_recipe(prepare.samples, "-o", tmp_path / "samples")
    table = made.stdout.splitlines()
    assert len(table) == 1 + len(prepare.sample_plan())
    assert table[1].split()[1] == "-6.0"

    (tmp_path / "file").touch()
    refused = run_recipe(prepare.samples, "-o", tmp_path / "file" / "below")
    assert "cannot write" in refused.error
    assert run_recipe(prepare.train, "--utterances", "0").code == 2
