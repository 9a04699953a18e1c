"""The tables of AN4's results and errors: segments, kinds, causes."""

import math
from pathlib import Path

import pytest
import torch

import asr
from asr.corpus.manifest import read_manifest, write_manifest
from asr.decode.fusion import Fusion, FusionConfig
from asr.language.ngram.kneser_ney import estimate
from asr.language.ngram.model import compile_model
from asr.scoring.wer import align
from recipes.an4 import errors, results
from recipes.an4.errors import ErrorSegment, TranscriptScorer
from recipes.synthetic.prepare import SAMPLES
from tests.support import REPOSITORY, run_recipe

CHECKPOINT = REPOSITORY / "checkpoints" / "english"
VOCABULARY = frozenset("A B OF FIVE NINE SEVENTY TWO YES".split())


def segments(reference: str, hypothesis: str) -> list[ErrorSegment]:
    return errors.error_segments(align({"u": reference}, {"u": hypothesis})[0].pairs)


def test_a_segment_covers_words_that_differ() -> None:
    assert segments("A B A", "A B A") == []
    assert segments("A B A YES", "A A A") == [
        ErrorSegment(1, ("B",), 1, ("A",)),
        ErrorSegment(3, ("YES",), 3, ()),
    ]
    assert segments("A B", "YES A B") == [ErrorSegment(0, (), 0, ("YES",))]


@pytest.mark.parametrize(
    ("reference", "hypothesis"),
    [("A B A YES", "A A A"), ("A B", "YES A B"), ("A", ""), ("A B A B", "B A B A B A"), ("", "A")],
)
def test_correcting_all_segments_gives_the_reference(reference: str, hypothesis: str) -> None:
    words = hypothesis.split()
    for segment in reversed(segments(reference, hypothesis)):
        words = segment.corrected(words)
    assert " ".join(words) == reference


@pytest.mark.parametrize(
    ("reference", "hypothesis", "kind"),
    [
        ("A", "B", "letter substitution"),
        ("A", "", "letter deletion"),
        ("", "B", "letter insertion"),
        ("FIVE", "NINE", "number substitution"),
        ("SEVENTY TWO", "SEVENTY", "number substitution"),
        ("TWO", "", "number deletion or insertion"),
        ("OF", "A", "word and letter"),
        ("OF", "YES", "other words"),
        ("A", "AB", "non-word"),
        ("MAYBE", "YES", "word not in training"),
    ],
)
def test_kinds(reference: str, hypothesis: str, kind: str) -> None:
    segment = ErrorSegment(0, tuple(reference.split()), 0, tuple(hypothesis.split()))
    assert errors.kind(segment, VOCABULARY) == kind


def test_the_cause_is_the_score_that_prefers_the_error() -> None:
    recognizer = asr.load(CHECKPOINT)
    table = recognizer.tokens
    log_probs = torch.full((1, len(table)), math.log(0.1 / (len(table) - 2)))
    a, b = table.encode("AB")
    log_probs[0, a], log_probs[0, b] = math.log(0.6), math.log(0.3)
    # The language model gives B five times the probability of A.
    model = compile_model(estimate([["B"]] * 5 + [["A"]], 1).table)
    fusion = Fusion(table, FusionConfig(lm_weight=1.0), word_model=model)
    strong = TranscriptScorer(table, fusion)
    weak = TranscriptScorer(table, fusion.with_config(FusionConfig(lm_weight=0.1)))
    assert strong.acoustic(log_probs, [a]) == pytest.approx(math.log(0.6))
    assert strong.cause(log_probs, [b], ["A"]) == "language"
    assert strong.cause(log_probs, [a], ["B"]) == "search"
    assert weak.cause(log_probs, [b], ["A"]) == "search"
    assert weak.cause(log_probs, [a], ["B"]) == "acoustic"


def test_empty_words_are_part_of_the_language_score() -> None:
    recognizer = asr.load(CHECKPOINT)
    model = compile_model(estimate([["A", "B"]], 1).table)
    config = FusionConfig(empty_word_log_penalty=-7.0)
    scorer = TranscriptScorer(
        recognizer.tokens, Fusion(recognizer.tokens, config, word_model=model)
    )
    encode = recognizer.tokens.encode
    one = scorer.language(encode("A B"))
    assert scorer.language(encode("A  B")) == pytest.approx(one - 7)
    assert scorer.language(encode(" A B ")) == pytest.approx(one - 14)


def test_level_above_background_is_in_decibels() -> None:
    noise = torch.randn(16000, generator=torch.Generator().manual_seed(0)) * 0.001
    noise[8000:] *= 100
    assert errors.level_above_background(noise, 16000) == pytest.approx(40, abs=2)


def test_every_error_has_a_row() -> None:
    samples = SAMPLES / "manifest.jsonl"
    lm = CHECKPOINT / "lm.arpa.gz"
    manifests = ["--manifest", samples, "--train", samples]
    ran = run_recipe(errors.main, CHECKPOINT, *manifests, "--lm", lm)
    assert ran.code == 0, ran
    rows, table = ran.stdout.split("\n\n")
    counted = sum(int(row.split(" | ")[0].strip("| ")) for row in rows.splitlines()[2:])
    total = sum(int(row.split(" | ")[-1].strip("| ")) for row in table.splitlines()[2:])
    assert counted == total > 0
    assert {row.split(" | ")[5] for row in rows.splitlines()[2:]} <= {
        "acoustic",
        "language",
        "search",
    }


def test_results_score_new_sentences_separately(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint").symlink_to(CHECKPOINT)
    samples = read_manifest(SAMPLES / "manifest.jsonl")
    write_manifest(tmp_path / "known.jsonl", samples[:-3])
    write_manifest(tmp_path / "new.jsonl", samples[-3:])
    both, new = (
        run_recipe(
            results.results,
            *(tmp_path / "run", "--train", tmp_path / "known.jsonl"),
            *("--manifest", manifest),
        )
        for manifest in (SAMPLES / "manifest.jsonl", tmp_path / "new.jsonl")
    )
    assert (both.code, new.code) == (0, 0), both
    cells = [part.strip() for part in both.stdout.splitlines()[2].split("|")]
    only_new = [part.strip() for part in new.stdout.splitlines()[2].split("|")]
    assert cells[5] == only_new[5] == only_new[3].split()[0] != cells[3].split()[0]
    assert both.stdout.splitlines()[3].startswith("| mean (range) |  | ")
