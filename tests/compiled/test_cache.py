"""Compiled code on disk: it follows its sources, is the user's alone, and can only fail to help."""

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from asr.compiled import cache
from asr.compiled.cache import PACKAGE, cache_folder, folder_name, sources_digest
from asr.compiled.functions import Compiled
from tests.training_support import cut, emptied, flipped, torn


def total(values: NDArray[np.float64]) -> float:
    result = 0.0
    for value in values:
        result += value
    return result


def called(function: Callable[..., float] = total) -> str:
    """Call a function as a new process would; says where its code came from."""
    fresh = Compiled(function)
    assert fresh(np.arange(5.0)) == 10.0
    return "loaded" if sum(fresh.dispatcher.stats.cache_hits.values()) else "compiled"


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder that NUMBA_CACHE_DIR names."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "chosen"))
    cache._warn_once.cache_clear()
    return tmp_path / "chosen" / folder_name()


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A package folder that cannot be written (a file is in the way), and an empty home."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "__pycache__").write_text("in the way")
    monkeypatch.setattr(cache, "PACKAGE", package)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for variable in ("XDG_CACHE_HOME", "NUMBA_CACHE_DIR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


# Files


def test_code_is_kept_for_this_user_alone(chosen: Path) -> None:
    assert called() == "compiled"
    assert called() == "loaded"
    assert stat.S_IMODE(chosen.stat().st_mode) == 0o700
    (file,) = chosen.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("damage", [emptied, torn, cut, flipped])
def test_a_damaged_file_is_replaced(chosen: Path, damage: Callable[[Path], None]) -> None:
    assert called() == "compiled"
    (file,) = chosen.iterdir()
    whole = file.read_bytes()
    damage(file)
    assert file.read_bytes() != whole
    assert called() == "compiled"
    assert called() == "loaded"


def test_every_byte_of_a_file_counts(chosen: Path) -> None:
    called()
    (file,) = chosen.iterdir()
    whole, key = file.read_bytes(), file.stem.rpartition("-")[2].encode()
    assert cache._read_code(file, key)
    for place in [*range(40), *range(40, len(whole), 997), len(whole) - 1]:
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert cache._read_code(file, key) is None


def test_the_code_of_one_function_is_not_taken_for_that_of_another(chosen: Path) -> None:
    def ten(values: NDArray[np.float64]) -> float:
        return 10.0

    called()
    (first,) = chosen.iterdir()
    assert called(ten) == "compiled"
    (second,) = set(chosen.iterdir()) - {first}
    second.write_bytes(first.read_bytes())
    assert called(ten) == "compiled"


@pytest.mark.parametrize("made", ["by somebody else", "writable by all"])
def test_a_file_of_others_is_not_loaded(
    chosen: Path, monkeypatch: pytest.MonkeyPatch, made: str
) -> None:
    called()
    (file,) = chosen.iterdir()
    assert called() == "loaded"
    if made == "writable by all":
        file.chmod(0o666)
        assert called() == "compiled"
        assert called() == "loaded"
        return
    uid = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: uid + 1)
    key = file.stem.rpartition("-")[2].encode()
    assert cache._read_code(file, key) is None


def test_code_that_cannot_be_written_is_a_warning(
    chosen: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert called() == "compiled"
    assert called() == "compiled"
    (message,) = {message for message in caplog.messages if "cannot be kept" in message}
    assert str(chosen) in message
    assert "No space left on device" in message
    assert not list(chosen.iterdir())


def test_code_is_loaded_though_nothing_can_be_written(
    chosen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called()
    monkeypatch.setattr(cache, "_has_room", lambda folder: False)
    assert called() == "loaded"


# Folders


def test_the_users_cache_folder_is_second(outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = outside / "home" / ".cache" / "asr"
    assert cache_folder() == home / folder_name()
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / folder_name()).stat().st_mode) == 0o700

    monkeypatch.setenv("XDG_CACHE_HOME", str(outside / "xdg"))
    assert cache_folder() == outside / "xdg" / "asr" / folder_name()


@pytest.mark.parametrize("home", ["/proc/nonexistent", "", "relative/home"])
def test_without_a_home_a_private_temporary_folder_serves(
    outside: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.setenv("HOME", home)
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nonexistent/cache")
    folder = outside / f"asr-{os.getuid()}"
    found = cache_folder()
    assert found is not None
    assert found.parent == folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("made", ["by somebody else", "writable by all", "a link", "a file"])
@pytest.mark.parametrize("level", ["parent", "folder"])
def test_a_folder_that_others_can_write_is_not_used(
    outside: Path, monkeypatch: pytest.MonkeyPatch, made: str, level: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nonexistent")
    uid = os.getuid() + (made == "by somebody else")
    folder = outside / f"asr-{uid}"
    if level == "folder":
        folder.mkdir(mode=0o700)
        folder /= folder_name()
    if made == "a link":
        (outside / "theirs").mkdir()
        folder.symlink_to(outside / "theirs")
    elif made == "a file":
        folder.write_text("in the way")
    else:
        folder.mkdir()
        folder.chmod(0o777 if made == "writable by all" else 0o700)
    monkeypatch.setattr(os, "getuid", lambda: uid)
    assert cache_folder() is None


def test_a_chosen_folder_that_cannot_serve_is_named_and_another_serves(
    outside: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (outside / "file").write_text("in the way")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(outside / "file"))
    cache._warn_once.cache_clear()
    assert called() == "compiled"
    assert called() == "loaded"
    (message,) = [message for message in caplog.messages if "NUMBA_CACHE_DIR" in message]
    assert str(outside / "file") in message
    assert list((outside / "home" / ".cache" / "asr" / folder_name()).iterdir())


def test_a_full_disk_is_no_place_for_code(outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    assert cache_folder() is None


def test_without_a_temporary_folder_there_is_no_error(
    outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nonexistent")
    monkeypatch.setattr(tempfile, "gettempdir", none)
    assert cache_folder() is None


def test_old_code_is_removed_when_a_new_folder_is_made(chosen: Path) -> None:
    old, recent = (chosen.with_name(f"compiled-{name}") for name in ("old", "recent"))
    for folder in (old, recent):
        folder.mkdir(parents=True)
        (folder / "x.code").write_text("code")
    os.utime(old, (1, 1))
    assert cache_folder() == chosen
    assert not old.exists()
    assert recent.exists()


# Sources


def test_code_of_the_package_is_kept_under_the_name_of_its_sources() -> None:
    from asr.language.automata.automaton import _reach

    assert _reach.dispatcher
    places = [PACKAGE / "__pycache__", Path(os.environ.get("NUMBA_CACHE_DIR", "."))]
    kept = [list((place / folder_name()).glob("automaton._reach-*")) for place in places]
    assert any(kept) or cache_folder() not in [place / folder_name() for place in places]


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
