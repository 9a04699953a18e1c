"""Functions that become machine code when they are first called."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from asr.compiled import cache, functions
from asr.compiled.functions import compiled, helper, inlined
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

    twenty = [compiled(one_more) for _ in range(20)]
    together = threading.Barrier(4)

    def first_calls(_: int) -> list[int]:
        together.wait()
        return [id(function.dispatcher) for function in twenty]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(first_calls, range(4)))
    assert len(set(map(tuple, found))) == 1
    assert len(set(found[0])) == len(twenty)


_GREEDY = """
import sys, asr
recognizer = asr.load("checkpoints/an4-blstm")
sample = "recipes/synthetic/samples/02-command-flite-rms.flac"
assert recognizer.transcribe(sample, beam_size=1).text == "YES"
assert "numba" not in sys.modules
assert recognizer.transcribe(sample, beam_size=4).text == "YES"
assert "numba" in sys.modules
"""


@pytest.mark.slow
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
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert scaled_alone(3.0, None) == 3.0
    (kept,) = tmp_path.rglob("*.code")
    assert kept.name.startswith("test_functions.scaled_alone-")
    assert scaled(3.0, np.array([2.0])) == 6.0
    products = ["fmul" in str(f.dispatcher.inspect_llvm()) for f in (scaled, scaled_alone)]
    assert products == [True, False]
    with pytest.raises(TypeError, match="No matching definition"):
        scaled_alone(3.0, np.array([2.0]))


def test_arrays_of_another_type_are_refused_rather_than_compiled_for() -> None:
    with pytest.raises(TypeError, match="No matching definition"):
        total(np.arange(5))  # type: ignore[arg-type]


def test_without_any_folder_functions_are_compiled_each_time_and_say_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for module in (functions, cache):
        monkeypatch.setattr(module, "cache_folder", lambda: None)
    monkeypatch.setattr(cache, "_folders", list)
    functions._announce.cache_clear()
    assert compiled(doubled.py_func)(2.0) == 4.0
    assert compiled(halved.py_func)(2.0) == 1.0
    (message,) = caplog.messages
    assert "on each start" in message
    assert "NUMBA_CACHE_DIR" in message


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
    [
        ("", "started loaded"),
        pytest.param("broken", "not started compiled", marks=pytest.mark.slow),
        pytest.param("failing", "started compiled", marks=pytest.mark.slow),
    ],
)
def test_compiling_in_another_process(tmp_path: Path, how: str, expected: str) -> None:
    command = [sys.executable, "-c", _IN_BACKGROUND, how]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}

    def said() -> str:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return " ".join(done.stdout.split())

    assert said() == expected
    assert said() == "not started loaded"
