"""Which recordings arguments stand for, and how their transcripts are named."""

import os
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest

from asr.errors import AsrError, AudioError, ManifestError
from asr.inference.inputs import Input, find_inputs, of_channels
from asr.inference.recording import FileChannel


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("a/1.wav", "a/deep/2.wav", "a/deep/1.flac", "b/1.wav", "b/notes.txt", "3.ogg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(*arguments: str, listed: str | None = None) -> dict[str, str]:
    """Names by paths."""
    return {str(one.path): one.name for one in find_inputs(arguments, listed)}


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["a"], {"a/1.wav": "1", "a/deep/1.flac": "deep/1", "a/deep/2.wav": "deep/2"}),
        (["a/", "a/1.wav"], {"a/1.wav": "1", "a/deep/1.flac": "deep/1", "a/deep/2.wav": "deep/2"}),
        (["3.ogg", "a/1.wav"], {"3.ogg": "3", "a/1.wav": "1"}),
        (["a/1.wav", "b/1.wav"], {"a/1.wav": "a/1", "b/1.wav": "b/1"}),
        (["b", "a/1.wav"], {"b/1.wav": "b/1", "a/1.wav": "a/1"}),
        (["a/**/*.wav"], {"a/1.wav": "1", "a/deep/2.wav": "deep/2"}),
        (["*/*.wav"], {"a/1.wav": "a/1", "b/1.wav": "b/1"}),
        (["gone.wav"], {"gone.wav": "gone"}),
    ],
)
def test_names_keep_the_folders_below_what_was_named(
    arguments: list[str], expected: dict[str, str]
) -> None:
    assert names(*arguments) == expected


@pytest.mark.usefixtures("tree")
def test_files_of_one_name_have_different_ids() -> None:
    found = find_inputs(["a", "b"])
    assert [one.id for one in found] == ["a/1", "a/deep/1", "a/deep/2", "b/1"]
    one = of_channels(found[:1], "2", None)[0]
    assert (one.recording, one.name, one.id) == (FileChannel(Path("a/1.wav"), 2), "a/1", "a/1")


def test_names_that_differ_in_their_suffix_or_case_alone(tree: Path) -> None:
    for name in ("1.mp3", "One.wav", "one.flac"):
        (tree / "a" / name).touch()
    found = names("a")
    assert found["a/1.mp3"] == "1.mp3"
    assert found["a/1.wav"] == "1.wav"
    assert found["a/One.wav"] == "One.wav"
    assert found["a/one.flac"] == "one.flac"
    assert found["a/deep/2.wav"] == "deep/2"


def test_a_folder_without_recordings_and_an_empty_list_are_refused(tree: Path) -> None:
    (tree / "c").mkdir()
    with pytest.raises(AudioError, match="c: expected files ending in"):
        find_inputs(["c"])
    (tree / "list").touch()
    with pytest.raises(AsrError, match="found none"):
        find_inputs([], "list")
    with pytest.raises(AsrError, match="gone: cannot read this list of files"):
        find_inputs([], "gone")


@pytest.mark.parametrize("separator", ["\n", "\r\n", "\0"])
def test_a_list_names_files_and_folders_literally(
    tree: Path, separator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree / "what [1].wav").touch()
    content = os.fsencode(separator.join(["b", "what [1].wav", "gone*.wav", ""]))
    (tree / "list").write_bytes(content)
    expected = {"b/1.wav": "1", "what [1].wav": "what [1]", "gone*.wav": "gone*"}
    assert names(listed="list") == expected
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(content)))
    assert names(listed="-") == expected
    assert names("3.ogg", listed="list") == {"3.ogg": "3", **expected}


def test_names_of_any_bytes(tree: Path) -> None:
    odd = [b"new\nline.wav", b"\xff\xfe.wav", b"x" * 251 + b".wav", "é".encode() * 125 + b".wav"]
    for name in odd:
        (tree / "b" / os.fsdecode(name)).touch()
    found = names("b")
    assert len(set(found.values())) == len(odd) + 1
    assert all(len(os.fsencode(name)) <= 200 for name in found.values())
    (tree / "list").write_bytes(b"\0".join(b"b/" + name for name in odd))
    assert names(listed="list").items() <= found.items()


def test_names_that_no_file_can_have_stop_nothing_else(tree: Path) -> None:
    (tree / "list").write_text(f"{'x' * 300}\n{'x' * 300}.jsonl.wav\n3.ogg\n")
    assert list(names("b", "y" * 300, listed="list").values())[-1] == "3"
    with pytest.raises(ManifestError, match="cannot read the manifest"):
        names("z" * 300 + ".jsonl")


def test_a_label_is_one_line() -> None:
    assert Input(FileChannel(Path("a\nb\tc.wav"), 2), "x", "x").label == r"a\nb\tc.wav, channel 2"


def test_utterances_of_a_manifest_are_named_by_their_ids(tree: Path) -> None:
    line = '{{"id": "{}", "audio_filepath": "a/1.wav", "duration": 1.0, "text": "", "offset": 0}}\n'
    (tree / "some.jsonl").write_text(line.format("x/1") + line.format("x/2"))
    found = find_inputs(["some.jsonl", "some.jsonl", "3.ogg"])
    assert [one.name for one in found] == ["x%2F1", "x%2F2", "3"]
    assert [one.id for one in found] == ["x/1", "x/2", "3"]
    (tree / "others.jsonl").write_text(line.format("x/1"))
    with pytest.raises(AsrError, match="two recordings would both be written to 'x%2f1'"):
        find_inputs(["some.jsonl", "others.jsonl"])
