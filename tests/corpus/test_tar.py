"""Shards that are not those written, and damaged indices, are refused with the reason."""

import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asr.corpus.manifest import Corpus
from asr.corpus.recordings import read_utterance
from asr.errors import AudioError, ManifestError
from asr.files import sha256_of
from tests.corpus.shard_support import published

Damage = Callable[[Path], None]


def rewritten(path: Path, change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]) -> None:
    """A shard with other members; `shards.json` is made to agree with its size and digest."""
    with tarfile.open(path) as archive:
        members = []
        for info in archive:
            content = archive.extractfile(info)
            members.append((info, content.read() if content else b""))
    change(members)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for info, packed in members:
            info.size = len(packed)
            archive.addfile(info, io.BytesIO(packed))
    index = json.loads((path.parent / "shards.json").read_text())
    described = index["shards"][path.name]
    described |= {"num_bytes": path.stat().st_size, "sha256": sha256_of(path)}
    (path.parent / "shards.json").write_text(json.dumps(index))


def append(name: str, kind: bytes = tarfile.REGTYPE) -> Damage:
    def damage(path: Path) -> None:
        info = tarfile.TarInfo(name)
        info.type = kind
        info.linkname = "/etc/passwd"
        rewritten(path, lambda members: members.append((info, b"")))

    return damage


def longer_member(path: Path) -> None:
    rewritten(path, lambda members: members.__setitem__(0, (members[0][0], members[0][1] + b"x")))


def no_tar(path: Path) -> None:
    path.write_bytes(b"x" * path.stat().st_size)


def torn(path: Path) -> None:
    """Cut short between two members, and `shards.json` made to agree."""
    with tarfile.open(path) as archive:
        end = archive.getmembers()[2].offset
    path.write_bytes(path.read_bytes()[:end])
    index = json.loads((path.parent / "shards.json").read_text())
    index["shards"][path.name]["num_bytes"] = end
    (path.parent / "shards.json").write_text(json.dumps(index))


FOUND_IN_USE = [
    (append("foreign.flac"), "expected the . members .*, found 1 unexpected, first 'foreign"),
    (append("/etc/passwd"), "expected plain names of members, found '/etc/passwd'"),
    (append("../up.flac"), r"expected plain names of members, found '\.\./up\.flac'"),
    (append("a/b.flac"), "expected plain names"),
    (append("link.flac", tarfile.SYMTYPE), "expected regular files, found a link or device, 'link"),
    (append("hard.flac", tarfile.LNKTYPE), "expected regular files, found a link or device"),
    (append("pipe.flac", tarfile.FIFOTYPE), "expected regular files, found a link or device"),
    (append("null.flac", tarfile.CHRTYPE), "expected regular files, found a link or device"),
    (longer_member, "with other names, positions or sizes"),
    (no_tar, "expected a whole tar file, found damage"),
    (torn, r"expected the \d members .*, found 2 with other names"),
]


@pytest.mark.parametrize(("damage", "message"), FOUND_IN_USE)
def test_shards_that_are_not_those_written_are_refused(
    shards: Path, damage: Damage, message: str
) -> None:
    damage(shards / "shard-000000.tar")
    corpus = Corpus.open([shards / "manifest.jsonl"])

    with pytest.raises(AudioError, match=message) as error:
        read_utterance(corpus[0])

    assert str(error.value).startswith(f"{shards / 'shard-000000.tar'}: ")
    assert "create the shards again" in str(error.value)
    read_utterance(corpus[len(corpus) - 1])  # others are as good as before


@pytest.mark.parametrize(("damage", "message"), FOUND_IN_USE)
def test_foreign_shards_at_a_url_are_refused_too(
    shards: Path, damage: Damage, message: str, request: pytest.FixtureRequest
) -> None:
    damage(shards / "shard-000000.tar")
    corpus = Corpus.open([published(shards, request.node.name)])

    with pytest.raises(AudioError):
        read_utterance(corpus[0])


def test_a_truncated_shard_is_refused_at_opening(shards: Path) -> None:
    path = shards / "shard-000001.tar"
    size = path.stat().st_size
    os.truncate(path, size - 1)

    with pytest.raises(ManifestError, match=f"line 4: expected {size} bytes .*found {size - 1};"):
        Corpus.open([shards / "manifest.jsonl"])
    Corpus.open([shards / "manifest.jsonl"], require_audio=False)


def test_a_missing_shard_is_refused_at_opening(shards: Path) -> None:
    (shards / "shard-000001.tar").unlink()

    with pytest.raises(ManifestError, match=r"line 4: expected the shard .*tar, found none"):
        Corpus.open([shards / "manifest.jsonl"])
    corpus = Corpus.open([shards / "manifest.jsonl"], require_audio=False)
    read_utterance(corpus[0])
    with pytest.raises(AudioError, match=r"000001\.tar: expected a shard, found No such file"):
        read_utterance(corpus[4])


def test_a_shard_that_is_cut_short_or_exchanged_under_way_is_refused(shards: Path) -> None:
    corpus = Corpus.open([shards / "manifest.jsonl"])
    read_utterance(corpus[0])
    path = shards / "shard-000000.tar"
    content = path.read_bytes()
    path.write_bytes(bytes(len(content)))
    os.utime(path, (1, 1))
    with pytest.raises(AudioError, match="shard-000000"):
        read_utterance(corpus[0])
    path.write_bytes(content[:2000])
    with pytest.raises(AudioError, match="found 2000: it is truncated"):
        read_utterance(corpus[0])


def edited(folder: Path, **changes: Any) -> Path:
    path = folder / "manifest.jsonl"
    lines = path.read_text().splitlines()
    entry = json.loads(lines[0]) | changes
    lines[0] = json.dumps({key: value for key, value in entry.items() if value is not ...})
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"audio_filepath": "/etc/passwd"}, "expected the plain name of a member"),
        ({"audio_filepath": "../a.wav"}, "expected the plain name of a member"),
        ({"audio_filepath": ".."}, "expected the plain name of a member"),
        ({"audio_filepath": ""}, "expected the plain name of a member"),
        (
            {"start_byte": ...},
            "expected shard, start_byte, num_bytes together, found only shard, num_",
        ),
        ({"shard": None}, "together, found only start_byte, num_bytes"),
        ({"start_byte": -1}, "expected a start_byte of 0 or more"),
        ({"num_bytes": 0}, "num_bytes above 0"),
        ({"num_bytes": 1 << 70}, "num_bytes above 0"),
        ({"num_bytes": True}, "'num_bytes' has the wrong type: True"),
        ({"offset": 0.1}, r"expected no offset together with a shard, found 0\.1"),
        (
            {"shard": "../shard-000000.tar"},
            r"listed in shards\.json, found '\.\./shard",
        ),
    ],
)
def test_lines_that_name_no_member_are_refused(
    shards: Path, changes: dict[str, Any], message: str
) -> None:
    path = edited(shards, **changes)

    with pytest.raises(ManifestError, match=message) as error:
        Corpus.open([path])
    assert str(error.value).startswith(f"{path}, line 1: ")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_bytes": 100}, "expected plain.wav of 100 bytes at byte 512, found plain.wav of 30"),
        ({"start_byte": 513}, "found no tar header there"),
        ({"start_byte": 0}, "bytes at byte 0, found a shard of"),
        ({"audio_filepath": "other.wav"}, "expected other.wav of .*, found plain.wav of"),
        ({"start_byte": 1 << 60}, "found a shard of"),
    ],
)
def test_members_of_another_name_size_or_place_are_refused(
    shards: Path, changes: dict[str, Any], message: str
) -> None:
    corpus = Corpus.open([edited(shards, **changes)])

    with pytest.raises(AudioError, match=message):
        read_utterance(corpus[0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read it .*expected it beside"),
        (b"\xff", "cannot read it"),
        (b"{", "expected an index written by `asr shard`"),
        (b"[]", "expected an index written by `asr shard`"),
        (b'{"version": 2, "shards": {}}', "expected version 1, found 2"),
        (b'{"version": 1}', "expected an index written by `asr shard`"),
        (b'{"version": 1, "shards": []}', "expected an index written by `asr shard`"),
        (b'{"version": 1, "shards": {}}', "found 'shard-000000.tar'"),
        (b'{"version": 1, "shards": {"a": {"num_bytes": "1", "members": 1}}}', "KeyError"),
        (
            b'{"version": 1, "shards": {"a": {"num_bytes": "1", "members": 1, "sha256": "",'
            b' "listing": ""}}}',
            "must be integers",
        ),
        (
            b'{"version": 1, "shards": {"a": {"num_bytes": 1, "members": 1, "sha256": "../../x",'
            b' "listing": ""}}}',
            "is not a SHA-256",
        ),
    ],
)
def test_a_damaged_index_is_refused(shards: Path, content: bytes | None, message: str) -> None:
    if content is None:
        (shards / "shards.json").unlink()
    else:
        (shards / "shards.json").write_bytes(content)

    with pytest.raises(ManifestError, match=message):
        Corpus.open([shards / "manifest.jsonl"])


def index_of(shards: Path, location: str) -> None:
    """Let the index, and the manifest, name the first shard by another location."""
    index = json.loads((shards / "shards.json").read_bytes())
    name, record = next(iter(index["shards"].items()))
    index["shards"] |= {location: record}
    (shards / "shards.json").write_text(json.dumps(index))
    manifest = (shards / "manifest.jsonl").read_text(encoding="utf-8")
    manifest = manifest.replace(json.dumps(name), json.dumps(location))
    (shards / "manifest.jsonl").write_text(manifest, encoding="utf-8")


@pytest.mark.parametrize(
    "location", ["../secret.tar", "{outside}", "file://{outside}", "FILE://{outside}", "./..", "."]
)
def test_an_index_names_no_file_outside_its_folder(shards: Path, location: str) -> None:
    outside = shards.parent / "secret.tar"
    outside.write_bytes(next(shards.glob("*.tar")).read_bytes())
    index_of(shards, location.format(outside=outside))
    with pytest.raises(ManifestError, match=r"shards\.json: expected shards in the folder"):
        Corpus.open([shards / "manifest.jsonl"])


def test_a_remote_index_names_no_local_file(shards: Path, cache: Path) -> None:
    index_of(shards, str(next(shards.glob("*.tar"))))
    with pytest.raises(ManifestError, match=r"shards\.json: expected shards in the folder"):
        Corpus.open([published(shards, "sly")])


def test_an_index_names_no_protocol_that_computes(shards: Path) -> None:
    index_of(shards, "reference://x::file:///etc/passwd")
    with pytest.raises(ManifestError, match=r"shards\.json: reference.*expected a URL that begins"):
        Corpus.open([shards / "manifest.jsonl"])


def test_an_index_may_name_its_own_folder_in_full(shards: Path) -> None:
    index_of(shards, f"file://{next(shards.glob('*.tar'))}")
    assert len(Corpus.open([shards / "manifest.jsonl"]))
