"""What a folder of transcripts remembers."""

from pathlib import Path

import pytest

from asr.errors import AsrError
from asr.inference.inputs import Input
from asr.inference.output_folder import JOURNAL, OutputFolder, audio_digest

SUFFIXES = [".txt", ".json"]
TEXTS = {".txt": "A\n", ".json": "{}\n"}


def folder(path: Path, **settings: object) -> OutputFolder:
    return OutputFolder(path, SUFFIXES, settings)


def test_what_was_written_is_done_until_something_changes(tmp_path: Path) -> None:
    first = folder(tmp_path, beam=1)
    key = first.key("audio")
    first.write("deep/a", key, TEXTS)
    assert (tmp_path / "deep" / "a.txt").read_text() == "A\n"
    again = folder(tmp_path, beam=1)
    assert again.is_done("deep/a", again.key("audio"))
    assert not again.is_done("deep/b", again.key("audio"))
    assert not again.is_done("deep/a", again.key("other audio"))
    other = folder(tmp_path, beam=2)
    assert not other.is_done("deep/a", other.key("audio"))
    (tmp_path / "deep" / "a.json").unlink()
    assert not again.is_done("deep/a", key)


def test_a_format_that_cannot_hold_a_recording_is_not_missed(tmp_path: Path) -> None:
    first = folder(tmp_path)
    first.write("a", first.key("x"), {".txt": "A\n"})
    assert folder(tmp_path).is_done("a", first.key("x"))
    fewer = OutputFolder(tmp_path, [".txt"], {})
    assert not fewer.is_done("a", fewer.key("x"))


@pytest.mark.parametrize("end", [b'{"name": "b", "ke', b'{"name": "b"}\n[1]\n\xff\xfe\n', b"\n\n"])
def test_a_torn_or_strange_line_costs_itself_alone(tmp_path: Path, end: bytes) -> None:
    first = folder(tmp_path)
    first.write("a", first.key("x"), TEXTS)
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(end)
    again = folder(tmp_path)
    again.write("b\udcff", again.key("y"), TEXTS)
    last = folder(tmp_path)
    assert last.is_done("a", last.key("x"))
    assert last.is_done("b\udcff", last.key("y"))


def test_a_folder_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(AsrError, match="taken: cannot write"):
        folder(tmp_path / "taken")
    (tmp_path / "out" / JOURNAL).mkdir(parents=True)
    with pytest.raises(AsrError, match="cannot write"):
        folder(tmp_path / "out")


def test_the_digest_is_of_the_content(tmp_path: Path) -> None:
    for name, content in (("a.wav", b"1"), ("b.wav", b"1"), ("c.wav", b"2")):
        (tmp_path / name).write_bytes(content)
    a, b, c = (audio_digest(Input(tmp_path / f"{name}.wav", name, name)) for name in "abc")
    assert a == b != c
    with pytest.raises(AsrError, match=r"d\.wav: cannot read"):
        audio_digest(Input(tmp_path / "d.wav", "d", "d"))
