"""One training at a time in a folder."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asr.config import to_dict
from asr.errors import AsrError
from asr.files import write_json_atomic
from asr.training import Config
from asr.training.run_lock import LOCK, run_lock
from tests.support import Command

pytest_plugins = ["tests.training_fixtures"]
fcntl = pytest.importorskip("fcntl", reason="locks of POSIX")

_HOLD = """
import fcntl, json, os, sys
file = open(sys.argv[1], "a+b")
try:
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    print("held by another", flush=True)
    sys.exit()
file.truncate(0)
file.write(json.dumps({"pid": os.getpid(), "host": "elsewhere", "started": "today"}).encode())
file.flush()
print("held", flush=True)
sys.stdin.read()
"""


def holder(folder: Path) -> "subprocess.Popen[str]":
    """Another process that tries to hold the lock."""
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-S", "-c", _HOLD, folder / LOCK],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said_by(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    return process.stdout.readline().strip()


@pytest.fixture
def held(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    process = holder(tmp_path / "run")
    assert said_by(process) == "held"
    yield process
    process.kill()
    process.communicate()


def test_another_run_in_the_folder_is_named(
    micro: Config, tmp_path: Path, held: "subprocess.Popen[str]", asr_command: Command
) -> None:
    write_json_atomic(tmp_path / "config.json", to_dict(micro))
    outcome = asr_command("train", "-o", tmp_path / "run", "--config", tmp_path / "config.json")
    assert outcome.error.startswith(f"{tmp_path / 'run'}: process {held.pid} on elsewhere, ")
    assert "wait until it has ended, or choose another --output_dir" in outcome.error
    assert [path.name for path in (tmp_path / "run").iterdir()] == [LOCK]


def test_the_lock_of_a_killed_run_is_taken_over(
    tmp_path: Path, held: "subprocess.Popen[str]"
) -> None:
    held.kill()
    held.wait()
    with run_lock(tmp_path / "run"):
        assert json.loads((tmp_path / "run" / LOCK).read_text())["pid"] == os.getpid()


def test_a_lock_without_a_description_is_one(tmp_path: Path, held: "subprocess.Popen[str]") -> None:
    os.truncate(tmp_path / "run" / LOCK, 0)
    with pytest.raises(AsrError, match="another process is training"), run_lock(tmp_path / "run"):
        pass


def test_processes_that_are_forked_do_not_keep_it(tmp_path: Path) -> None:
    with run_lock(tmp_path):
        assert said_by(holder(tmp_path)) == "held by another"
        child = os.fork()
        if not child:
            signal.pause()
    process = holder(tmp_path)
    found = said_by(process)
    for pid in (child, process.pid):
        os.kill(pid, signal.SIGKILL)
    os.waitpid(child, 0)
    process.communicate()
    assert found == "held"


def test_only_the_main_process_of_several_holds_it(
    tmp_path: Path, held: "subprocess.Popen[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    with run_lock(tmp_path / "run"):
        pass


def test_a_file_system_without_locks_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with run_lock(tmp_path):
        assert "no locks (Function not implemented)" in caplog.text


def test_half_written_files_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    left = [tmp_path / place / ".part-0123" for place in ("", "states", "weights")]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    with run_lock(tmp_path):
        assert not any(path.exists() for path in left)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / LOCK).mkdir()
    with pytest.raises(AsrError, match=r"\.lock: cannot write"), run_lock(tmp_path):
        pass
