"""Commands with a checkpoint whose tokens are grapheme clusters.

It is the tones model with other tokens in the same order, so that all it does is known.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from asr.checkpoint.checkpoint import load_checkpoint, save_checkpoint
from asr.corpus.manifest import Utterance, read_manifest
from asr.decode.priors import LOG_PRIORS
from asr.text.tokens import is_loose, split_text
from tests.support import Command, Tones

CLUSTERS = dict(
    zip(
        "ABCDEFGHI",
        ["n\u0304", "ė\u0303", "कि", "क्षि", "தி", "กำ", "ẹ\u0301", "ọ\u0300", "👩\u200d💻"],
        strict=True,
    )
)


def spelt(text: str) -> str:
    """A text of the tones corpus in clusters."""
    return "".join(CLUSTERS.get(character, character) for character in text)


@pytest.fixture(scope="module")
def checkpoint(tones: Tones, tmp_path_factory: pytest.TempPathFactory) -> Path:
    loaded = load_checkpoint(tones.checkpoint)
    folder = tmp_path_factory.mktemp("graphemes") / "checkpoint"
    copied = ("features", "encoder", "recipe", "seed", "training")
    save_checkpoint(
        folder,
        **{name: loaded.config[name] for name in copied},
        tokens=[spelt(token) for token in loaded.config["tokens"]],
        units="graphemes",
        weights=loaded.weights,
        metrics={LOG_PRIORS: loaded.metrics[LOG_PRIORS]},
    )
    return folder


@pytest.fixture(scope="module")
def utterance(tones: Tones) -> Utterance:
    return next(u for u in read_manifest(tones.test) if len(u.text) > 8 and " " in u.text)


def spoken(output: str) -> dict[str, Any]:
    """A transcript, without what differs between the checkpoints and their files."""
    values: dict[str, Any] = json.loads(output)
    return {key: values[key] for key in values if key not in ("versions", "decoding")}


def in_clusters(value: Any) -> Any:
    """A JSON result over letters with its texts in clusters."""
    if isinstance(value, dict):
        texts = ("text", "word", "character")
        return {
            key: spelt(inner) if key in texts else in_clusters(inner)
            for key, inner in value.items()
        }
    return list(map(in_clusters, value)) if isinstance(value, list) else value


@pytest.fixture(scope="module")
def files(tones: Tones, utterance: Utterance, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A word list, a grammar and text for language models, over letters and over clusters."""
    folder = tmp_path_factory.mktemp("files")
    texts = [u.text for u in read_manifest(tones.test)]
    words = sorted({word for text in texts for word in text.split()})
    for name, spell in (("letters", str), ("clusters", spelt)):
        (folder / name).mkdir()
        for file, lines in (
            ("text.txt", list(map(spell, texts))),
            ("words.txt", list(map(spell, words))),
            (
                "rules.jsgf",
                [f"#JSGF V1.0; public <said> = {spell(utterance.text)} | {spell('A')};"],
            ),
        ):
            (folder / name / file).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "options",
    [
        ("--beam_size", "1"),
        ("--beam_size", "8", "--nbest", "3"),
        ("--lm", "words.arpa"),
        ("--lm", "characters.arpa"),
        ("--lexicon", "words.txt"),
        ("--grammar", "rules.jsgf"),
    ],
    ids=lambda options: " ".join(options),
)
def test_transcripts_and_times_are_those_of_letters(
    tones: Tones,
    checkpoint: Path,
    utterance: Utterance,
    files: Path,
    asr_command: Command,
    options: tuple[str, ...],
) -> None:
    found = []
    for model, name, units in (
        (tones.checkpoint, "letters", "--characters"),
        (checkpoint, "clusters", "--graphemes"),
    ):
        folder = files / name
        if options[0] == "--lm":
            kind = (units,) if options[1] == "characters.arpa" else ()
            order = ("--order", "2", "-o", folder / options[1])
            assert asr_command("lm", "train", folder / "text.txt", *order, *kind).code == 0
        given = [folder / option if "." in option else option for option in options]
        fixed = ("-f", "json", "--word_timestamps")
        ran = asr_command("transcribe", model, utterance.audio_filepath, *fixed, *given)
        assert (ran.code, ran.messages) == (0, ""), ran.stderr
        found.append(spoken(ran.stdout))
    letters, clusters = found
    assert clusters == in_clusters(letters)
    assert clusters["text"] == spelt(utterance.text)
    for word in clusters["words"]:
        spelling = [item["character"] for item in word["characters"]]
        assert spelling == split_text(word["word"], "graphemes")
        assert set(spelling) <= set(CLUSTERS.values())
        assert word["characters"][0]["start"] == word["start"]
        assert word["characters"][-1]["end"] == word["end"]
    for alternative in [clusters, *clusters.get("nbest", [])]:
        assert not any(map(is_loose, split_text(alternative["text"], "graphemes")))


def test_hot_words_are_heard(
    tones: Tones, checkpoint: Path, utterance: Utterance, asr_command: Command
) -> None:
    word = utterance.text.split()[0]
    texts = []
    for model, spell in ((tones.checkpoint, str), (checkpoint, spelt)):
        options = ("-f", "json", "--nbest", "4", "--hotwords", f"{spell(word)}:-9")
        ran = asr_command("transcribe", model, utterance.audio_filepath, *options)
        assert ran.code == 0, ran.stderr
        texts.append(spoken(ran.stdout))
    assert texts[1] == in_clusters(texts[0])
    unknown = asr_command(
        "transcribe", checkpoint, utterance.audio_filepath, "--hotwords", "n\u0304\u0323:1"
    )
    assert "found 'ṇ\u0304'" in unknown.error


def test_alignment_is_that_of_letters(
    tones: Tones, checkpoint: Path, utterance: Utterance, asr_command: Command
) -> None:
    letters, clusters = (
        json.loads(asr_command("align", model, utterance.audio_filepath, text).stdout)
        for model, text in (
            (tones.checkpoint, utterance.text),
            (checkpoint, spelt(utterance.text)),
        )
    )
    assert clusters == in_clusters(letters)
    part = asr_command("align", checkpoint, utterance.audio_filepath, "n \u0304")
    assert (part.code, part.stdout) == (1, "")
    assert "has 'n' (U+006E), '\u0304' (U+0304), not among" in part.stderr


def test_error_rates(tones: Tones, checkpoint: Path, tmp_path: Path, asr_command: Command) -> None:
    manifest = tmp_path / "test.jsonl"
    entries = [json.loads(line) for line in tones.test.read_text().splitlines()]
    for entry in entries:
        entry["audio_filepath"] = str(tones.test.parent / entry["audio_filepath"])
        entry["text"] = spelt(entry["text"])
    manifest.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    letters = asr_command("evaluate", tones.checkpoint, tones.test)
    clusters = asr_command("evaluate", checkpoint, manifest)
    assert clusters.code == 0, clusters.stderr
    rates = [ran.stdout.split("CER")[0] for ran in (letters, clusters)]
    assert rates[0] == rates[1]


def test_what_is_written_is_described(checkpoint: Path, asr_command: Command) -> None:
    described = asr_command("describe", checkpoint).stdout
    assert "  units   graphemes\n" in described
    assert "'क्षि'" in described
    assert "units" in (checkpoint / "README.md").read_text(encoding="utf-8")
