"""The file index: missing recordings are found, in folders that are listed as well."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import asr.corpus.file_index as file_index
from asr.corpus.manifest import read_manifest
from tests.corpus.test_manifest import line, refusal, written


@pytest.fixture
def full_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twenty recordings in two folders, listed rather than asked for, in chunks of three."""
    monkeypatch.setattr(file_index, "_STAT_LIMIT", 2)
    monkeypatch.setattr(file_index, "_CHUNK", 3)
    for name, number in itertools.product("ab", range(10)):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / f"{number}.wav").touch()
    return tmp_path


def numbered(folder: Path, *names: str) -> Path:
    return written(folder, *(line(id=str(i), audio_filepath=n) for i, n in enumerate(names)))


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 11)), min_size=1, max_size=30))
def test_missing_recordings_are_found_in_listed_folders(
    tmp_path_factory: pytest.TempPathFactory, wanted: list[tuple[str, int]]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "listed"
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_index, "_STAT_LIMIT", 2)
        patch.setattr(file_index, "_CHUNK", 3)
        for name, number in itertools.product("ab", range(10)):
            (folder / name).mkdir(exist_ok=True)
            (folder / name / f"{number}.wav").touch()
        path = numbered(folder, *(f"{name}/{number}.wav" for name, number in wanted))
        missing = [i for i, (_, number) in enumerate(wanted, start=1) if number > 9]
        if missing:
            assert f"line {missing[0]}: no audio file at" in refusal(path)
        else:
            assert len(read_manifest(path)) == len(wanted)


def test_links_and_roundabout_paths_are_found_in_listed_folders(full_folder: Path) -> None:
    (full_folder / "a" / "link.wav").symlink_to(full_folder / "a" / "1.wav")
    path = numbered(full_folder, *("a/1.wav",) * 5, "a/link.wav", "b/../a/2.wav", "./b//3.wav")
    assert len(read_manifest(path)) == 8

    (full_folder / "a" / "1.wav").unlink()
    assert "line 1: no audio file" in refusal(path)


def test_folders_stand_for_no_recording(full_folder: Path) -> None:
    (full_folder / "a" / "folder.wav").mkdir()
    path = numbered(full_folder, *("a/1.wav",) * 6, "a/folder.wav")

    assert "line 7: no audio file" in refusal(path)
