"""Shards: what is packed is read back, from a disk or a URL, and nothing else is."""

import io
import json
import multiprocessing
import os
import shutil
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asr.corpus import cache as shard_cache
from asr.corpus import download, recordings
from asr.corpus.manifest import Corpus, Utterance, read_manifest, write_manifest
from asr.corpus.record import is_plain_name
from asr.corpus.recordings import read_utterance
from asr.corpus.shards import member_stem, write_shards
from asr.corpus.tar import Shard, check_members
from asr.errors import AsrError, AudioError, ConfigError, ManifestError
from asr.files import sha256_of
from asr.signal import audio
from tests.support import Command, Tones

RATE = 8000
IDS = ["plain", "a/b", "..", "dot.dot", "é ü", "x" * 300, "con:", "%2E", "-", "last"]


def noise(seed: int, samples: int = 1500) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(samples, generator=generator) - 0.5).mul(32768).round() / 32768


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of ten utterances: wav and flac, and two parts of a longer recording."""
    folder = tmp_path_factory.mktemp("source")
    utterances = []
    for number, key in enumerate(IDS):
        path = folder / f"{number}.{'flac' if number % 2 else 'WAV'}"
        audio.write(path, noise(number), RATE)
        utterances.append(Utterance(key, path, 1500 / RATE, f"TEXT {number}", f"s{number % 2}"))
    audio.write(folder / "long.wav", noise(99, 9000), RATE)
    for number, (key, offset) in enumerate((("first", 0.0), ("second", 0.5))):
        utterances.append(Utterance(key, folder / "long.wav", 0.25, f"PART {number}", None, offset))
    write_manifest(folder / "train.jsonl", utterances)
    return folder / "train.jsonl"


@pytest.fixture
def shards(source: Path, tmp_path: Path) -> Path:
    """A fresh folder of the shards of `source`, three or four utterances each."""
    write_shards(Corpus.open([source]), tmp_path / "shards", 16_000)
    return tmp_path / "shards"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of copies, new for each test."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv(shard_cache.FOLDER_VARIABLE, str(folder))
    monkeypatch.delenv(shard_cache.LIMIT_VARIABLE, raising=False)
    recordings._checked.clear()
    return folder


def published(folder: Path, name: str) -> str:
    """The same folder in memory, as at a URL."""
    memory = fsspec.filesystem("memory")
    for path in folder.iterdir():
        memory.pipe(f"/{name}/{path.name}", path.read_bytes())
    return f"memory://{name}/manifest.jsonl"


def same_as_source(corpus: Corpus, source: Path) -> None:
    originals = read_manifest(source)
    assert len(corpus) == len(originals)
    for utterance, original in zip(corpus, originals, strict=True):
        assert (utterance.id, utterance.text) == (original.id, original.text)
        assert (utterance.duration, utterance.speaker) == (original.duration, original.speaker)
        waveform, rate = read_utterance(utterance)
        assert rate == RATE
        assert torch.equal(waveform, read_utterance(original)[0]), utterance.id


def test_what_is_packed_is_read_back(source: Path, shards: Path) -> None:
    corpus = Corpus.open([shards / "manifest.jsonl"])

    same_as_source(corpus, source)
    assert [corpus[i] for i in range(len(corpus))] == list(corpus)
    assert read_manifest(shards / "manifest.jsonl") == list(corpus)
    assert len(corpus.shards) > 2
    assert sorted(corpus.shard_indices.tolist()) == corpus.shard_indices.tolist()
    assert set(corpus.shard_indices.tolist()) == set(range(len(corpus.shards)))
    for utterance, group in zip(corpus, corpus.shard_indices.tolist(), strict=True):
        assert utterance.member is not None
        assert utterance.member.shard == corpus.shards[group]


def test_recordings_keep_their_bytes(source: Path, shards: Path) -> None:
    originals = {member_stem(u.id): u for u in read_manifest(source)}
    kept = 0
    for path in sorted(shards.glob("*.tar")):
        with tarfile.open(path) as archive:
            for info in archive:
                stem, _, suffix = info.name.partition(".")
                content = archive.extractfile(info)
                assert content is not None
                if suffix == "json":
                    entry = json.loads(content.read())
                    assert entry["text"] == originals[stem].text
                elif originals[stem].offset is None:
                    assert content.read() == originals[stem].audio_filepath.read_bytes()
                    kept += 1
                else:
                    assert suffix == "flac"
                assert is_plain_name(info.name)
                assert (info.mtime, info.uid, info.gid, info.uname) == (0, 0, 0, "")
    assert kept == len(IDS)


def test_shards_are_no_larger_than_asked_save_for_a_single_utterance(
    source: Path, tmp_path: Path
) -> None:
    small = write_shards(Corpus.open([source]), tmp_path / "small", 1)
    large = write_shards(Corpus.open([source]), tmp_path / "large", 10**9)

    assert [shard.members for shard in small] == [2] * 12
    assert [shard.members for shard in large] == [24]
    assert large[0].num_bytes == (tmp_path / "large" / "shard-000000.tar").stat().st_size


def test_same_corpus_same_bytes(source: Path, shards: Path, tmp_path: Path) -> None:
    write_shards(Corpus.open([source]), tmp_path / "again", 16_000)

    names = sorted(path.name for path in shards.iterdir())
    assert names == sorted(path.name for path in (tmp_path / "again").iterdir())
    for name in names:
        assert (shards / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


def test_shards_can_be_packed_again(source: Path, shards: Path, tmp_path: Path) -> None:
    write_shards(Corpus.open([shards / "manifest.jsonl"]), tmp_path / "again", 40_000)

    same_as_source(Corpus.open([tmp_path / "again" / "manifest.jsonl"]), source)


def test_the_folder_can_be_moved_and_its_manifest_divided(source: Path, shards: Path) -> None:
    moved = Path(shutil.move(shards, shards.with_name("moved")))
    utterances = read_manifest(moved / "manifest.jsonl")

    write_manifest(moved / "some.jsonl", utterances[3:5])

    assert read_manifest(moved / "some.jsonl") == utterances[3:5]
    with pytest.raises(ManifestError, match="write the manifest beside its shards"):
        write_manifest(moved.parent / "some.jsonl", utterances)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), unique=True))
def test_members_are_named_safely_and_apart(keys: list[str]) -> None:
    keys += [f"{'y' * 200}{key}" for key in keys]
    stems = [member_stem(key) for key in keys]

    assert len(set(stems)) == len(set(keys))
    for stem in stems:
        assert is_plain_name(f"{stem}.flac")
        assert "." not in stem
        assert stem.isascii()
        assert len(stem) <= 80


def test_odd_suffixes_are_not_kept(tmp_path: Path) -> None:
    audio.write(tmp_path / "a.wav", noise(1), RATE)
    odd = (tmp_path / "a.wav").rename(tmp_path / "a.json")
    write_shards([Utterance("a", odd, 1500 / RATE, "A")], tmp_path / "out", 10**6)

    (utterance,) = read_manifest(tmp_path / "out" / "manifest.jsonl")
    assert utterance.audio_filepath.name == "a.audio"
    assert torch.equal(read_utterance(utterance)[0], noise(1))


def test_webdataset_reads_our_shards(source: Path, shards: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    urls = [str(path) for path in sorted(shards.glob("*.tar"))]

    samples = list(webdataset.WebDataset(urls, shardshuffle=False))

    utterances = read_manifest(source)
    assert [json.loads(sample["json"])["id"] for sample in samples] == [u.id for u in utterances]
    for sample, utterance in zip(samples, utterances, strict=True):
        suffix = "wav" if "wav" in sample else "flac"
        waveform, _ = audio.read("x", content=sample[suffix])
        assert torch.equal(waveform, read_utterance(utterance)[0])


# What goes wrong in packing


def test_a_folder_with_other_files_is_refused(source: Path, shards: Path) -> None:
    before = {path: path.read_bytes() for path in shards.iterdir()}

    with pytest.raises(AsrError, match=r"expected an empty folder, found \d files, .*manifest"):
        write_shards(Corpus.open([source]), shards, 10**6)

    assert {path: path.read_bytes() for path in shards.iterdir()} == before


def test_a_failure_leaves_nothing_behind(source: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFFnothing")
    utterances = [*read_manifest(source), Utterance("bad", broken, 1.0, "A")]

    with pytest.raises(AudioError, match=r"broken\.wav"):
        write_shards(utterances, tmp_path / "out", 16_000)

    assert list((tmp_path / "out").iterdir()) == []


def test_a_recording_that_vanishes_between_two_looks_is_named(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audio, "probe", lambda path: Path(path).unlink(missing_ok=True))
    gone = tmp_path / "gone.wav"

    with pytest.raises(AudioError, match=r"gone\.wav: expected a readable audio file"):
        write_shards([Utterance("u", gone, 1.0, "A")], tmp_path / "out", 16_000)


# What goes wrong in reading

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
    (append("foreign.flac"), "expected the . members .*, found 1 foreign ones, first 'foreign"),
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


# At URLs


def test_a_corpus_at_a_url_is_as_one_on_the_disk(source: Path, shards: Path, cache: Path) -> None:
    corpus = Corpus.open([published(shards, "good")])

    assert list(corpus.sha256) == ["memory://good/manifest.jsonl"]
    assert list(corpus.sha256.values()) == [sha256_of(shards / "manifest.jsonl")]
    assert all(shard.is_remote for shard in corpus.shards)
    same_as_source(corpus, source)
    fsspec.filesystem("memory").rm("/good", recursive=True)
    same_as_source(corpus, source)  # from the copies
    assert len(list(cache.glob("*.tar"))) == len(corpus.shards)


def test_shards_may_lie_elsewhere_than_their_manifest(source: Path, shards: Path) -> None:
    remote = published(shards, "elsewhere").removesuffix("/manifest.jsonl")
    for name in ("manifest.jsonl", "shards.json"):
        text = (shards / name).read_text()
        (shards / name).write_text(text.replace('"shard-', f'"{remote}/shard-'))
    for path in shards.glob("*.tar"):
        path.unlink()

    same_as_source(Corpus.open([shards / "manifest.jsonl"]), source)


def test_files_at_a_url_without_shards_are_refused(source: Path) -> None:
    fsspec.filesystem("memory").pipe("/plain/manifest.jsonl", source.read_bytes())

    with pytest.raises(ManifestError, match="line 1: expected recordings in shards"):
        Corpus.open(["memory://plain/manifest.jsonl"], require_audio=False)


@pytest.mark.parametrize("url", ["memory://none/manifest.jsonl", "nosuch://a/b.jsonl"])
def test_urls_that_cannot_be_read_are_named(url: str, cache: Path) -> None:
    with pytest.raises(ManifestError, match=f"{url}: cannot download it"):
        Corpus.open([url])
    assert list(cache.iterdir()) == []


def test_a_missing_remote_shard_is_named(shards: Path, cache: Path) -> None:
    corpus = Corpus.open([published(shards, "lacking")])
    fsspec.filesystem("memory").rm("/lacking/shard-000000.tar")

    with pytest.raises(AudioError, match=r"memory://lacking/shard-000000\.tar: cannot download it"):
        read_utterance(corpus[0])
    assert list(cache.glob("*.tar")) == []


@pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b + b"x", lambda b: b"y" + b[1:]])
def test_a_download_of_other_bytes_is_refused_and_not_kept(
    shards: Path, cache: Path, change: Callable[[bytes], bytes]
) -> None:
    corpus = Corpus.open([published(shards, "short")])
    content = (shards / "shard-000000.tar").read_bytes()
    fsspec.filesystem("memory").pipe("/short/shard-000000.tar", change(content))

    with pytest.raises(AudioError, match="the shard is truncated or a different one"):
        read_utterance(corpus[0])
    assert list(cache.glob("*.tar")) == []
    fsspec.filesystem("memory").pipe("/short/shard-000000.tar", content)
    read_utterance(corpus[0])


def test_an_interrupted_download_is_not_taken_for_whole(
    shards: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = Corpus.open([published(shards, "breaking")])
    whole = download._chunks

    def breaking(url: str, remote: Any) -> Any:
        yield next(iter(whole(url, remote)))[:1000]
        raise KeyboardInterrupt

    monkeypatch.setattr(download, "_chunks", breaking)
    with pytest.raises(KeyboardInterrupt):
        read_utterance(corpus[0])
    monkeypatch.setattr(download, "_chunks", whole)

    assert list(cache.glob("*.tar")) == []
    read_utterance(corpus[0])


def test_a_copy_that_was_cut_short_afterwards_is_fetched_again(shards: Path, cache: Path) -> None:
    corpus = Corpus.open([published(shards, "torn")])
    before, _ = read_utterance(corpus[0])
    (copy,) = cache.glob("*.tar")
    os.truncate(copy, 700)

    assert torch.equal(read_utterance(corpus[0])[0], before)


def test_copies_stay_within_their_bound(
    source: Path, shards: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = Corpus.open([published(shards, "bound")])
    largest = max(shard.num_bytes for shard in corpus.shards)
    monkeypatch.setenv(shard_cache.LIMIT_VARIABLE, str(2 * largest / 1e9))
    (cache / ".part-dead.tar").write_bytes(b"of a process that was killed")
    os.utime(cache / ".part-dead.tar", (1, 1))
    (cache / ".part-live.tar").write_bytes(b"of another process")

    for _ in range(2):
        same_as_source(corpus, source)
        kept = list(cache.glob("[!.]*.tar"))
        assert 1 <= len(kept) <= 2
        assert sum(path.stat().st_size for path in kept) <= 2 * largest
    assert not (cache / ".part-dead.tar").exists()
    assert (cache / ".part-live.tar").exists()


def test_the_copy_used_last_is_kept(
    shards: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = Corpus.open([published(shards, "lru")])
    monkeypatch.setenv(
        shard_cache.LIMIT_VARIABLE, str(sum(s.num_bytes for s in corpus.shards[:2]) / 1e9)
    )
    first, second, third = (corpus.shard_indices.tolist().index(group) for group in range(3))
    for i in (first, second):
        read_utterance(corpus[i])
    for age, shard in ((50, corpus.shards[0]), (20, corpus.shards[1])):
        os.utime(cache / f"{shard.sha256}.tar", (time.time() - age,) * 2)
    read_utterance(corpus[first])
    read_utterance(corpus[third])

    kept = {path.stem for path in cache.glob("*.tar")}
    assert corpus.shards[1].sha256 not in kept
    assert corpus.shards[0].sha256 in kept


def test_members_of_a_copy_are_checked_once(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = Corpus.open([published(shards, "once")])
    checked: list[Shard] = []

    def check(file: Any, shard: Shard, known: Any) -> None:
        checked.append(shard)
        check_members(file, shard, known)

    monkeypatch.setattr(recordings, "check_members", check)
    for _ in range(2):
        for utterance in corpus:
            read_utterance(utterance)

    assert checked == list(corpus.shards)


def test_a_copy_that_is_always_dropped_is_told_of(
    shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = Corpus.open([published(shards, "dropped")])
    download_shard = shard_cache._download_shard

    def dropped(url: str, num_bytes: int, sha256: str, path: Path) -> None:
        opened = download_shard(url, num_bytes, sha256, path)
        assert opened is not None
        opened.close()
        path.unlink()

    monkeypatch.setattr(shard_cache, "_download_shard", dropped)
    with pytest.raises(AudioError, match=r"found it removed 5 times; .*raise ASR_CACHE_GB"):
        read_utterance(corpus[0])


def test_who_waited_for_another_process_does_not_fetch_again(
    shards: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = Corpus.open([published(shards, "waited")])
    shard = corpus.shards[0]
    look = shard_cache._open_complete

    def looked_before_the_other_was_done(path: Path, num_bytes: int) -> Any:
        found = look(path, num_bytes)
        if found is None:
            shutil.copy(shards / "shard-000000.tar", path)
        return found

    monkeypatch.setattr(shard_cache, "_open_complete", looked_before_the_other_was_done)
    monkeypatch.setattr(shard_cache, "transfer", None)
    read_utterance(corpus[0])
    assert (cache / f"{shard.sha256}.tar").exists()


def test_a_copy_that_cannot_be_opened_is_named(shards: Path, cache: Path) -> None:
    corpus = Corpus.open([published(shards, "folder")])
    (cache / f"{corpus.shards[0].sha256}.tar").mkdir()

    with pytest.raises(AsrError, match=r"\.tar: cannot write \(Is a directory\)"):
        read_utterance(corpus[0])


@pytest.mark.parametrize("stated", ["much", "-1", "nan"])
def test_a_bound_that_is_no_number_is_refused(
    shards: Path, monkeypatch: pytest.MonkeyPatch, stated: str
) -> None:
    corpus = Corpus.open([published(shards, "limit")])
    monkeypatch.setenv(shard_cache.LIMIT_VARIABLE, stated)

    with pytest.raises(ConfigError, match=f"ASR_CACHE_GB: expected gigabytes .*'{stated}'"):
        read_utterance(corpus[0])


def test_a_folder_of_copies_that_cannot_be_written_is_named(
    shards: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(shard_cache.FOLDER_VARIABLE, str(shards / "shards.json"))

    with pytest.raises(AsrError, match=r"shards\.json: cannot write"):
        Corpus.open([published(shards, "unwritable")])


def test_copies_lie_in_the_users_folder_of_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(shard_cache.FOLDER_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert shard_cache.cache_folder() == Path("/caches/asr")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert shard_cache.cache_folder() == Path.home() / ".cache" / "asr"


def _read_all(path: str) -> list[float]:
    corpus = Corpus.open([path])
    return [float(read_utterance(utterance)[0].sum()) for utterance in corpus]


def test_several_processes_may_fetch_at_once(
    source: Path, shards: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest = max(path.stat().st_size for path in shards.glob("*.tar"))
    monkeypatch.setenv(shard_cache.LIMIT_VARIABLE, str(1.5 * largest / 1e9))
    expected = [float(read_utterance(u)[0].sum()) for u in read_manifest(source)]

    with multiprocessing.get_context("fork").Pool(3) as pool:
        results = pool.map(_read_all, [f"file://{shards}/manifest.jsonl"] * 6)

    assert results == [expected] * 6


# The command


def test_command_packs_and_evaluates(tones: Tones, asr_command: Command, tmp_path: Path) -> None:
    outcome = asr_command("shard", tones.test, "-o", tmp_path / "out", "--shard_mb", "1")

    assert outcome.code == 0, outcome.stderr
    assert outcome.stdout.startswith(f"{tmp_path / 'out' / 'manifest.jsonl'}: ")
    plain = asr_command("evaluate", tones.checkpoint, tones.test, "--json", tmp_path / "a.json")
    packed = asr_command(
        *("evaluate", tones.checkpoint, tmp_path / "out" / "manifest.jsonl"),
        *("--json", tmp_path / "b.json"),
    )
    assert (plain.code, packed.code) == (0, 0)
    one, other = (json.loads((tmp_path / f"{name}.json").read_text()) for name in "ab")
    timed = {key for key in one if "real_time" in key}
    assert {k: v for k, v in one.items() if k not in timed} == {
        k: v for k, v in other.items() if k not in timed
    }
    assert asr_command("shard", tones.test, "-o", tmp_path / "out").code == 1


def test_aligning_reads_parts_and_shards(
    tones: Tones, asr_command: Command, tmp_path: Path
) -> None:
    utterance = read_manifest(tones.test)[0]
    whole, rate = audio.read(utterance.audio_filepath)
    audio.write(tmp_path / "long.wav", torch.cat([torch.zeros(rate), whole]), rate)
    piece = Utterance("u", tmp_path / "long.wav", len(whole) / rate, utterance.text, offset=1.0)
    write_manifest(tmp_path / "parts.jsonl", [piece])
    write_shards([piece], tmp_path / "shards", 10**6)
    plain = Utterance("u", utterance.audio_filepath, utterance.duration, utterance.text)
    write_manifest(tmp_path / "plain.jsonl", [plain])

    words = []
    for name in ("plain.jsonl", "parts.jsonl", "shards/manifest.jsonl"):
        arguments = ("align", tones.checkpoint, tmp_path / name, "-o", tmp_path / "out")
        assert asr_command(*arguments, "--min_match", "0").code == 0
        words.append(json.loads((tmp_path / "out" / "u.json").read_text())["words"])
    assert words[0] == words[1] == words[2]
    raw = ("--raw", "rate=16000")
    error = asr_command("align", tones.checkpoint, tmp_path / "parts.jsonl", "-o", tmp_path, *raw)
    assert error.code != 0
