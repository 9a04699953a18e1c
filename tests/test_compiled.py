"""Compiled code that is kept on disk follows every file that it was made from."""

from pathlib import Path

import numpy as np

from asr.compiled import PACKAGE, compiled, sources_digest


@compiled
def total(values: np.ndarray) -> float:
    result = 0.0
    for value in values:
        result += value
    return result


def test_it_computes() -> None:
    assert total(np.arange(5.0)) == 10.0


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
