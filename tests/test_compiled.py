"""Compiled code that is kept on disk follows every file that it was made from.

numba, which makes it, is not there before it is needed.
"""

import logging
import os
import stat
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from asr import compiled as compiled_module
from asr.compiled import PACKAGE, cache_folder, compiled, helper, inlined, sources_digest
from tests.support import REPOSITORY, run_python


@compiled
def total(values: NDArray[np.float64]) -> float:
    result = 0.0
    for value in values:
        result += value
    return result


@compiled
def mean(values: NDArray[np.float64]) -> float:
    """Of some values."""
    return total(values) / len(values)


def test_it_computes() -> None:
    assert total(np.arange(5.0)) == 10.0
    assert mean(np.arange(5.0)) == mean(values=np.arange(5.0)) == 2.0
    assert mean.__doc__ == "Of some values."


def test_threads_that_come_together_share_one_machine_code() -> None:
    def one_more(x: float) -> float:
        return x + 1.0

    functions = [compiled(one_more) for _ in range(20)]
    together, settings = threading.Barrier(4), vars(numba.config)
    folder = settings["CACHE_DIR"]

    def first_calls(_: int) -> list[int]:
        together.wait()
        return [id(function.dispatcher) for function in functions]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(first_calls, range(4)))
    assert len(set(map(tuple, found))) == 1
    assert len(set(found[0])) == len(functions)
    assert settings["CACHE_DIR"] == folder, "where others keep their code is their choice"


_GREEDY = """
import sys, asr
recognizer = asr.load("checkpoints/an4-blstm")
sample = "recipes/synthetic/samples/02-command-flite-rms.flac"
assert recognizer.transcribe(sample, beam_size=1).text == "YES"
assert "numba" not in sys.modules
assert recognizer.transcribe(sample, beam_size=4).text == "YES"
assert "numba" in sys.modules
"""


def test_greedy_search_does_without_numba() -> None:
    done = run_python("-c", _GREEDY)
    assert done.returncode == 0, done.stderr


@helper
def doubled(value: float) -> float:
    return 2 * value


@inlined
def halved(value: float) -> float:
    return value / 2


@compiled
def unchanged(value: float, times: int) -> float:
    for _ in range(times):
        value = halved(doubled(value))
    return value


def test_helpers_serve_compiled_functions_and_python() -> None:
    assert unchanged(3.0, 5) == 3.0
    assert (doubled(3.0), halved(3.0)) == (6.0, 1.5)


def test_one_version_serves_every_width_of_number() -> None:
    numbers: list[tuple[Any, Any]] = [(1, 2), (np.float32(1.5), np.int32(1))]
    assert [unchanged(value, times) for value, times in numbers] == [1.0, 1.5]
    assert len(unchanged.dispatcher.signatures) == 1


@compiled
def scaled(value: float, factors: NDArray[np.float64] | None) -> float:
    if factors is not None:
        value *= factors[0]
    return value


scaled_alone = scaled.without("factors", "scaled_alone")


def test_a_version_without_a_parameter_is_compiled_and_kept_by_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    assert scaled_alone(3.0, None) == 3.0
    assert {path.name.split("-")[0] for path in tmp_path.rglob("*.nbi")} == {
        "test_compiled.scaled_alone"
    }
    assert scaled(3.0, np.array([2.0])) == 6.0
    products = ["fmul" in str(f.dispatcher.inspect_llvm()) for f in (scaled, scaled_alone)]
    assert products == [True, False]
    with pytest.raises(TypeError, match="No matching definition"):
        scaled_alone(3.0, np.array([2.0]))


def test_arrays_of_another_type_are_refused_rather_than_compiled_for() -> None:
    with pytest.raises(TypeError, match="No matching definition"):
        total(np.arange(5))  # type: ignore[arg-type]


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A package folder that cannot be written (a file is in the way), and an empty home."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "__pycache__").write_text("in the way")
    monkeypatch.setattr(compiled_module, "PACKAGE", package)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_the_users_cache_folder_is_second(outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"compiled-{sources_digest(outside / 'package')}"
    monkeypatch.setattr(compiled_module, "sources_digest", lambda: name.removeprefix("compiled-"))
    found = cache_folder.__wrapped__()
    assert found == str(outside / "home" / ".cache" / "asr" / name)
    assert stat.S_IMODE((outside / "home" / ".cache" / "asr").stat().st_mode) == 0o700

    monkeypatch.setenv("XDG_CACHE_HOME", str(outside / "xdg"))
    assert cache_folder.__wrapped__() == str(outside / "xdg" / "asr" / name)


@pytest.mark.parametrize("home", ["/proc/nonexistent", "", "relative/home"])
def test_without_a_home_a_private_temporary_folder_serves(
    outside: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.setenv("HOME", home)
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nonexistent/cache")
    folder = outside / f"asr-{os.getuid()}"
    found = cache_folder.__wrapped__()
    assert found is not None
    assert Path(found).parent == folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("made", ["by somebody else", "writable by all", "a link", "a file"])
def test_code_is_not_loaded_from_a_folder_that_others_can_write(
    outside: Path, monkeypatch: pytest.MonkeyPatch, made: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nonexistent")
    folder = outside / f"asr-{os.getuid()}"
    if made == "a link":
        (outside / "theirs").mkdir()
        folder.symlink_to(outside / "theirs")
    elif made == "a file":
        folder.write_text("in the way")
    else:
        folder.mkdir()
        folder.chmod(0o777 if made == "writable by all" else 0o700)
    if made == "by somebody else":
        uid = os.getuid()
        (outside / f"asr-{uid + 1}").mkdir(mode=0o700)
        monkeypatch.setattr(os, "getuid", lambda: uid + 1)
    assert cache_folder.__wrapped__() is None


def test_a_full_disk_is_no_place_for_code(outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    assert cache_folder.__wrapped__() is None


def test_without_any_folder_functions_are_compiled_each_time_and_say_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compiled_module, "cache_folder", lambda: None)
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    compiled_module._announce.cache_clear()
    with caplog.at_level(logging.INFO, "asr.compiled"):
        assert compiled(doubled.py_func)(2.0) == 4.0
        assert compiled(halved.py_func)(2.0) == 1.0
    (message,) = caplog.messages
    assert "on each start" in message
    assert "NUMBA_CACHE_DIR" in message


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize("left", [0.0, 0.5])
def test_a_damaged_file_of_the_cache_is_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, suffix: str, left: float
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    assert compiled(total.py_func)(np.arange(5.0)) == 10.0
    (file,) = tmp_path.rglob(f"*{suffix}")
    whole = file.read_bytes()
    file.write_bytes(whole[: int(left * len(whole))])
    again = compiled(total.py_func)
    assert again(np.arange(5.0)) == 10.0
    assert sum(again.dispatcher.stats.cache_misses.values()) == 1
    once_more = compiled(total.py_func)
    assert once_more(np.arange(5.0)) == 10.0
    assert sum(once_more.dispatcher.stats.cache_hits.values()) == 1


def test_a_folder_that_fails_in_use_is_done_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "file"))
    assert compiled(halved.py_func)(2.0) == 1.0


def test_compiled_code_is_kept_under_the_name_of_its_sources() -> None:
    total(np.arange(5.0))

    kept = os.environ.get("NUMBA_CACHE_DIR") or PACKAGE / "__pycache__" / (
        f"compiled-{sources_digest()}"
    )
    assert list(Path(kept).rglob("*total*.nbi"))


def test_every_file_with_compiled_functions_counts(tmp_path: Path) -> None:
    (tmp_path / "room").mkdir()
    files = [tmp_path / "a.py", tmp_path / "room" / "b.py"]
    for file in files:
        file.write_text("import x\n@compiled\ndef f(): ...\n")
    plain = tmp_path / "c.py"
    plain.write_text("import y\n")
    before = sources_digest(tmp_path)

    plain.write_text("import z\n")
    assert sources_digest(tmp_path) == before
    for file in files:
        text = file.read_text()
        file.write_text(text.replace("f", "g"))
        assert sources_digest(tmp_path) != before
        file.write_text(text)
    assert sources_digest(tmp_path) == before


_IN_BACKGROUND = """
import sys
from asr.language.automata.automaton import _reach as function
if "broken" in sys.argv:
    sys.executable = "no-such-python"
if "failing" in sys.argv:
    sys.executable = "/bin/false"
function.compile_in_background()
print("started" if function._compiler else "not started")
print("loaded" if function.dispatcher.stats.cache_hits else "compiled")
"""


@pytest.mark.parametrize(
    ("how", "expected"),
    [("", "started loaded"), ("broken", "not started compiled"), ("failing", "started compiled")],
)
def test_compiling_in_another_process(tmp_path: Path, how: str, expected: str) -> None:
    command = [sys.executable, "-c", _IN_BACKGROUND, how]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}

    def said() -> str:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return " ".join(done.stdout.split())

    assert said() == expected
    assert said() == "not started loaded"
