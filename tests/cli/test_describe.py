"""`asr describe`."""

from asr.checkpoint.checkpoint import describe, load_checkpoint
from tests.support import Command


def test_shipped_checkpoint_by_name(asr_command: Command) -> None:
    outcome = asr_command("describe", "alphanumeric")
    assert (outcome.code, outcome.stderr) == (0, "")
    assert outcome.stdout == f"{describe(load_checkpoint('alphanumeric'))}\n"
    assert "WER 2.85 %, 95 % interval 1.70 to 4.14" in outcome.stdout


def test_name_of_nothing_lists_the_shipped_checkpoints(asr_command: Command) -> None:
    outcome = asr_command("describe", "alphanumerik")
    assert "shipped checkpoint (alphanumeric, an4-blstm, english), found nothing" in outcome.error
