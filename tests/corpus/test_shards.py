"""Shards: what is packed is read back, from a disk or a URL, and nothing else is."""

import json
import shutil
import tarfile
from pathlib import Path

import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from asr.corpus.manifest import Corpus, Utterance, read_manifest, write_manifest
from asr.corpus.record import is_plain_name
from asr.corpus.recordings import read_utterance
from asr.corpus.shards import member_stem, write_shards
from asr.errors import AsrError, AudioError, ManifestError
from asr.signal import audio
from tests.corpus.shard_support import IDS, RATE, noise, same_as_source
from tests.support import Command, Tones


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


def test_the_channel_that_is_meant_is_packed(tmp_path: Path) -> None:
    two = torch.stack([noise(1), noise(2)], 1)
    soundfile.write(tmp_path / "two.wav", two.numpy(), RATE)
    utterance = Utterance("u", tmp_path / "two.wav", len(two) / RATE, "A", channel=2)
    write_shards([utterance], tmp_path / "shards", 10**6)
    (packed,) = read_manifest(tmp_path / "shards" / "manifest.jsonl")
    assert packed.channel is None
    assert torch.equal(read_utterance(packed)[0], read_utterance(utterance)[0])


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
