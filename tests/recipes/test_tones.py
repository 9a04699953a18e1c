"""The whole workflow of a user: prepare, train, evaluate, transcribe, describe, score."""

import json
import random
from pathlib import Path

import pytest
import torch

from asr.corpus.manifest import read_manifest
from asr.signal import audio
from recipes.tones.prepare import TONES, letter, main, prepare, sentence
from tests.support import Command, Tones, run_python, run_recipe

FIGURES = (
    "wer cer ser wer_interval words substitutions deletions insertions utterances real_time_factor "
    "decoding precision"
)


@pytest.mark.slow
def test_training_from_scratch_reaches_zero_errors(
    tones: Tones, tmp_path: Path, asr_command: Command
) -> None:
    figures, hypotheses = tmp_path / "figures.json", tmp_path / "hypotheses.jsonl"
    evaluated = run_python(
        *("-m", "asr", "evaluate", tones.checkpoint, tones.test, "--threads", "1"),
        *("--json", figures, "--hypotheses", hypotheses),
    )
    assert evaluated.returncode == 0, evaluated.stderr
    assert evaluated.stdout.splitlines()[0].split()[:2] == ["WER", "0.00%"]
    found = json.loads(figures.read_text())
    assert list(found) == FIGURES.split()
    assert (found["wer"], found["cer"], found["ser"], found["wer_interval"]) == (0, 0, 0, [0, 0])
    assert found["utterances"] == len(read_manifest(tones.test))
    assert 0 < found["real_time_factor"] < 0.5

    rescored = tmp_path / "rescored.json"
    scored = asr_command("score", tones.test, hypotheses, "--json", rescored)
    assert scored.code == 0, scored.stderr
    assert found.pop("decoding") == {"search": "greedy", "no_speech_below": 2.0}
    assert found.pop("precision") == "float32"
    assert json.loads(rescored.read_text()) == found | {"real_time_factor": None}


def test_files_folders_and_globs_are_transcribed(
    tones: Tones, tmp_path: Path, asr_command: Command
) -> None:
    utterances = read_manifest(tones.test)
    references = {utterance.audio_filepath.stem: utterance.text for utterance in utterances}
    transcribe = ("transcribe", tones.checkpoint)
    folder = tones.corpus / "test"

    written = asr_command(*transcribe, folder, "-o", tmp_path / "out", "-f", "json", "--threads=1")
    assert (written.code, written.stdout) == (0, "")
    first, last = written.stderr.splitlines()
    assert first == "decoding greedily, without a language model"
    assert f"{len(references)} transcribed" in last
    outputs = {p.stem: json.loads(p.read_text()) for p in (tmp_path / "out").glob("*.json")}
    assert {stem: output["text"] for stem, output in outputs.items()} == references
    assert {stem: output["duration"] for stem, output in outputs.items()} == {
        utterance.id: utterance.duration for utterance in utterances
    }

    file, pattern = folder / "test-007.flac", folder / "test-00[0-3].flac"
    printed = asr_command(*transcribe, file, pattern, "--beam_size", "4", "--threads", "1")
    assert printed.code == 0, printed.stderr
    assert "decoding with a beam of 4, without a language model\n" in printed.stderr
    stems = ["test-007", "test-000", "test-001", "test-002", "test-003"]
    assert printed.stdout.splitlines() == [
        f"{folder / stem}.flac: {references[stem]}" for stem in stems
    ]


def test_the_checkpoint_describes_itself(tones: Tones, asr_command: Command) -> None:
    described = asr_command("describe", tones.checkpoint)
    assert described.code == 0, described.stderr
    for expected in ("tones", "lstm", "train.jsonl", "model.safetensors", "dev"):
        assert expected in described.stdout
    assert "\n# checkpoint\n" in (tones.checkpoint / "README.md").read_text()


def test_the_run_leaves_its_records(tones: Tones) -> None:
    names = {path.name for path in tones.run.iterdir()}
    assert {
        "config.json",
        "train.log",
        "metrics.jsonl",
        "curves.png",
        "starts.jsonl",
        "states",
    } <= names
    history = [json.loads(line) for line in (tones.run / "metrics.jsonl").read_text().splitlines()]
    assert [metrics["epoch"] for metrics in history] == list(range(1, len(history) + 1))
    assert history[-1]["train_loss"] < history[0]["train_loss"] / 10
    assert 0 < history[-1]["blank_rate"] < 1
    assert "checkpoint written" in (tones.run / "train.log").read_text()


def test_a_seed_makes_one_corpus(tmp_path: Path) -> None:
    counts = {"train": 3, "test": 2}
    seeds = {"a": 7, "b": 7, "c": 8}
    made = {name: prepare(tmp_path / name, seed, counts) for name, seed in seeds.items()}
    bytes_of = {
        name: [u.audio_filepath.read_bytes() for us in splits.values() for u in us]
        for name, splits in made.items()
    }
    assert bytes_of["a"] == bytes_of["b"] != bytes_of["c"]
    for split, utterances in made["a"].items():
        assert read_manifest(tmp_path / "a" / f"{split}.jsonl") == utterances


def test_no_transcript_occurs_twice(tones: Tones) -> None:
    manifests = [tones.corpus / f"{split}.jsonl" for split in ("train", "dev", "test")]
    utterances = [utterance for path in manifests for utterance in read_manifest(path)]
    assert len({utterance.text for utterance in utterances}) == len(utterances)
    assert {c for utterance in utterances for c in utterance.text} == {*TONES, " "}


def test_durations_are_those_of_the_recordings(tones: Tones) -> None:
    for utterance in read_manifest(tones.test)[:10]:
        assert audio.probe(utterance.audio_filepath).duration_seconds == utterance.duration


@pytest.mark.parametrize("character", sorted(TONES))
def test_a_letter_consists_of_its_frequencies(character: str) -> None:
    waveform = letter(character, random.Random(1))
    spectrum = torch.fft.rfft(waveform, n=8000).abs()  # one bin is one Hz
    expected = sorted(TONES[character])
    peaks = sorted(
        int(spectrum[round(0.9 * hz) : round(1.1 * hz)].argmax()) + round(0.9 * hz)
        for hz in expected
    )
    assert peaks == pytest.approx(expected, rel=0.03)
    assert spectrum[peaks].min() > 0.5 * spectrum.max()


def test_sentences_have_words_of_letters() -> None:
    rng = random.Random(0)
    for _ in range(100):
        words = sentence(rng).split(" ")
        assert 1 <= len(words) <= 4
        assert all(word and set(word) <= TONES.keys() for word in words)


def test_an_unusable_output_folder_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    assert "taken" in run_recipe(main, "--output_dir", tmp_path / "taken").error
