"""Output reaches its reader, or a message says why not."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from asr.cli.console import prepare_streams
from tests.support import REPOSITORY


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_any_text_can_be_printed(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(written, encoding))
    prepare_streams()
    text = "é ł \U0001f600 \ud83d"
    sys.stdout.write(json.dumps(text, ensure_ascii=False))
    sys.stdout.flush()
    assert json.loads(written.getvalue().decode(encoding)) == text


SCORE = (
    "from asr.cli.main import main; import sys; sys.argv = ['asr', 'score', *sys.argv[1:]]; main()"
)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A reference, a hypothesis with other letters, and where figures go."""
    (tmp_path / "ref.trn").write_text("łódź é (a1)\n", encoding="utf-8")
    (tmp_path / "hyp.trn").write_text("lodz é (a1)\n", encoding="utf-8")
    return tmp_path / "ref.trn", tmp_path / "hyp.trn", tmp_path / "figures.json"


def test_another_encoding_loses_nothing(files: tuple[Path, Path, Path]) -> None:
    reference, hypothesis, figures = files
    done = subprocess.run(
        [sys.executable, "-c", SCORE, reference, hypothesis, "--json", figures],
        cwd=REPOSITORY,
        env={"PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\u0142\xf3d\\u017a \xe9" in done.stdout
    assert json.loads(figures.read_text(encoding="utf-8"))["wer"] == 0.5


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_device_is_one_message(files: tuple[Path, Path, Path]) -> None:
    reference, hypothesis, figures = files
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", SCORE, reference, hypothesis, "--json", figures],
            cwd=REPOSITORY,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("error: stdout: cannot write (No space left on device)")
    assert done.stderr.count("\n") == 1
    assert figures.exists()
