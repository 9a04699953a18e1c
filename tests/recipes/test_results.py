"""The README's table of shipped checkpoints."""

import shutil
from pathlib import Path

import pytest

from asr.corpus.manifest import read_manifest
from asr.errors import AsrError
from asr.language.ngram.arpa import write_arpa
from asr.language.ngram.kneser_ney import estimate
from recipes import results
from tests.support import Tones


def test_lines_between_the_marks_are_replaced_and_others_kept() -> None:
    begin, end = results.MARKS
    once = results.replaced(f"a\n{begin}old\n{end}b\n", "| x |\n")
    assert once == f"a\n{begin}\n| x |\n\n{end}b\n"
    assert results.replaced(once, "| x |\n") == once


def test_missing_marks_are_refused() -> None:
    with pytest.raises(AsrError, match="expected the lines"):
        results.replaced("# no table\n", "| x |\n")


def test_the_readme_has_the_marks_and_rows_for_every_checkpoint() -> None:
    readme = (results.ROOT / "README.md").read_text(encoding="utf-8")
    made = readme.partition(results.MARKS[0])[2].partition(results.MARKS[1])[0]
    for config in (results.ROOT / "checkpoints").glob("*/config.json"):
        assert f"| `{config.parent.name}` | " in made


def test_rates_are_formatted_as_percentages() -> None:
    assert results.percent(0.0776, (0.0566, 0.1021)) == "7.8 % (5.7–10.2)"


def test_a_checkpoint_is_scored_with_and_without_its_language_model(
    tones: Tones, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "tones"
    shutil.copytree(tones.checkpoint, checkpoint)
    tests = {"tones": tones.corpus / "test.jsonl"}
    without = results.table([checkpoint], tests)
    texts = [u.text.split() for u in read_manifest(tones.corpus / "train.jsonl")]
    write_arpa(checkpoint / "lm.arpa.gz", estimate(texts, 2).table)
    with_lm = results.table([checkpoint], tests)
    *_, plain, _, greedy, _ = without.splitlines()[-1].split("|")
    assert without.splitlines()[-1].startswith("| `tones` | tones | ")
    assert plain == greedy
    *_, with_model, _, still_greedy, _ = with_lm.splitlines()[-1].split("|")
    assert still_greedy == greedy
    assert with_model.endswith(") ")
