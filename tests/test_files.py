"""Atomic writing: the new file whole, or the old one untouched."""

import errno
import json
import math
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr import files
from asr.errors import AsrError
from asr.files import (
    atomic_write,
    file_stem,
    parse_json,
    remove_partial,
    sha256_of,
    write_json_atomic,
    write_text_atomic,
)

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX only")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


ids = st.text(st.sampled_from("ab/\\.%2F\0\n é") | st.characters(), max_size=300)


@given(st.lists(ids, unique=True, max_size=5))
def test_names_for_ids_are_distinct_and_stay_in_the_folder(keys: list[str]) -> None:
    stems = [file_stem(key) for key in keys]
    assert len(set(stems)) == len(keys)
    for stem in stems:
        assert not set(stem) & set("/\\\0\n")
        assert not stem.startswith(".")
        assert len(stem.encode("utf-8", "surrogatepass")) <= 200


def test_usual_ids_are_names() -> None:
    assert [file_stem(key) for key in ("an4-1", "ann 2.b", "é")] == ["an4-1", "ann 2.b", "é"]
    assert [file_stem(key) for key in ("a/b", "a%2Fb", "..")] == ["a%2Fb", "a%252Fb", "%2E."]


def test_new_and_replaced_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text_atomic(path, "one\r\nzwei é\n")
    assert path.read_bytes() == "one\r\nzwei é\n".encode()
    write_text_atomic(str(path), "two")
    assert path.read_text() == "two"
    assert names(tmp_path) == ["a.txt"]


def test_temporary_file_is_beside_and_keeps_the_suffix(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "plot.png") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".png"
        assert temporary.read_bytes() == b""
        assert not (tmp_path / "plot.png").exists()
    assert names(tmp_path) == ["plot.png"]


@posix
def test_what_a_killed_process_has_left_is_removed_by_the_next_write(tmp_path: Path) -> None:
    left, other = tmp_path / ".part-0123456789abcdef.txt", tmp_path / ".part-live.tar"
    left.write_text("half")
    other.write_text("another program's")
    write_text_atomic(tmp_path / "a.txt", "whole")
    assert names(tmp_path) == [other.name, "a.txt"]


@posix
def test_what_is_being_written_is_not_removed(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a.txt") as temporary:
        files._remove_partial_once.cache_clear()
        write_text_atomic(tmp_path / "b.txt", "b")
        remove_partial(tmp_path)
        temporary.write_text("a")
    assert names(tmp_path) == ["a.txt", "b.txt"]


@posix
def test_a_killed_process_leaves_its_file_unlocked(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from asr.files import atomic_write
with atomic_write(sys.argv[1]) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code, tmp_path / "a.txt"], check=False)
    assert len(names(tmp_path)) == 1
    write_text_atomic(tmp_path / "b.txt", "b")
    assert names(tmp_path) == ["b.txt"]


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError, SystemExit, MemoryError])
def test_any_failure_keeps_the_old_file(tmp_path: Path, failure: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write() -> None:
        with atomic_write(path) as temporary:
            temporary.write_text("half")
            raise failure

    with pytest.raises(failure):
        write()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("call", ["fsync", "open"])
def test_full_disk_names_the_file_and_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(AsrError, match="free some space") as caught:
        write_text_atomic(path, "new")
    monkeypatch.undo()
    assert str(path) in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@posix
def test_real_short_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    code = (
        "import resource, sys; from asr.files import write_text_atomic\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "write_text_atomic(sys.argv[1], 'x' * 100_000)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path],
        cwd=Path(files.__file__).parent.parent,
        capture_output=True,
        text=True,
    )
    assert "AsrError" in done.stderr
    assert "ulimit" in done.stderr
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(
    ("place", "message"),
    [("missing/a.txt", "create the folder"), (".", "not of a folder"), ("f/a.txt", "parents are")],
)
def test_impossible_places(tmp_path: Path, place: str, message: str) -> None:
    (tmp_path / "f").write_text("a file")
    with pytest.raises(AsrError, match=message):
        write_text_atomic(tmp_path / place, "new")
    assert names(tmp_path) == ["f"]


@posix
def test_link_is_followed_and_mode_kept(tmp_path: Path) -> None:
    target = tmp_path / "target.txt"
    target.write_text("old")
    target.chmod(0o640)
    (tmp_path / "link").symlink_to(target)
    write_text_atomic(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert target.read_text() == "new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


@posix
def test_new_file_follows_the_umask(tmp_path: Path) -> None:
    previous = os.umask(0o027)
    try:
        write_text_atomic(tmp_path / "a", "x")
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


@posix
def test_pipe_is_written_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[str] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()), daemon=True)
    reader.start()
    write_text_atomic(pipe, "through")
    reader.join(timeout=10)
    assert received == ["through"]
    assert pipe.is_fifo()


def test_folder_that_cannot_be_synced_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = files.sync

    def refuses_folders(path: Path) -> None:
        if path.is_dir():
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(path)

    monkeypatch.setattr(files, "sync", refuses_folders)
    write_text_atomic(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "new"


def test_unknown_cause_still_names_the_file(tmp_path: Path) -> None:
    expected = pytest.raises(AsrError, match=r"a\.txt: cannot write \(odd\).*check the disk")
    with expected, atomic_write(tmp_path / "a.txt"):
        raise OSError("odd")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # A lone surrogate is no character: UTF-8 cannot carry it (tested below).
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=10,
)


@given(json_values)
def test_json_round_trip(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    path = tmp_path_factory.getbasetemp() / "round_trip.json"
    write_json_atomic(path, value)
    assert json.loads(path.read_text(encoding="utf-8")) == value


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": {1, 2}}, Path("x")])
def test_what_json_cannot_carry(tmp_path: Path, value: object) -> None:
    with pytest.raises(AsrError, match=r"b\.json: cannot write as JSON"):
        write_json_atomic(tmp_path / "b.json", value)
    assert names(tmp_path) == []


def test_what_utf8_cannot_carry(tmp_path: Path) -> None:
    with pytest.raises(AsrError, match=r"cannot write '\\udce9' as UTF-8"):
        write_text_atomic(tmp_path / "a.txt", "caf\udce9")
    assert names(tmp_path) == []


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")  # the one-block message of FIPS 180-2, appendix B.1
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_of(tmp_path / "a") == expected
    with pytest.raises(AsrError, match="missing: cannot read"):
        sha256_of(tmp_path / "missing")


def test_json_from_outside_is_not_nested_without_end() -> None:
    assert parse_json("[" * 100 + "]" * 100)
    for depth in (102, 100_000):
        for opened, closed in (("[", "]"), ('{"a":', "}")):
            with pytest.raises(ValueError, match="nested"):
                parse_json(opened * depth + "1" + closed * depth)
    assert math.isnan(parse_json("NaN"))
    with pytest.raises(ValueError, match="NaN is not a JSON number"):
        parse_json("NaN", strict=True)
