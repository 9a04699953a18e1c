"""`asr describe`."""

import re

from asr.checkpoint.checkpoint import describe, load_checkpoint
from tests.support import Command


def test_shipped_checkpoint_by_name(asr_command: Command) -> None:
    outcome = asr_command("describe", "english")
    assert (outcome.code, outcome.stderr) == (0, "")
    assert outcome.stdout == f"{describe(load_checkpoint('english'))}\n"
    line = r"AN4 test +WER 1\.\d\d %, 95 % interval 0\.\d\d to 2\.\d\d"
    assert re.search(line, outcome.stdout)


def test_name_of_nothing_lists_the_shipped_checkpoints(asr_command: Command) -> None:
    outcome = asr_command("describe", "engglish")
    assert "shipped checkpoint (an4-blstm, english), found nothing" in outcome.error
