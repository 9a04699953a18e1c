"""Ctrl-C ends every command with one line, whatever it is doing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PAUSE = """
import os, signal, sys, time
from pathlib import Path
# A shell starts what runs in the background with SIGINT ignored, and programs inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = ["asr", *sys.argv[1:]]
import asr.__main__
{patch}
asr.__main__.main()
"""
IN_THE_IMPORTS = """
class Finder:
    def find_spec(self, name, *_):
        if name == "asr.cli.main":
            wait()
sys.meta_path.insert(0, Finder())
"""
WAIT = """
def wait(*_, **__):
    Path(os.environ["READY"]).touch()
    time.sleep(60)
"""
IN_THE_WORK = """
if sys.argv[1] == "import":
    import asr.corpus.table
    asr.corpus.table.read_csv = wait
else:
    import asr.scoring.report, asr.cli.score
    asr.cli.score.read_transcripts = wait
"""


def started(code: str, ready: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "READY": str(ready)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def signalled(process: subprocess.Popen[str], ready: Path, number: int) -> tuple[str, str]:
    """What a process prints that gets a signal once the file `ready` is there."""
    try:
        for _ in range(600):
            if ready.exists() or process.poll() is not None:
                break
            time.sleep(0.05)
        process.send_signal(number)
        return process.communicate(timeout=30)
    finally:
        process.kill()


# SIGTERM in the imports ends the process by itself.
@pytest.mark.parametrize(
    ("where", "number"),
    [
        pytest.param(IN_THE_IMPORTS, signal.SIGINT, id="imports-2"),
        pytest.param(IN_THE_WORK, signal.SIGINT, id="work-2"),
        pytest.param(IN_THE_WORK, signal.SIGTERM, id="work-15"),
    ],
)
@pytest.mark.parametrize("command", ["score", pytest.param("import", marks=pytest.mark.slow)])
def test_one_line_and_130(tmp_path: Path, where: str, command: str, number: int) -> None:
    ready, output = tmp_path / "ready", tmp_path / "out.jsonl"
    (tmp_path / "a.txt").write_text("u-1 A\n")
    arguments = {
        "import": ["import", "csv", str(tmp_path / "a.csv"), "-o", str(output)],
        "score": ["score", str(tmp_path / "a.txt"), str(tmp_path / "a.txt"), "--json", str(output)],
    }[command]
    process = started(PAUSE.format(patch=WAIT + where), ready, *arguments)
    stdout, stderr = signalled(process, ready, number)
    assert (process.returncode, stdout, stderr) == (130, "", "interrupted\n")
    assert not output.exists()


AT_THE_END = """
import atexit, os, signal, sys, time
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)
atexit.register(lambda: (Path(os.environ["READY"]).touch(), time.sleep(60)))
sys.argv = ["asr", "--version"]
import asr.__main__
asr.__main__.main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_python_ends_leaves_no_traceback(tmp_path: Path, number: int) -> None:
    process = started(AT_THE_END, tmp_path / "ready")
    stdout, stderr = signalled(process, tmp_path / "ready", number)
    assert (process.returncode, stderr) == (130, "")
    assert "asr" in stdout
