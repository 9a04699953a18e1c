"""Labels of Audacity, Praat and ELAN become segments."""

from pathlib import Path

import numpy as np
import pympi
import pytest
import soundfile
import tgt

from asr.corpus.labels import read_labels
from asr.corpus.manifest import read_manifest
from asr.errors import ManifestError
from asr.text.textgrid import render_textgrid
from asr.text.timed import Timed
from tests.support import Command

SPOKEN = [(0.5, 1.25, "wa bísí"), (2.0, 3.5, "ya  poo")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A recording of four seconds."""
    soundfile.write(tmp_path / "field.wav", np.zeros(64_000), 16_000)
    return tmp_path


def write_audacity(path: Path) -> None:
    lines = [f"{start:.6f}\t{end:.6f}\t{text}" for start, end, text in SPOKEN]
    lines += ["\\\t100.0\t200.0", "3.6\t3.7\t", "3,8\t3,9\tdá"]
    path.write_text("\n".join(lines) + "\n")


def write_textgrid(path: Path, tiers: tuple[str, ...] = ("text",)) -> None:
    grid = tgt.TextGrid()
    for name in tiers:
        intervals = [tgt.Interval(start, end, text) for start, end, text in SPOKEN]
        grid.add_tier(tgt.IntervalTier(0, 4, name, intervals))
    grid.add_tier(tgt.PointTier(0, 4, "clicks", [tgt.Point(1, "x")]))
    tgt.write_to_file(grid, str(path), format="long")


def write_elan(path: Path, tiers: tuple[str, ...] = ("text",)) -> None:
    file = pympi.Eaf()
    file.remove_tier("default")
    for name in tiers:
        file.add_tier(name)
        for start, end, text in reversed(SPOKEN):
            file.add_annotation(name, round(1000 * start), round(1000 * end), text)
    file.to_file(str(path))


@pytest.mark.parametrize(
    ("suffix", "write"),
    [(".txt", write_audacity), (".TextGrid", write_textgrid), (".eaf", write_elan)],
)
def test_segments(folder: Path, suffix: str, write: object) -> None:
    write(folder / f"field{suffix}")  # type: ignore[operator]
    first, second, *more = read_labels(folder)
    assert (first.id, first.text) == ("field-0000500-0001250", "wa bísí")
    assert (first.offset, first.duration) == pytest.approx((0.5, 0.75))
    assert (second.id, second.text, second.speaker) == ("field-0002000-0003500", "ya poo", None)
    assert [one.text for one in more] == (["dá"] if suffix == ".txt" else [])
    assert first.audio_filepath == folder / "field.wav"
    assert read_labels(folder / f"field{suffix}") == [first, second, *more]


@pytest.mark.parametrize(("suffix", "write"), [(".TextGrid", write_textgrid), (".eaf", write_elan)])
def test_tiers_have_to_be_chosen(folder: Path, suffix: str, write: object) -> None:
    write(folder / f"field{suffix}", ("ana", "bo"))  # type: ignore[operator]
    with pytest.raises(ManifestError, match=r"expected --tier, which says .* 'ana', 'bo'"):
        read_labels(folder)
    with pytest.raises(ManifestError, match="expected the tier 'words', found 'ana', 'bo'"):
        read_labels(folder, ["words"])
    one = read_labels(folder, ["bo"])
    assert [utterance.speaker for utterance in one] == [None, None]
    both = read_labels(folder, ["ana", "bo"])
    assert [utterance.speaker for utterance in both] == ["ana", "ana", "bo", "bo"]
    assert len({utterance.id for utterance in both}) == 4


def test_a_textgrid_in_utf16(folder: Path) -> None:
    write_textgrid(folder / "field.TextGrid")
    path = folder / "field.TextGrid"
    path.write_text(path.read_text(encoding="utf-8"), encoding="utf-16")
    assert [one.text for one in read_labels(folder)] == ["wa bísí", "ya poo"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("field.txt", "hello\n", "line 1: expected start and end in seconds and a text"),
        ("field.txt", "1.0\t9.0\twa\n", "label 1: expected a segment within 4.000 s"),
        ("field.TextGrid", "nothing", "cannot read these labels"),
        ("field.eaf", "<x", "cannot read these labels"),
        ("other.txt", "1\t2\twa\n", "beside recordings of the same names, found none"),
    ],
)
def test_what_cannot_be_used_is_refused(
    folder: Path, name: str, content: str, message: str
) -> None:
    (folder / name).write_text(content)
    with pytest.raises(ManifestError, match=message):
        read_labels(folder)


def test_hidden_files_are_left_out(folder: Path) -> None:
    write_audacity(folder / "field.txt")
    segments = read_labels(folder)
    for name in ("field.txt", "field.wav"):
        (folder / f"._{name}").write_bytes(b"\0\5\x16\7")
    assert read_labels(folder) == segments


def test_one_file_needs_one_recording(folder: Path) -> None:
    (folder / "other.txt").write_text("1\t2\twa\n")
    with pytest.raises(ManifestError, match="one recording of this name beside it, found none"):
        read_labels(folder / "other.txt")
    soundfile.write(folder / "field.flac", np.zeros(100), 16_000)
    write_audacity(folder / "field.txt")
    with pytest.raises(ManifestError, match=r"found field\.flac, field\.wav"):
        read_labels(folder / "field.txt")
    with pytest.raises(ManifestError, match="expected labels of Audacity"):
        read_labels(folder / "field.wav")


def test_on_the_command_line(folder: Path, asr_command: Command) -> None:
    (folder / "deep").mkdir()
    (folder / "field.wav").rename(folder / "deep" / "field.wav")
    write_audacity(folder / "deep" / "field.txt")
    done = asr_command("import", "labels", folder, "-o", folder / "out.jsonl")
    assert done.code == 0, done.stderr
    assert "3 utterances" in done.stdout
    found = read_manifest(folder / "out.jsonl")
    assert found[0].id == "deep/field-0000500-0001250"


def test_segments_are_longer_by_a_margin_where_there_is_room(folder: Path) -> None:
    lines = ["0.1\t1.0\ta", "1.2\t2.0\tb", "1.9\t2.2\tc", "3.0\t3.95\td"]
    (folder / "field.txt").write_text("\n".join(lines) + "\n")
    found = [(u.offset, u.duration) for u in read_labels(folder, margin_seconds=0.3)]
    expected = [(0.0, 1.1), (1.1, 0.9), (1.9, 0.6), (2.7, 1.3)]
    assert found == [pytest.approx(span) for span in expected]


def test_transcripts_become_segments_again(folder: Path, asr_command: Command) -> None:
    phrases = [Timed(text, start, end) for start, end, text in SPOKEN]
    grid = render_textgrid({"words": phrases[:1], "phrases": phrases}, 4.0)
    (folder / "field.TextGrid").write_text(grid, encoding="utf-8")
    manifest = folder / "all.jsonl"
    options = ["--tier", "phrases", "--margin", "0.25", "-o", str(manifest)]
    assert asr_command("import", "labels", str(folder), *options).code == 0
    spans = [(u.offset, u.duration) for u in read_manifest(manifest)]
    assert spans == [pytest.approx((0.25, 1.25)), pytest.approx((1.75, 2.0))]
    refused = asr_command("import", "labels", str(folder), *options, "--margin", "-1")
    assert refused.code == 2
    assert "--margin" in refused.stderr
