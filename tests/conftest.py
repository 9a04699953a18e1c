"""What every test file shares."""

import json
import logging
import os
import sys
import time
from pathlib import Path

import pytest

from tests.support import Command, Outcome, Tones, run_python

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


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Tones:
    """Prepared and trained once for all tests, and for all processes of pytest-xdist."""
    folder = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        folder = folder.parent
    tones = Tones(folder / "tones" / "corpus", folder / "tones" / "run")
    done = folder / "tones" / "done"
    try:
        done.parent.mkdir()
    except FileExistsError:  # another process is at it
        while not done.exists():
            time.sleep(0.2)
    else:
        try:
            _train_tones(tones)
        finally:
            done.touch()
    assert tones.checkpoint.is_dir(), "training the tones model failed"
    return tones


def _train_tones(tones: Tones) -> None:
    recipe = REPOSITORY / "recipes" / "tones"
    prepared = run_python(recipe / "prepare.py", "--output_dir", tones.corpus)
    assert prepared.returncode == 0, prepared.stderr
    trained = run_python(
        *(recipe / "train.py", "--output_dir", tones.run, "--threads", "1"),
        *("--set", f"data.train={json.dumps([str(tones.corpus / 'train.jsonl')])}"),
        *("--set", f"data.dev={tones.corpus / 'dev.jsonl'}"),
    )
    assert trained.returncode == 0, trained.stderr


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
