"""The recipe of the alphanumeric model: its noise, its manifests, its report."""

import math
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
import typer

import asr
from asr.checkpoint.checkpoint import LANGUAGE_MODEL, update_metrics
from asr.corpus.manifest import Corpus, Utterance, read_manifest, write_manifest
from asr.corpus.recordings import read_utterance
from asr.errors import ManifestError
from asr.files import write_json_atomic
from asr.inference.evaluation import evaluate
from asr.language.ngram.arpa import write_arpa
from asr.language.ngram.kneser_ney import estimate
from asr.scoring.wer import summarise
from asr.signal import audio
from asr.signal.noise import active_part
from recipes.alphanumeric import corpora, noises, prepare, report
from recipes.alphanumeric.noisy import write_noisy
from recipes.alphanumeric.sounds import (
    GENERIC_NOISES,
    SAMPLE_RATE,
    TRAINING_NOISES,
    Samples,
    Sound,
    add_at,
    babble,
    backwards,
    band,
    chatter,
    coloured,
    decay,
    event_positions,
    filtered,
    one_speaker,
    soft,
    tone,
)
from recipes.alphanumeric.unheard import HELD_OUT_NOISES, TONES
from recipes.fsdd.prepare import WORDS
from tests.support import REPOSITORY, run_recipe

CHECKPOINT = REPOSITORY / "checkpoints" / "an4-blstm"
SAMPLES = read_manifest(REPOSITORY / "recipes" / "synthetic" / "samples" / "manifest.jsonl")
SIZE = 2 * SAMPLE_RATE
ALL = TRAINING_NOISES | GENERIC_NOISES | HELD_OUT_NOISES | TONES | {"soft": soft}


def peak_hz(wave: Samples) -> float:
    """The frequency of the largest component."""
    return float(np.abs(np.fft.rfft(wave)).argmax() * SAMPLE_RATE / len(wave))


def record_tone(folder: Path, name: str, hertz: float, speaker: str, text: str = "A") -> Utterance:
    """A recording of half a second of one identifying frequency."""
    path = folder / f"{name}.flac"
    folder.mkdir(parents=True, exist_ok=True)
    audio.write(path, 0.3 * torch.from_numpy(tone(hertz, 8000)).float(), SAMPLE_RATE)
    return Utterance(name, path, 0.5, text, speaker)


class TestSounds:
    @pytest.mark.parametrize("kind", ALL)
    def test_sounds_have_the_requested_length_and_follow_the_seed(self, kind: str) -> None:
        first, again, other = (ALL[kind](np.random.default_rng(s), SIZE) for s in (1, 1, 2))
        assert first.shape == (SIZE,)
        assert np.isfinite(first).all()
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)
        assert np.mean(first**2) > 0

    def test_training_and_held_out_kinds_are_disjoint(self) -> None:
        training = TRAINING_NOISES | GENERIC_NOISES
        assert not training.keys() & (HELD_OUT_NOISES | TONES).keys()
        assert not set(training.values()) & set((HELD_OUT_NOISES | TONES).values())

    def test_filters_pass_their_band(self) -> None:
        inside, below, above = (
            np.std(filtered(tone(hertz, SIZE), band(500, 2000))) for hertz in (1000, 50, 7900)
        )
        assert inside > 0.6 * np.std(tone(1000, SIZE))
        assert max(below, above) < 0.1 * inside

    @pytest.mark.parametrize("slope", [0.0, 1.0, 2.0])
    def test_the_power_of_coloured_noise_falls_with_its_slope(self, slope: float) -> None:
        wave = coloured(np.random.default_rng(0), 1 << 18, slope)
        assert np.mean(wave**2) == pytest.approx(1)
        power = np.abs(np.fft.rfft(wave)) ** 2
        per_hertz = len(power) / (SAMPLE_RATE / 2)
        octaves = [
            power[round(low * per_hertz) : round(2 * low * per_hertz)].mean()
            for low in (200, 400, 800, 1600)
        ]
        for lower, upper in pairwise(octaves):
            assert math.log2(lower / upper) == pytest.approx(slope, abs=0.15)

    def test_pieces_are_truncated_at_the_end_of_the_wave(self) -> None:
        wave = np.zeros(5)
        add_at(wave, 3, np.ones(4))
        add_at(wave, 0, np.ones(2))
        assert wave.tolist() == [1, 1, 0, 1, 1]

    def test_decay_halves_in_the_given_time(self) -> None:
        assert decay(1601, 0.1)[[0, 1600]] == pytest.approx([1, 0.5])

    def test_an_event_lies_in_the_first_half(self) -> None:
        for seed in range(20):
            assert event_positions(np.random.default_rng(seed), 1000, 1e-6).min() < 500

    def test_crowds_contain_only_voices_of_the_pool(self, tmp_path: Path) -> None:
        pool = [record_tone(tmp_path, f"u{i}", 400 + 50 * (i // 2), f"s{i // 2}") for i in range(4)]
        sounds: dict[str, Sound] = {
            "babble": babble(pool),
            "chatter": chatter(pool),
            "backwards": backwards(pool),
        }
        for sound in sounds.values():
            wave = sound(np.random.default_rng(3), SIZE)
            assert wave.shape == (SIZE,)
            assert min(abs(peak_hz(wave) - hertz) for hertz in (400, 450)) < 2

    def test_concatenated_speech_is_of_one_speaker(self, tmp_path: Path) -> None:
        pool = [record_tone(tmp_path, f"u{i}", 400 + 200 * (i % 2), f"s{i % 2}") for i in range(6)]
        for seed in range(4):
            wave = one_speaker(np.random.default_rng(seed), pool, SIZE)
            spectrum = np.abs(np.fft.rfft(wave))
            loud = [spectrum[round(2 * hertz)] > 0.1 * spectrum.max() for hertz in (400, 600)]
            assert sum(loud) == 1
            assert np.mean(wave**2) == pytest.approx(1, rel=0.01)


PLANNED = noises.SETS


@pytest.fixture(scope="module")
def short_sets() -> Iterator[None]:
    """Two seconds of each kind instead of minutes."""
    sets = [
        (name, group, noises.Plan(2.0, (0.6, 1.0), plan.level_dbfs))
        for name, group, plan in PLANNED
    ]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(noises, "SETS", tuple(sets))
        yield


def write_all(folder: Path, seed: int = 0) -> dict[str, list[Utterance]]:
    """Write every set; crowds for training and for testing are of different tones."""
    training = [record_tone(folder / "speech", "training", 300, "h")]
    held_out = [record_tone(folder / "speech", "held", 1000, "o")]
    return noises.write_noises(folder, training, held_out, seed)


@pytest.fixture(scope="module")
def noise_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("noises")


@pytest.fixture(scope="module")
def written(noise_folder: Path, short_sets: None) -> dict[str, list[Utterance]]:
    return write_all(noise_folder)


class TestNoises:
    def test_each_kind_has_the_planned_length_and_no_text(
        self, noise_folder: Path, written: dict[str, list[Utterance]]
    ) -> None:
        for name, utterances in written.items():
            listed = read_manifest(noise_folder / f"{name}.jsonl")
            assert [u.id for u in listed] == [u.id for u in utterances]
            for kind in {u.speaker for u in utterances}:
                own = [u for u in utterances if u.speaker == kind]
                assert sum(u.duration for u in own) == pytest.approx(2.0, abs=1e-6)
                assert min(u.duration for u in own) >= 0.6
            assert {u.text for u in utterances} == {""}
        kinds = {name: {u.speaker for u in own} for name, own in written.items()}
        assert kinds["train"] & kinds["test"] == {"babble"}
        assert kinds["train"] - GENERIC_NOISES.keys() == kinds["dev"] - {"soft", "silence"}
        assert kinds["nothing"] > kinds["test"]

    def test_recordings_have_the_planned_level_and_are_not_clipped(
        self, written: dict[str, list[Utterance]]
    ) -> None:
        for utterance in (u for own in written.values() for u in own):
            waveform, rate = read_utterance(utterance)
            assert (rate, len(waveform)) == (SAMPLE_RATE, round(utterance.duration * rate))
            assert waveform.abs().max() <= 0.951
            level = 10 * math.log10(float(waveform.square().mean()) + 1e-12)
            if utterance.speaker == "silence":
                assert level == -120
            elif utterance.speaker == "soft":
                assert -87 < level < -54
            else:
                assert level < -14, utterance.id
                # Noise to be mixed into speech must have power everywhere.
                assert waveform.unfold(0, 800, 800).abs().amax(1).min() > 0, utterance.id

    def test_crowds_for_testing_are_of_held_out_speakers(
        self, written: dict[str, list[Utterance]]
    ) -> None:
        for name, utterances in written.items():
            for utterance in utterances:
                if utterance.speaker == "babble":
                    hertz = peak_hz(read_utterance(utterance)[0].double().numpy())
                    assert abs(hertz - (1000 if name in ("test", "nothing") else 300)) < 3

    def test_recordings_follow_the_seed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sets = (("test", "unheard", noises.Plan(1.0, (0.4, 0.6))),)
        monkeypatch.setattr(noises, "SETS", sets)
        first, again, other = (
            [u.audio_filepath.read_bytes() for u in write_all(tmp_path / str(i), seed)["test"]]
            for i, seed in enumerate((0, 0, 1))
        )
        assert first == again
        assert not set(first) & set(other)


def test_the_set_without_speech_lasts_ten_minutes() -> None:
    groups = {"unheard": len(HELD_OUT_NOISES) + 1, "tones": len(TONES), "quiet": 2}
    seconds = sum(groups[g] * p.seconds_a_kind for name, g, p in PLANNED if name == "nothing")
    assert seconds == 600


class TestNoisy:
    def speech(self, folder: Path, peak: float = 0.1) -> Utterance:
        """A second of silence, one of a tone, one of silence."""
        folder.mkdir(exist_ok=True)
        spoken = peak * torch.from_numpy(tone(440, SAMPLE_RATE)).float()
        audio.write(folder / "speech.flac", torch.nn.functional.pad(spoken, (16000, 16000)), 16000)
        return Utterance("a", folder / "speech.flac", 3.0, "A")

    def noise(self, folder: Path, kind: str, size: int) -> Utterance:
        random = torch.Generator().manual_seed(len(kind))
        audio.write(folder / f"{kind}.flac", 0.05 * torch.randn(size, generator=random), 16000)
        return Utterance(kind, folder / f"{kind}.flac", size / 16000, "", kind)

    @pytest.mark.parametrize("noise_size", [10_000, 80_000])
    def test_the_ratio_counts_active_speech_only(self, tmp_path: Path, noise_size: int) -> None:
        speech, noise = self.speech(tmp_path), self.noise(tmp_path, "rain", noise_size)
        levels = (20.0, 10.0, 0.0)
        written = write_noisy([speech], [noise], levels, tmp_path / "out")
        clean, _ = read_utterance(speech)
        added = {}
        for level in levels:
            (utterance,) = written[level]
            assert utterance.audio_filepath == tmp_path / "out" / f"{level:g}db" / "rain-a.flac"
            assert (utterance.id, utterance.text, utterance.duration) == ("a", "A", 3.0)
            added[level] = read_utterance(utterance)[0] - clean
            power = active_part(clean, 160).square().mean()
            ratio = 10 * math.log10(float(power / added[level].square().mean()))
            assert ratio == pytest.approx(level, abs=0.05)
        louder = 10 ** (10 / 20)
        assert torch.allclose(added[0.0], added[10.0] * louder, atol=2e-4)

    def test_a_mixture_beyond_full_scale_is_scaled_down(self, tmp_path: Path) -> None:
        speech, noise = self.speech(tmp_path, 0.9), self.noise(tmp_path, "rain", 80_000)
        (utterance,) = write_noisy([speech], [noise], [0.0], tmp_path / "out")[0.0]
        mixed, _ = read_utterance(utterance)
        assert mixed.abs().max() == pytest.approx(1, abs=1e-4)
        assert (mixed.abs() > 0.999).sum() < 5

    def test_the_id_determines_the_noise(self, tmp_path: Path) -> None:
        made = [self.noise(tmp_path, kind, 80_000) for kind in ("rain", "wind")]
        speech = self.speech(tmp_path)
        many = [Utterance(f"u{i}", speech.audio_filepath, 3.0, "A") for i in range(12)]
        first = write_noisy(many, made, [0.0], tmp_path / "a")[0.0]
        again = write_noisy(many[::-1], made, [0.0], tmp_path / "b")[0.0][::-1]
        assert [u.audio_filepath.name for u in first] == [u.audio_filepath.name for u in again]
        for one, other in zip(first, again, strict=True):
            assert one.audio_filepath.read_bytes() == other.audio_filepath.read_bytes()
        kinds = {u.audio_filepath.name.split("-")[0] for u in first}
        assert kinds == {"rain", "wind"}


TWO_DIGITS = "SEVEN TWO"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small version of every corpus of `PREPARED`: a recording for each speaker and text."""
    root = tmp_path_factory.mktemp("data")
    dev, digits = corpora.SPEECHOCEAN_DEV, ("0001", "0002")
    held_out = (*corpora.LIBRISPEECH_HELD_OUT, "7", "8")
    spoken = {
        "an4_train": [("f", "YES"), ("m", "NO"), ("m", "A B")],
        "an4_spliced": [("f", "YES"), ("g", "NO B")],
        "an4_train_spliced": [("f", "YES"), ("m", "NO B")],
        "an4_dev": [("g", "GO")],
        "an4_test": [("t", "YES"), ("t", "STOP"), ("t", "GO")],
        **{f"fsdd_{part}": [("theo", word) for word in WORDS] for part in ("train", "dev", "test")},
        "fsdd_strings_train": [("theo", TWO_DIGITS)] * 8,
        "fsdd_strings_dev": [("theo", TWO_DIGITS)] * 30,
        "speechocean762": [
            *((s, text) for s in (*digits, *dev, "0003") for text in ("WE CALL", "IT'S A BEAR")),
            *((s, TWO_DIGITS) for s in digits),
        ],
        "librispeech": [(s, "HE SAID") for s in held_out for _ in range(2)],
        "borrowed_digits": [(s, "ONE") for s in (*digits, dev[0], "0003", "f")],
        "borrowed_strings": [(s, TWO_DIGITS) for s in (*digits, dev[0], "0003", "f")],
        "synthetic": [("flite-awb", "A B C")] * 80,
        "synthetic_digits": [("flite-awb", "NINE")] * 10,
        "accented_digits": [("espeak-el", "SIX")] * 40,
    }
    for name, (path, _) in corpora.PREPARED.items():
        folder = (root / path).parent
        utterances = [
            record_tone(folder / "audio", f"{name}-{i}", 300 + 10 * i, speaker, text)
            for i, (speaker, text) in enumerate(spoken[name])
        ]
        write_manifest(root / path, utterances)
    long = record_tone(root / "librispeech", "long", 300, "7", "HE SAID")
    audio.write(long.audio_filepath, torch.full((13 * 16000,), 0.01), 16000)
    libri = read_manifest(root / "librispeech" / "manifest.jsonl")
    long = Utterance("long", long.audio_filepath, 13.0, "HE SAID", "7")
    write_manifest(root / "librispeech" / "manifest.jsonl", [*libri, long])
    ages = {"0001": 6, "0002": 20, "0003": 7, **dict.fromkeys(dev, 12)}
    write_json_atomic(root / "speechocean762" / "ages.json", ages)
    return root


@pytest.fixture(scope="module")
def prepared(data: Path, tmp_path_factory: pytest.TempPathFactory, short_sets: None) -> Path:
    folder = tmp_path_factory.mktemp("alphanumeric")
    prepare.prepare(folder, data, ["accented_digits=0.001", "librispeech=0"])
    return folder


def sets_of(folder: Path) -> dict[str, list[Utterance]]:
    names = ("train", "language", "dev", "tune")
    return {name: read_manifest(folder / f"{name}.jsonl") for name in names}


def places(utterances: list[Utterance]) -> set[Path]:
    return {u.audio_filepath.resolve() for u in utterances}


class TestPrepare:
    def test_training_validation_and_test_data_are_disjoint(self, prepared: Path) -> None:
        tests = {p.stem: places(read_manifest(p)) for p in (prepared / "test").glob("*.jsonl")}
        for folder in (prepared, prepared / "left_out"):
            sets = sets_of(folder)
            train = places(sets["train"])
            assert places(sets["language"]) < train
            assert places(sets["tune"]) < places(sets["dev"])
            for name in ("language", "tune"):
                assert not {u.text for u in sets[name]} & {"HE SAID", "WE CALL"}
            assert not train & places(sets["dev"])
            for name in ("an4", "an4_10db", "an4_20db", "fsdd", "librispeech", "nothing"):
                assert not (train | places(sets["dev"])) & tests[name], name
        left_out = places(sets["train"]) | places(sets["dev"])
        assert not left_out & (tests["fsdd_all"] | tests["digit_strings"])
        assert (len(tests["fsdd_all"]), len(tests["digit_strings"])) == (30, 2)

    def test_the_left_out_model_is_not_trained_on_test_speakers(self, prepared: Path) -> None:
        sets = sets_of(prepared / "left_out")
        speakers = {u.speaker for own in sets.values() for u in own}
        assert speakers >= {"f", "m", "0003", "flite-awb"}
        assert not speakers & {"theo", "0001", "0002"}
        assert {u.speaker for u in sets["dev"]} >= {"g"}
        assert "g" not in {u.speaker for name in ("train", "language") for u in sets[name]}
        known = {u.speaker for u in sets_of(prepared)["train"]}
        assert known >= {"theo", "0001", "0002", "g"}

    def test_the_left_out_model_is_validated_on_other_kinds_of_noise(self, prepared: Path) -> None:
        sets = sets_of(prepared / "left_out")
        mixed = read_manifest(prepared / "left_out" / "noises.jsonl")
        kinds = {u.speaker for u in mixed}
        assert kinds >= {"static", "babble", "texture"}
        trained = kinds | {u.speaker for u in sets["train"] if not u.text}
        validated = {u.speaker for u in sets["dev"] if not u.text}
        assert validated == {*prepare.NOISES_LEFT_OUT, "soft", "silence"}
        assert not trained & {*prepare.NOISES_LEFT_OUT}
        noisy = [u for u in sets["tune"] if u.id.startswith("an4_noisy-")]
        assert [u.text for u in noisy] == ["GO"]
        kind = noisy[0].audio_filepath.name.split("-")[0]
        assert kind in prepare.NOISES_LEFT_OUT

    def test_language_text_is_of_real_recordings_with_limited_repeats(
        self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short_sets: None
    ) -> None:
        monkeypatch.setattr(prepare, "MAX_REPEATS", 3)
        prepare.prepare(tmp_path, data, [])
        sets = sets_of(tmp_path)
        counts = Counter(u.text for u in sets["language"])
        assert max(count for text, count in counts.items() if text) == 3
        assert counts[""] == sum(not u.text for u in sets["train"]) > 3
        assert (counts["GO"], counts["A B"], counts["NO B"]) == (1, 1, 0)
        excluded = {"NO B", "HE SAID", "WE CALL", "IT'S A BEAR"}
        assert counts.keys() == {u.text for u in sets["train"]} - excluded

    def test_validation_speakers_are_not_in_training(self, prepared: Path) -> None:
        for folder in (prepared, prepared / "left_out"):
            sets = sets_of(folder)
            assert not {u.speaker for u in sets["train"]} & {*corpora.SPEECHOCEAN_DEV}
            assert {u.speaker for u in sets["dev"]} > {corpora.SPEECHOCEAN_DEV[0], "silence"}

    def test_librispeech_test_speakers_are_held_out(self, prepared: Path) -> None:
        tested = {u.speaker for u in read_manifest(prepared / "test" / "librispeech.jsonl")}
        assert tested == set(corpora.LIBRISPEECH_TEST) < set(corpora.LIBRISPEECH_HELD_OUT)

    def test_hours_limit_the_size_of_a_part(self, prepared: Path) -> None:
        train = sets_of(prepared)["train"]
        parts = {u.id.partition("-")[0] for u in train}
        assert "librispeech" not in parts
        # 3.6 s are seven recordings of half a second.
        assert sum(u.id.startswith("accented_digits-") for u in train) == 7
        assert sum(u.id.startswith("synthetic-") for u in train) == 20

    def test_duplicate_manifests_are_ignored(self, prepared: Path) -> None:
        once = [str(prepared / "train.jsonl"), str(prepared / "language.jsonl")]
        assert len(Corpus.open([*once, once[1]])) == len(Corpus.open(once)) + len(
            Corpus.open(once[1:])
        )

    @pytest.mark.parametrize(
        ("seconds", "text", "fits"),
        # Frames of 20 ms, played 1.15 times as fast; E and E need a blank between them.
        [(0.137, "THREE", False), (0.139, "THREE", True), (0.07, "SIX", True), (0.01, "", True)],
    )
    def test_recordings_too_short_for_their_transcript_do_not_fit(
        self, seconds: float, text: str, fits: bool
    ) -> None:
        assert prepare.fits(Utterance("u", Path("u.wav"), seconds, text)) == fits

    def test_new_sentences_are_those_not_in_training(self, prepared: Path) -> None:
        new = read_manifest(prepared / "test" / "an4_new_sentences.jsonl")
        assert [u.text for u in new] == ["STOP"]

    def test_ages_are_of_the_readers_of_digit_strings(self, prepared: Path) -> None:
        assert prepare.read_ages(prepared / "test" / "ages.json") == {"0001": 6, "0002": 20}

    @pytest.mark.slow
    def test_preparing_again_gives_the_same_files(
        self, data: Path, prepared: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        before = {p: p.read_bytes() for p in prepared.rglob("*") if p.is_file()}
        prepare.prepare(prepared, data, ["accented_digits=0.001", "librispeech=0"])
        assert {p: p.read_bytes() for p in prepared.rglob("*") if p.is_file()} == before
        output = capsys.readouterr().out
        assert "1 utterances of LibriSpeech over 12 s are excluded from train" in output
        assert re.search(r"^train\.jsonl +accented_digits +7 +0\.001$", output, re.MULTILINE)

    def test_the_error_for_a_missing_corpus_names_its_command(self, tmp_path: Path) -> None:
        done = run_recipe(prepare.prepare, "-o", tmp_path / "out", "--data_dir", tmp_path)
        assert done.error.startswith(f"{tmp_path}/an4/train.jsonl: expected a prepared corpus")
        assert "create it with `python -m recipes.an4.prepare" in done.error

    @pytest.mark.parametrize("option", ["an4=1", "librispeech", "librispeech=-1", "librispeech=x"])
    def test_invalid_hours_are_refused(self, option: str) -> None:
        with pytest.raises(typer.BadParameter, match="expected PART=HOURS with a part of fsdd_str"):
            prepare.parse_hours([option])

    @pytest.mark.parametrize("content", ["[1]", "{", '{"a": "old"}', '{"a": null}'])
    def test_invalid_ages_are_refused(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "ages.json").write_text(content)
        with pytest.raises(ManifestError, match="expected the ages of speakers as JSON"):
            prepare.read_ages(tmp_path / "ages.json")

    def test_digit_strings_are_recognised_as_such(self) -> None:
        random = Random(0)
        assert corpora.is_digit_string(" ".join(random.choices(WORDS, k=5)))
        assert not corpora.is_digit_string("WHO CAN COUNT TO THREE")


@pytest.fixture(scope="module")
def tests_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every test set of the report: two samples each, by an adult and a child."""
    folder = tmp_path_factory.mktemp("tests")
    few = [
        Utterance(u.id, u.audio_filepath, u.duration, text, speaker)
        for u, text, speaker in zip(
            SAMPLES[1:], (SAMPLES[1].text, "ZEBRA"), ("a", "b"), strict=False
        )
    ]
    levels = [f"an4_{level:g}db" for level in prepare.LEVELS_DB]
    for name in ("an4", "fsdd", "fsdd_all", "digit_strings", "librispeech"):
        write_manifest(folder / f"{name}.jsonl", few)
    for level in levels:
        (folder / level).mkdir()
        noisy = []
        for kind, u in zip(("wind", "rain"), few, strict=True):
            path = folder / level / f"{kind}-{u.id}.flac"
            shutil.copy(u.audio_filepath, path)
            noisy.append(Utterance(u.id, path, u.duration, u.text, u.speaker))
        write_manifest(folder / f"{level}.jsonl", noisy)
    write_manifest(folder / "an4_new_sentences.jsonl", few[1:])
    nothing = [Utterance(u.id, u.audio_filepath, u.duration, "") for u in few]
    write_manifest(folder / "nothing.jsonl", nothing)
    write_json_atomic(folder / "ages.json", {"a": 6, "b": 30, "c": 8})
    return folder


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint without its language model and tuned settings."""
    folder = tmp_path_factory.mktemp("bare") / CHECKPOINT.name
    shutil.copytree(CHECKPOINT, folder, ignore=lambda *_: [LANGUAGE_MODEL])
    update_metrics(folder, {})
    return folder


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


class TestReport:
    @pytest.fixture(autouse=True)
    def _few_samples(self, tests_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(report, "SAMPLES", tests_dir)
        write_manifest(tests_dir / "manifest.jsonl", SAMPLES[:1])

    def run(
        self,
        checkpoint: Path,
        tests_dir: Path,
        capsys: pytest.CaptureFixture[str],
        lexicon: Path | None = None,
    ) -> list[dict[str, list[str]]]:
        """The tables, with each row keyed by its first cell."""
        report.report(checkpoint, checkpoint, tests_dir, lexicon=lexicon)
        blocks = capsys.readouterr().out.strip().split("\n\n")
        tables = [[cells(line) for line in block.splitlines()] for block in blocks]
        for table in tables:
            assert {len(line) for line in table} == {len(table[0])}
        return [{line[0]: line[1:] for line in table} for table in tables]

    def test_figures_are_those_of_evaluate(
        self, bare: Path, tests_dir: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        known, kinds, left_out = self.run(bare, tests_dir, capsys)
        result = evaluate(asr.load(bare), read_manifest(tests_dir / "an4.jsonl"))
        low, high = result.score.wer_interval
        wer = f"{result.score.wer:.2%} ({low:.2%}–{high:.2%})"
        right = f"{1 - result.score.ser:.1%}"
        figures = ["2", wer, f"{result.score.cer:.2%}", right]
        assert result.score.wer > 0
        assert known["AN4 test"][:4] == figures
        assert known["AN4 test at 10 dB"] == [*figures, "1.00 × clean", "≤ 2 ×"]
        assert known["… sentences not in training"][0] == "1"
        parts = [summarise([a]).wer for a in result.aligned]
        assert parts[0] != parts[1]
        assert kinds["wind"] == ["1", *[f"{parts[0]:.1%}"] * 4]
        assert kinds["rain"] == ["1", *[f"{parts[1]:.1%}"] * 4]
        assert left_out["FSDD, all single digits"][:4] == figures
        assert left_out["… a"][0] == left_out["… b"][0] == "1"
        assert left_out["… 6 years, 1 speakers"] == left_out["… a"]
        assert left_out["… older, 1 speakers"] == left_out["… b"]
        words = sum(len(text.split()) for text in result.hypotheses.values())
        minutes = sum(t.duration_seconds for t in result.transcripts.values()) / 60
        nothing = known["ten minutes of noise, tones and silence"]
        assert nothing[-2:] == [f"{words / minutes:.2f} words a minute", "≤ 1 word a minute"]
        size = sum(path.stat().st_size for path in bare.iterdir()) / 1e6
        assert known["size on disk"][-2:] == [f"{size:.1f} MB", "≤ 20 MB"]

    @pytest.mark.slow
    def test_a_second_decoder_has_a_column(
        self, bare: Path, tests_dir: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        words = tmp_path / "words.txt"
        words.write_text("ZEBRA\n")
        known, _, _ = self.run(bare, tests_dir, capsys, lexicon=words)
        title = known[str(bare)]
        assert title[4] == "WER, second decoder (95 %)"
        result = known["AN4 test"]
        assert result[1] != result[4]
        assert result[4].endswith("%)")

    @pytest.mark.slow
    def test_the_language_model_of_the_checkpoint_is_used(
        self, bare: Path, tests_dir: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        checkpoint = shutil.copytree(bare, tmp_path / "own")
        model = checkpoint / "lm.arpa.gz"
        write_arpa(model, estimate([["ZEBRA"]], 1).table)
        report.report(checkpoint, None, tests_dir)
        title, _, first, *_ = capsys.readouterr().out.splitlines()
        assert "WER, second decoder (95 %)" in title
        recognizer = asr.load(checkpoint)
        score = evaluate(recognizer, read_manifest(tests_dir / "an4.jsonl"), lm=model).score
        assert cells(first)[5].startswith(f"{score.wer:.2%} (")

    def test_a_missing_test_set_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(ManifestError, match=r"/an4\.jsonl: cannot read the manifest"):
            report.report(CHECKPOINT, test_dir=tmp_path)
