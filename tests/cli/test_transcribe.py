"""`asr transcribe` and `Recognizer.transcribe` are one: options, defaults and every byte."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import asr
from asr.checkpoint.checkpoint import load_checkpoint, update_metrics
from asr.corpus.manifest import Utterance, read_manifest, write_manifest
from asr.decode.beam import SearchConfig, beam_search
from asr.decode.confidence import Calibration
from asr.decode.decoder import TunedSettings, with_tuned_settings
from asr.decode.fusion import FusionConfig
from asr.files import sha256_of
from asr.inference.recognizer import Recognizer
from asr.inference.writers import OutputFormat, render
from asr.language.ngram.arpa import write_arpa
from asr.language.ngram.kneser_ney import estimate
from tests.support import Command, Tones, close_folder

LANGUAGE_MODEL = "lm.arpa.gz"


@pytest.fixture(scope="module", autouse=True)
def _compiled_search() -> None:
    """What is compiled here is not announced on the stderr of a command."""
    beam_search(torch.zeros(1, 2).log_softmax(dim=1), 2)


@pytest.fixture(scope="module")
def utterance(tones: Tones) -> Utterance:
    return next(u for u in read_manifest(tones.test) if len(u.text.split()) > 2)


@pytest.fixture(scope="module")
def files(tones: Tones, utterance: Utterance, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with language models, a word list and a grammar."""
    folder = tmp_path_factory.mktemp("files")
    sentences = [u.text.split() for u in read_manifest(tones.test)]
    write_arpa(folder / "words.arpa", estimate(sentences, 2).table)
    letters = [list(u.text.replace(" ", "_")) for u in read_manifest(tones.test)]
    spelled = [["<space>" if c == "_" else c for c in sentence] for sentence in letters]
    write_arpa(folder / "letters.arpa", estimate(spelled, 3).table)
    words = sorted({word for sentence in sentences for word in sentence})
    (folder / "words.txt").write_text("\n".join(words) + "\n")
    (folder / "rules.jsgf").write_text(f"public <said> = {utterance.text} | A | B A;")
    return folder


@pytest.fixture(scope="module")
def checkpoint(tones: Tones, files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with a language model of its own, tuned for it."""
    folder = shutil.copytree(tones.checkpoint, tmp_path_factory.mktemp("own") / "checkpoint")
    write_arpa(
        folder / LANGUAGE_MODEL,
        estimate([u.text.split() for u in read_manifest(tones.test)], 2).table,
    )
    settings = TunedSettings(
        lm_sha256=sha256_of(folder / LANGUAGE_MODEL),
        search=SearchConfig(beam_size=9, token_log_threshold=-9.0),
        fusion=FusionConfig(lm_weight=0.4, word_bonus=0.5, unknown_log_penalty=-6.0),
        calibration=Calibration(0.5, 0.25),
    )
    metrics = load_checkpoint(folder).metrics
    update_metrics(folder, with_tuned_settings(metrics, LANGUAGE_MODEL, settings))
    return folder


TABLE: list[dict[str, Any]] = [
    {},
    {"lm": "none"},
    {"lm": "words.arpa"},
    {"lm": "letters.arpa", "lm_weight": 0.25},
    {"beam_size": 1},
    {"beam_size": 1, "word_timestamps": True},
    {"beam_size": 4},
    {"beam_size": 4, "lm": "none", "nbest": 3},
    {"nbest": 5},
    {"nbest": 20},
    {"word_timestamps": True},
    {"word_timestamps": True, "nbest": 2, "lm": "words.arpa"},
    {"lm_weight": 1.5, "word_bonus": -1.0},
    {"unknown_penalty": -2.5, "word_timestamps": True},
    {"closed_vocabulary": True},
    {"closed_vocabulary": False, "lm": "words.arpa"},
    {"hotwords": {"B A": 3.0, "C": -2.0}},
    {"hotwords": {"A": 4.0}, "lm": "none", "word_timestamps": True},
    {"lexicon": "words.txt"},
    {"lexicon": "words.txt", "lm": "words.arpa", "word_timestamps": True},
    {"grammar": "rules.jsgf"},
    {"grammar": "rules.jsgf", "reject_below": -0.01, "word_timestamps": True},
    {"grammar": "rules.jsgf", "hotwords": {"A": 1.0}, "beam_size": 7},
    {"word_bonus": 2.0, "lm": "none"},
]


def flags(options: Mapping[str, Any]) -> list[str]:
    """The options as a command line has them."""
    found = []
    for name, value in options.items():
        if name == "closed_vocabulary":
            found.append("--closed_vocabulary" if value else "--open_vocabulary")
        elif name == "hotwords":
            found += ["--hotwords", ",".join(f"{word}:{boost}" for word, boost in value.items())]
        elif value is True:
            found.append(f"--{name}")
        else:
            found += [f"--{name}", str(value)]
    return found


@pytest.mark.parametrize("row", TABLE, ids=lambda row: " ".join(flags(row)) or "default")
def test_python_and_the_command_give_the_same_bytes(
    checkpoint: Path,
    files: Path,
    utterance: Utterance,
    row: dict[str, Any],
    asr_command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(files)
    path = utterance.audio_filepath
    outcome = asr_command("transcribe", checkpoint, path, "-f", "json", *flags(row))
    recognizer = asr.load(checkpoint)
    transcript = recognizer.transcribe(path, **row)
    options = {name: value for name, value in row.items() if name != "word_timestamps"}
    provenance = recognizer.provenance(recognizer.prepare(**options))
    assert outcome.code == 0, outcome.stderr
    assert outcome.stdout == render(path, path.stem, transcript, OutputFormat.JSON, provenance)
    assert outcome.stderr.startswith("decoding ")


def test_a_name_that_ctm_cannot_hold_costs_no_work(
    checkpoint: Path, utterance: Utterance, asr_command: Command, tmp_path: Path
) -> None:
    spaced = tmp_path / "on monday.wav"
    shutil.copy(utterance.audio_filepath, spaced)
    output = tmp_path / "out"
    arguments = "transcribe", checkpoint, spaced, "-o", output
    assert "'on monday' cannot be the name" in asr_command(*arguments, "-f", "ctm").error
    assert not output.exists()
    everything = asr_command(*arguments, "-f", "all")
    assert everything.code == 0
    assert f"{spaced}: not written as ctm, stm, trn: 'on monday'" in everything.messages
    kinds = set(OutputFormat.ALL.kinds) - {OutputFormat.CTM, OutputFormat.STM, OutputFormat.TRN}
    assert {path.suffix for path in output.iterdir()} == {kind.suffix for kind in kinds}


@pytest.mark.parametrize("kind", ["jsonl", "trn"])
def test_what_is_made_of_a_manifest_can_be_scored(
    kind: str, tones: Tones, asr_command: Command, tmp_path: Path
) -> None:
    whole = read_manifest(tones.test)[0]
    half = whole.duration / 2
    parts = [
        replace(whole, id=f"part-{i}", offset=i * half, duration=half, text="NEVER SAID")
        for i in range(2)
    ]
    manifest, hypotheses = tmp_path / "parts.jsonl", tmp_path / f"hypotheses.{kind}"
    write_manifest(manifest, parts)
    outcome = asr_command("transcribe", tones.checkpoint, manifest, "-f", kind)
    assert outcome.code == 0, outcome.stderr
    hypotheses.write_text(outcome.stdout)
    scored = asr_command("score", manifest, hypotheses)
    assert scored.code == 0, scored.stderr
    assert "2 of 2 with errors" in scored.stdout


def test_a_closed_folder_does_not_stop_the_others(
    tones: Tones,
    utterance: Utterance,
    tmp_path: Path,
    asr_command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "tree" / "closed").mkdir(parents=True)
    shutil.copy(utterance.audio_filepath, tmp_path / "tree" / "a.wav")
    close_folder(tmp_path / "tree" / "closed", monkeypatch)
    done = asr_command("transcribe", tones.checkpoint, tmp_path / "tree", "-o", tmp_path / "out")
    assert done.code == 1
    assert "closed: expected a folder that can be listed, found permission denied" in done.stderr
    assert (tmp_path / "out" / "a.txt").read_text().strip()


def test_names_that_are_not_utf8(
    checkpoint: Path, utterance: Utterance, asr_command: Command, tmp_path: Path
) -> None:
    recording = tmp_path / os.fsdecode(b"caf\xe9.wav")
    shutil.copy(utterance.audio_filepath, recording)
    output = tmp_path / "out"
    outcome = asr_command("transcribe", checkpoint, recording, "-o", output, "-f", "all")
    assert (outcome.code, outcome.messages) == (0, "")
    for kind in OutputFormat.ALL.kinds:
        written = (output / recording.name).with_suffix(kind.suffix).read_text(encoding="utf-8")
        assert utterance.text.split()[0] in written
        if kind is OutputFormat.JSON:
            assert json.loads(written)["audio_filepath"] == str(recording)


def test_options_of_the_table_matter(checkpoint: Path, files: Path, utterance: Utterance) -> None:
    """Few rows of the table give the same bytes: else comparing them would show little."""
    recognizer = asr.load(checkpoint)
    found = set()
    for row in TABLE:
        options: dict[str, Any] = {
            name: files / value if isinstance(value, str) and "." in value else value
            for name, value in row.items()
        }
        transcript = recognizer.transcribe(utterance.audio_filepath, **options)
        found.add(render(utterance.audio_filepath, "x", transcript, OutputFormat.JSON))
    assert len(found) >= 15


@pytest.mark.parametrize(
    ("options", "summary"),
    [
        ({}, "decoding with a beam of 9 and the checkpoint's own lm.arpa.gz, as tuned"),
        ({"lm": None}, "decoding greedily, without a language model"),
        ({"beam_size": 1}, "decoding greedily, without a language model"),
        ({"beam_size": 5}, "decoding with a beam of 5 and the checkpoint's own lm.arpa.gz"),
        ({"nbest": 2}, "decoding with a beam of 9 and the checkpoint's own lm.arpa.gz, as tuned"),
        (
            {"hotwords": ["A", "B"]},
            "decoding with a beam of 9 and the checkpoint's own lm.arpa.gz, 2 hot words",
        ),
        (
            {"grammar": "rules.jsgf"},
            "decoding with a beam of 1000 and rules.jsgf, without a language model",
        ),
        (
            {"lexicon": "words.txt", "lm": "words.arpa"},
            "decoding with a beam of 1000 and words.arpa, words.txt",
        ),
    ],
)
def test_one_line_says_which_search_is_in_use(
    checkpoint: Path,
    files: Path,
    options: dict[str, Any],
    summary: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(files)
    assert Recognizer.load(checkpoint).prepare(**options).summary() == summary
