"""The `asr lm` commands."""

import gzip
import json
import math
from pathlib import Path

import pytest

from asr.corpus.manifest import Utterance, write_manifest
from asr.language.ngram.arpa import LARGEST_ORDER
from asr.language.ngram.kneser_ney import estimate
from asr.language.ngram.model import compile_model, read_arpa
from tests.oracles_ngram import artificial_text
from tests.support import Command


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """600 sentences, some of them empty."""
    return written(tmp_path / "text.txt", artificial_text(1))


@pytest.fixture
def model(text: Path, asr_command: Command) -> Path:
    output = text.with_name("lm.arpa.gz")
    assert asr_command("lm", "train", text, "-o", output).code == 0
    return output


def written(path: Path, sentences: list[list[str]]) -> Path:
    path.write_text("".join(" ".join(words) + "\n" for words in sentences), encoding="utf-8")
    return path


def test_train_writes_the_estimate_and_prints_its_figures(text: Path, asr_command: Command) -> None:
    done = asr_command("lm", "train", text, "-o", text.with_name("lm.arpa"), "--prune", "0,0,1")
    sentences = [words for words in artificial_text(1) if words]
    expected = estimate(sentences, 3, (0, 0, 1))
    found = read_arpa(text.with_name("lm.arpa"))

    assert found.log_prob("w1 w2") == pytest.approx(
        compile_model(expected.table).log_prob("w1 w2"), abs=1e-6
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[:2] == [
        ["sentences", str(len(sentences))],
        ["words", str(sum(map(len, sentences)))],
    ]
    assert lines[5][:3] == [
        "3",
        str(expected.distinct_ngrams[2]),
        str(len(expected.table.grams[2])),
    ]
    assert done.stderr == f"{text}: left out {600 - len(sentences)} empty sentences\n"


def test_score_prints_perplexities(model: Path, asr_command: Command) -> None:
    held_out = written(model.with_name("held_out.txt"), [["w1", "w2"], ["w3", "oov"]])
    done = asr_command("lm", "score", model, held_out, "--json", model.with_name("score.json"))
    loaded = read_arpa(model)
    known = loaded.log_prob("w1 w2")
    with_oov = loaded.word_log_probs("w3 oov")

    assert (done.code, done.stderr) == (0, "")
    figures = json.loads(model.with_name("score.json").read_text())
    assert figures["oov_words"] == 1
    assert figures["oov_rate"] == 0.25
    assert figures["perplexity"] == pytest.approx(math.exp(-(known + with_oov.sum()) / 6))
    assert figures["perplexity_without_oov"] == pytest.approx(
        math.exp(-(known + with_oov[0] + with_oov[2]) / 5)
    )
    assert "OOV words              1 (25.00%)" in done.stdout
    assert f"perplexity             {figures['perplexity']:.4f}\n" in done.stdout


def test_score_by_sentence(model: Path, asr_command: Command) -> None:
    held_out = written(model.with_name("held_out.txt"), [["w1", "w2"], ["oov"]])
    lines = asr_command("lm", "score", model, held_out, "--by_sentence").stdout.splitlines()

    log_prob, *rest = lines[0].split("\t")
    assert float(log_prob) == pytest.approx(read_arpa(model).log_prob("w1 w2"), abs=1e-6)
    assert rest == ["2", "0", "w1 w2"]
    assert lines[1].split("\t")[1:] == ["1", "1", "oov"]


def test_a_model_without_unk_finds_unknown_words_impossible(
    model: Path, asr_command: Command
) -> None:
    closed = model.with_name("closed.arpa")
    closed.write_bytes(gzip.decompress(model.read_bytes()).replace(b"<unk>", b"w999"))
    held_out = written(model.with_name("held_out.txt"), [["w1"], ["oov"]])
    done = asr_command("lm", "score", closed, held_out, "--json", model.with_name("score.json"))
    figures = json.loads(model.with_name("score.json").read_text())

    assert "perplexity             inf\n" in done.stdout
    assert "closed.arpa has no <unk>" in done.stderr
    assert figures["perplexity"] is None
    assert figures["perplexity_without_oov"] > 1


def test_texts_of_every_kind_give_the_same_model(text: Path, asr_command: Command) -> None:
    sentences = [" ".join(words) for words in artificial_text(1)]
    folder = text.parent
    (folder / "part.txt.gz").write_bytes(gzip.compress("\r\n".join(sentences[:300]).encode()))
    write_manifest(
        folder / "part.jsonl",
        [Utterance(f"u{i}", folder / "u.wav", 1.0, s) for i, s in enumerate(sentences[300:])],
    )
    whole, parts = folder / "whole.arpa", folder / "parts.arpa"
    assert asr_command("lm", "train", text, "-o", whole).code == 0
    two = (folder / "part.txt.gz", folder / "part.jsonl")
    assert asr_command("lm", "train", *two, "-o", parts).code == 0

    assert parts.read_bytes() == whole.read_bytes()


def test_models_of_characters(text: Path, asr_command: Command) -> None:
    output = text.with_name("characters.arpa")
    options = ("-o", output, "--order", "4", "--characters")
    assert asr_command("lm", "train", text, *options).code == 0
    done = asr_command("lm", "score", output, text, "--characters", "--by_sentence")

    assert "<space>" in read_arpa(output).words
    assert {len(word) for word in read_arpa(output).words if word[0] != "<"} == {1}
    first = next(filter(None, artificial_text(1)))
    spelled = ["<space>" if character == " " else character for character in " ".join(first)]
    assert done.stdout.splitlines()[0].split("\t")[3] == " ".join(spelled)
    assert "OOV words              0 (0.00%)" in done.stdout


def test_models_of_grapheme_clusters(tmp_path: Path, asr_command: Command) -> None:
    text, output = tmp_path / "text.txt", tmp_path / "graphemes.arpa"
    text.write_text("kọ\u0301 ẹ\u0301\nẹ\n", encoding="utf-8")
    assert asr_command("lm", "train", text, "-o", output, "--graphemes").code == 0
    done = asr_command("lm", "score", output, text, "--graphemes", "--by_sentence")

    words = {"ẹ", "ẹ\u0301", "k", "ọ\u0301", "<space>", "<s>", "</s>", "<unk>"}
    assert set(read_arpa(output).words) == words
    assert done.stdout.splitlines()[0].split("\t")[3] == "k ọ\u0301 <space> ẹ\u0301"


def test_the_largest_order_is_written_and_read_again(text: Path, asr_command: Command) -> None:
    output = text.with_name("long.arpa")
    options = ("-o", output, "--order", str(LARGEST_ORDER))
    assert asr_command("lm", "train", text, *options).code == 0
    assert read_arpa(output).order == LARGEST_ORDER


def test_text_is_composed(tmp_path: Path, asr_command: Command) -> None:
    (tmp_path / "text.txt").write_text("\ufeffcafe\u0301\n", encoding="utf-8")
    assert asr_command("lm", "train", tmp_path / "text.txt", "-o", tmp_path / "lm.arpa").code == 0

    assert "caf\u00e9" in read_arpa(tmp_path / "lm.arpa").words


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the text has no words"),
        (b"\n \n", "the text has no words"),
        (b"good\nbad <s> words\n", "line 2: <s> is reserved for language models"),
        (b"good\n<unk>\n", "line 2: <unk> is reserved"),
        (b"<space>\n", "line 1: <space> is reserved"),
        (b"good\n\xff\n", "not UTF-8"),
        (b"\x1f\x8b\x08", "gzip data is truncated"),
    ],
)
@pytest.mark.parametrize("verb", ["train", "score"])
def test_bad_texts_are_refused(
    verb: str, content: bytes, message: str, model: Path, asr_command: Command
) -> None:
    text = model.with_name("bad.txt")
    text.write_bytes(content)
    arguments = (text, "-o", model) if verb == "train" else (model, text)
    before = model.read_bytes()
    error = asr_command("lm", verb, *arguments).error

    assert error.startswith(f"{text}")
    assert message in error
    assert model.read_bytes() == before


def test_missing_files_are_named(text: Path, asr_command: Command) -> None:
    nothing = text.with_name("nothing")
    assert str(nothing) in asr_command("lm", "train", nothing, "-o", text.with_name("a")).error
    assert str(nothing) in asr_command("lm", "score", nothing, text).stderr
    output = nothing / "lm.arpa"
    assert f"{output}: its folder does not exist" in (
        asr_command("lm", "train", text, "-o", output).error
    )


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--prune", "1"), 2, "expected up to 3 counts"),
        (("--characters", "--graphemes"), 2, "expected --characters or --graphemes, found both"),
        (("--prune", "0 0 1"), 2, "expected counts separated by commas"),
        (("--order", "0"), 2, "--order"),
        (("--order", str(LARGEST_ORDER + 1)), 2, "--order"),
        (("--order", str(2**70)), 2, "--order"),
    ],
)
def test_bad_options_are_refused(
    options: tuple[str, str], code: int, message: str, text: Path, asr_command: Command
) -> None:
    done = asr_command("lm", "train", text, "-o", text.with_name("lm.arpa"), *options)

    assert done.code == code
    assert message in done.stderr
    assert not text.with_name("lm.arpa").exists()
