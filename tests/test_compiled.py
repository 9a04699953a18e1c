"""Compiled code that is kept on disk follows every file that it was made from.

numba, which makes it, is not there before it is needed.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import numpy as np

from asr.compiled import PACKAGE, compiled, sources_digest
from tests.support import run_python


@compiled
def total(values: np.ndarray) -> float:
    result = 0.0
    for value in values:
        result += value
    return result


@compiled
def mean(values: np.ndarray) -> float:
    """Of some values."""
    return total(values) / len(values)


def test_it_computes() -> None:
    assert total(np.arange(5.0)) == 10.0
    assert mean(np.arange(5.0)) == mean(values=np.arange(5.0)) == 2.0
    assert mean.__doc__ == "Of some values."


def test_threads_that_come_together_share_one_machine_code() -> None:
    functions = [compiled(lambda x: x + 1.0) for _ in range(20)]
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
assert recognizer.transcribe(sample).text == "YES"
assert "numba" not in sys.modules
assert recognizer.transcribe(sample, beam_size=4).text == "YES"
assert "numba" in sys.modules
"""


def test_greedy_search_does_without_numba() -> None:
    done = run_python("-c", _GREEDY)
    assert done.returncode == 0, done.stderr


def test_compiled_code_is_kept_under_the_name_of_its_sources() -> None:
    total(np.arange(5.0))

    kept = PACKAGE / "__pycache__" / f"compiled-{sources_digest()}"
    assert list(kept.rglob("*total*.nbi"))


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
