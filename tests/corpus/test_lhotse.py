"""Lhotse's cuts as utterances; cuts that a manifest cannot express are refused."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch

from asr.corpus import lhotse
from asr.corpus.lhotse import read_lhotse
from asr.corpus.manifest import Utterance, read_manifest
from asr.errors import ManifestError
from tests.support import Command

CUT: dict[str, Any] = {  # as Lhotse 1.33 writes it
    "id": "c1",
    "start": 0.0,
    "duration": 0.1,
    "channel": 0,
    "supervisions": [
        {
            **{"id": "s1", "recording_id": "r1", "start": 0, "duration": 0.1, "channel": 0},
            **{"text": "GO", "language": "en", "speaker": "ann"},
        }
    ],
    "recording": {
        "id": "r1",
        "sources": [{"type": "file", "channels": [0], "source": "wav/b.wav"}],
        **{"sampling_rate": 16000, "num_samples": 1600, "duration": 0.1, "channel_ids": [0]},
    },
    "type": "MonoCut",
}


def changed(**changes: Any) -> dict[str, Any]:
    """A cut with other values; `recording__sources__0__type` names a place deep inside."""
    cut = json.loads(json.dumps(CUT))
    for key, value in changes.items():
        *path, last = [int(name) if name.isdigit() else name for name in key.split("__")]
        place = cut
        for name in path:
            place = place[name]
        place[last] = value
    return dict(cut)


def cuts(folder: Path, *entries: object) -> Path:
    path = folder / "cuts.jsonl.gz"
    lines = "\n".join(json.dumps(entry) for entry in entries)
    path.write_bytes(gzip.compress(f"{lines}\n\n".encode()))
    return path


def test_cuts_are_read(corpus: Path) -> None:
    part = changed(id="c2", start=0.025, duration=0.05, supervisions__0__duration=0.05)
    nameless = changed(id="c3", custom={"snr": 3}, features={"type": "fbank"})
    del nameless["supervisions"][0]["speaker"]
    head = changed(id="c4", duration=0.05, supervisions__0__duration=0.04)

    utterances = read_lhotse(cuts(corpus, CUT, part, nameless, head), corpus)

    path = corpus / "wav" / "b.wav"
    assert utterances == [
        Utterance("c1", path, 0.1, "GO", "ann"),
        Utterance("c2", path, 0.05, "GO", "ann", offset=0.025),
        Utterance("c3", path, 0.1, "GO"),
        Utterance("c4", path, 0.05, "GO", "ann", offset=0.0),
    ]
    (corpus / "cuts.jsonl").write_text(json.dumps(CUT))
    assert read_lhotse(corpus / "cuts.jsonl", corpus) == utterances[:1]


def test_a_cut_of_one_channel_of_several_names_it(corpus: Path) -> None:
    soundfile.write(corpus / "wav" / "two.wav", torch.zeros(1600, 2).numpy(), 16_000)
    cut = changed(
        channel=1,
        recording__sources__0__channels=[0, 1],
        recording__sources__0__source="wav/two.wav",
    )
    (utterance,) = read_lhotse(cuts(corpus, cut), corpus)
    assert utterance == Utterance("c1", corpus / "wav" / "two.wav", 0.1, "GO", "ann", channel=2)


SUPERVISION = CUT["supervisions"][0]


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        (changed(type="MixedCut"), "expected 'type' to be 'MonoCut', found 'MixedCut'"),
        ([CUT], "expected 'type' to be 'MonoCut'"),
        (3, "expected 'type' to be 'MonoCut'"),
        (changed(supervisions=[]), "expected one object in 'supervisions', found 0"),
        (changed(supervisions=[SUPERVISION] * 2), "in 'supervisions', found 2"),
        (changed(supervisions=[3]), "expected one object in 'supervisions'"),
        (changed(supervisions=None), "expected 'supervisions' with a list, found None"),
        (changed(supervisions__0__text=None), "expected 'text' with a str, found None"),
        (changed(supervisions__0__speaker=3), "expected 'speaker' with a str, found 3"),
        (changed(supervisions__0__start=-0.01), "expected a supervision within"),
        (changed(supervisions__0__duration=0.2), "its text has more than the audio"),
        (changed(recording=None), "expected 'recording' with a dict, found None"),
        (
            changed(recording__transforms=[{"name": "Speed"}]),
            "an unmodified recording, found .*Spe",
        ),
        (changed(recording__sources=[]), "expected one object in 'sources', found 0"),
        (changed(recording__sources__0__type="command"), "to be 'file', found 'command'"),
        (changed(recording__sources__0__type="url"), "to be 'file', found 'url'"),
        (changed(recording__sources__0__channels=[0, 1]), r"to be \[0\], found \[0, 1\]"),
        (changed(recording__sources__0__source="wav/two.wav"), r"to be \[0, 1\], found \[0\]"),
        (changed(channel=1), r"'channel' to be one of \[0\], those of .*b\.wav, found 1"),
        (changed(channel=[0]), r"'channel' to be one of \[0\], .* found \[0\]"),
        (changed(start=0.05), r"a cut of the 0\.100 s of .*found 0\.05 s to"),
        (changed(start=True), "expected a number of seconds in 'start', found True"),
        (changed(duration="1"), "expected a number of seconds in 'duration', found '1'"),
        (changed(id=7), "expected 'id' with a str, found 7"),
        (changed(start=-0.01), "expected a start of 0 or more and a duration above 0"),
        (changed(duration=0), "expected a start of 0 or more and a duration above 0"),
        (changed(start=10**399), "expected seconds of a recording in 'start', found 1000"),
        (changed(duration=float("nan")), "expected seconds of a recording in 'duration', found na"),
    ],
)
def test_cuts_that_a_manifest_cannot_express_are_refused(
    corpus: Path, cut: Any, message: str
) -> None:
    soundfile.write(corpus / "wav" / "two.wav", torch.zeros(1600, 2).numpy(), 16_000)
    path = cuts(corpus, CUT, cut)

    with pytest.raises(ManifestError, match=message) as error:
        read_lhotse(path, corpus)
    assert str(error.value).startswith(f"{path}, line 2: ")


@pytest.mark.parametrize(
    "content", [b"{}", gzip.compress(b"{", mtime=0), gzip.compress(b"{}" * 99, mtime=0)[:-9]]
)
def test_files_that_hold_no_cuts_are_refused(corpus: Path, content: bytes) -> None:
    (corpus / "cuts.jsonl.gz").write_bytes(content)
    with pytest.raises(ManifestError, match=r"cannot read it .*expected a file of Lhotse cuts"):
        read_lhotse(corpus / "cuts.jsonl.gz", corpus)


@pytest.mark.parametrize("content", [b"\n" * 200_000, b" " * (1 << 20)])
def test_small_files_of_endless_lines_are_refused(
    corpus: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lhotse, "_LONGEST_LINE", 1 << 20)
    (corpus / "cuts.jsonl.gz").write_bytes(gzip.compress(content, mtime=0))
    with pytest.raises(ManifestError, match="is longer, or there are more blank ones"):
        read_lhotse(corpus / "cuts.jsonl.gz", corpus)


def test_what_is_left_of_a_damaged_recording(corpus: Path, asr_command: Command) -> None:
    path = corpus / "wav" / "b.wav"
    path.write_bytes(path.read_bytes()[:-200])  # 1500 of 1600 samples are left
    whole = changed()
    part = changed(id="c2", start=0.05, duration=0.05, supervisions__0__duration=0.05)
    before = changed(id="c3", duration=0.05, supervisions__0__duration=0.05)
    file = cuts(corpus, whole, part, before)
    arguments = ("import", "lhotse", file, "--root", corpus, "-o", corpus / "new.jsonl")
    assert "b.wav: expected" in asr_command(*arguments).error

    read = asr_command(*arguments, "--damaged", "read")
    assert read.code == 0
    assert read.stderr.count("only what is left is imported of") == 1
    found = [(u.offset, u.duration, u.damaged) for u in read_manifest(corpus / "new.jsonl")]
    assert found == [(None, 0.09375, True), (0.05, 0.04375, True), (0.0, 0.05, True)]

    gone = changed(start=0.095, duration=0.005, supervisions__0__duration=0.005)
    lost = asr_command(*arguments[:2], cuts(corpus, gone), *arguments[3:], "--damaged", "read")
    assert "expected a cut of the 0.094 s" in lost.error
