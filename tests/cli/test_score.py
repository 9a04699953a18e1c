"""The `asr score` command."""

import json
from pathlib import Path

import pytest

from tests.support import Command, run_python


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """References of two speakers, hypotheses in another order and format, and a worse system."""
    (tmp_path / "references.jsonl").write_text(
        "".join(
            json.dumps({"id": key, "text": text, "speaker": speaker}) + "\n"
            for key, text, speaker in (
                ("u1", "RUBOUT G M", "anna"),
                ("u2", "YES", "anna"),
                ("u3", "M N", "ben"),
            )
        )
    )
    (tmp_path / "hypotheses.trn").write_text("M (u3)\nRUBOUT T M (u1)\nYES (u2)\n")
    (tmp_path / "baseline.txt").write_text("u2\nu1 RUBOUT\nu3 M\n")
    return tmp_path


def test_score_prints_the_report_and_writes_json(corpus: Path) -> None:
    done = run_python(
        *("-m", "asr", "score"),
        *(corpus / "references.jsonl", corpus / "hypotheses.trn"),
        *("--baseline", corpus / "baseline.txt", "--by_speaker", "--worst", "1"),
        *("--json", corpus / "score.json"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0].split()[:2] == ["WER", "33.33%"]
    assert "interval over speakers: 25.00% to 50.00%" in done.stdout
    assert "REF:  M N\nHYP:  M *\nEVAL:   D\n" in done.stdout
    assert "RUBOUT" not in done.stdout  # --worst 1
    assert "WER against the baseline: -33.33%" in done.stdout
    figures = json.loads((corpus / "score.json").read_text())
    assert (figures["wer"], figures["words"], figures["deletions"]) == (2 / 6, 6, 1)
    assert figures["wer_interval"] == [0.25, 0.5]
    assert figures["real_time_factor"] is None
    assert figures["comparison"]["difference"] == -2 / 6
    assert figures["comparison"]["probability_of_improvement"] > 0.8


def test_references_as_trn_are_read_as_sclite_does(tmp_path: Path, asr_command: Command) -> None:
    references, hypotheses = tmp_path / "ref.trn", tmp_path / "hyp.trn"
    references.write_text("(UH) { I SEE / I'S } (u1)\n")
    hypotheses.write_text("I SEE (u1)\n")
    done = asr_command("score", references, hypotheses, "--baseline", hypotheses)
    assert done.code == 0
    assert done.stdout.splitlines()[3].split()[:2] == ["words", "3"]
    assert done.stdout.splitlines()[0].split()[:2] == ["WER", "0.00%"]


def test_a_named_format_overrides_the_suffix(corpus: Path, asr_command: Command) -> None:
    strange = (corpus / "hypotheses.trn").rename(corpus / "hypotheses.out")
    refused = asr_command("score", corpus / "references.jsonl", strange)
    assert refused.code == 1
    assert "the suffix '.out' does not determine the format" in refused.stderr
    assert refused.stdout == ""
    done = asr_command("score", corpus / "references.jsonl", strange, "--format_hypothesis", "trn")
    assert (done.code, done.stderr) == (0, "")


def test_a_missing_hypothesis_is_an_error_unless_allowed(
    corpus: Path, asr_command: Command
) -> None:
    (corpus / "hypotheses.trn").write_text("YES (u2)\n")
    arguments = (corpus / "references.jsonl", corpus / "hypotheses.trn")
    refused = asr_command("score", *arguments)
    assert refused.code == 1
    assert "no hypothesis for 2 of 3 references ('u1', 'u3')" in refused.stderr
    assert "Traceback" not in refused.stderr
    allowed = asr_command("score", *arguments, "--missing_as_empty")
    assert allowed.code == 0
    assert "83.33%" in allowed.stdout
    assert "no hypothesis for 2 of 3 references" in allowed.stderr


def test_speakers_are_asked_of_a_manifest_only(corpus: Path, asr_command: Command) -> None:
    done = asr_command("score", corpus / "hypotheses.trn", corpus / "baseline.txt", "--by_speaker")
    assert done.code == 1
    assert "--by_speaker needs references with speakers" in done.stderr


def test_usage_errors_exit_with_two(corpus: Path, asr_command: Command) -> None:
    done = asr_command(
        "score", corpus / "references.jsonl", corpus / "baseline.txt", "--format_reference", "csv"
    )
    assert done.code == 2
    assert done.stdout == ""
