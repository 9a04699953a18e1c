"""What every test file shares."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support import Command, Outcome, Tones

# One thread: sums are added in one order, whatever the machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", ".hypothesis")

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("repeatable")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real speech kept beside the checkout; a test that needs it is skipped where there is none."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no folder of real recordings beside the checkout")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that use the tones model last: it is trained beside the others."""
    items.sort(key=_uses_tones)


def _uses_tones(item: pytest.Item) -> bool:
    return "tones" in getattr(item, "fixturenames", ())


@pytest.fixture(scope="session", autouse=True)
def _start_tones(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Path]]:
    """Train the tones model from now on, once for all processes of pytest-xdist; says where."""
    folder = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        folder = folder.parent
    folder = folder / "tones"
    started: list[subprocess.Popen[bytes]] = []

    def start() -> Path:
        with suppress(FileExistsError):  # this or another process has started it
            folder.mkdir()
            command = [sys.executable, "-m", "tests.train_tones", str(folder)]
            with (folder / "log").open("w") as log:
                started.append(subprocess.Popen(command, cwd=REPOSITORY, stdout=log, stderr=log))
        return folder

    if any(map(_uses_tones, request.session.items)):
        start()
    yield start
    for training in started:
        training.kill()


@pytest.fixture(scope="session")
def tones(_start_tones: Callable[[], Path]) -> Tones:
    """The corpus and the model of the tones recipe."""
    folder = _start_tones()
    while not (folder / "ended").exists():
        time.sleep(0.1)
    tones = Tones.under(folder)
    assert tones.checkpoint.is_dir(), (folder / "log").read_text()
    return tones


@pytest.fixture
def asr_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `asr` with arguments as `python -m asr` does, without the price of a new process."""
    from asr.cli.main import main

    def command(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["asr", *map(str, arguments)])
        # Without pytest's own handlers the command sets up its log, and stderr is what users see.
        monkeypatch.setattr(logging.root, "handlers", [])
        monkeypatch.setattr(logging.root, "level", logging.WARNING)
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main()
        code = exit_.value.code
        return Outcome(code if isinstance(code, int) else 0, *capsys.readouterr())

    return command
