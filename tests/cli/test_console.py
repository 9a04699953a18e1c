"""What the command prints."""

from pathlib import Path

from tests.conftest import REPOSITORY
from tests.support import Command


def test_names_from_outside_cannot_reach_the_terminal(tmp_path: Path, asr_command: Command) -> None:
    name = tmp_path / "\x1b]0;owned\x07\u202e.jsonl"
    name.write_text('{"id": "\\u001b[2J", "text": "YES"}\n', encoding="utf-8")
    outcome = asr_command("score", name, tmp_path / "none\x9b31m.trn")
    assert outcome.code == 1
    assert "none\\x9b31m.trn" in outcome.stderr
    assert outcome.stderr.replace("\n", "").isprintable()
    outcome = asr_command("score", name, name)
    assert outcome.code == 0
    assert outcome.stdout.replace("\n", "").isprintable()


def test_every_command_prints_through_the_console() -> None:
    for path in (REPOSITORY / "asr" / "cli").glob("*.py"):
        if path.name != "console.py":
            assert "typer.echo" not in path.read_text(encoding="utf-8"), path.name
