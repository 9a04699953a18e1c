"""`asr average`."""

from pathlib import Path

from tests.support import Command, Tones


def test_one_checkpoint_has_no_mean(tones: Tones, tmp_path: Path, asr_command: Command) -> None:
    outcome = asr_command("average", tones.checkpoint, "-o", tmp_path / "mean")
    assert outcome.code == 2
    assert "expected two or more, found 1" in outcome.stderr


def test_names_of_shipped_checkpoints(tmp_path: Path, asr_command: Command) -> None:
    outcome = asr_command("average", "english", "english", "-o", tmp_path / "mean")
    assert "english: expected checkpoints that differ" in outcome.error
