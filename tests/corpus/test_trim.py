"""Silence at the ends of utterances is left out of a manifest, and nothing else is."""

import dataclasses
import os
from pathlib import Path

import pytest
import soundfile
import torch

from asr.corpus.manifest import Utterance, read_manifest, write_manifest
from asr.corpus.recordings import read_utterance
from asr.corpus.shards import write_shards
from asr.corpus.trim import trim
from asr.errors import AudioError, ManifestError
from tests.support import Command

RATE = 8000
BEGIN, END, SECONDS = 2.0, 3.0, 6.0
"""What is said, and the recording."""


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trim") / "a.wav"
    waveform = 0.001 * torch.randn(int(SECONDS * RATE), generator=torch.Generator().manual_seed(0))
    waveform[int(BEGIN * RATE) : int(END * RATE)] *= 100
    soundfile.write(path, waveform.numpy(), RATE)
    return path


def many(recording: Path, text: str = "YES") -> list[Utterance]:
    return [Utterance(f"u{i}", recording, SECONDS, text) for i in range(200)]


def test_what_is_said_stays_with_some_silence_at_either_end(recording: Path) -> None:
    trimmed = [one for one in map(trim, many(recording)) if one.offset is not None]
    before = [BEGIN - (one.offset or 0.0) for one in trimmed]
    after = [(one.offset or 0.0) + one.duration - END for one in trimmed]
    for margins in (before, after):
        assert 0.08 < min(margins) < 0.2
        assert 0.25 < max(margins) < 0.37
    assert len(set(before)) > 100


def test_every_tenth_keeps_its_silence(recording: Path) -> None:
    utterances = many(recording)
    whole = [one for one in utterances if trim(one) == one]
    assert 10 <= len(whole) <= 30


def test_a_part_of_a_recording_becomes_a_smaller_part(recording: Path) -> None:
    part = dataclasses.replace(many(recording)[0], id="part", offset=1.0, duration=4.5)
    one = trim(part)
    assert one.offset is not None
    assert 1.6 < one.offset < BEGIN
    assert END < one.offset + one.duration < 3.4
    waveform, rate = read_utterance(one)
    assert len(waveform) == pytest.approx(one.duration * rate, abs=1)


def test_what_stays_as_it_is(recording: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silence.wav", torch.zeros(RATE).numpy(), RATE)
    nothing_said = many(recording, "")
    silent = [Utterance(f"s{i}", tmp_path / "silence.wav", 1.0, "YES") for i in range(20)]
    # Fifty characters are not said in a second: most of them are too soft.
    too_short = many(recording, "MUCH MORE WORDS THAN ANYBODY COULD SAY IN A SECOND")
    for one in [*nothing_said, *silent, *too_short]:
        assert trim(one) == one


def test_a_recording_that_cannot_be_trimmed(recording: Path, tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="missing"):
        trim(Utterance("a", tmp_path / "missing.wav", 1.0, "YES"))
    wrong = [dataclasses.replace(one, duration=99.0) for one in many(recording)[:20]]
    with pytest.raises(AudioError, match=r"expected a recording of 99 s.* found 6 s"):
        list(map(trim, wrong))
    write_shards(many(recording)[:1], tmp_path / "shards", 10**9)
    (packed,) = read_manifest(tmp_path / "shards" / "manifest.jsonl")
    with pytest.raises(ManifestError, match="make them again"):
        trim(packed)


def test_the_command(recording: Path, tmp_path: Path, asr_command: Command) -> None:
    manifest, output = tmp_path / "all.jsonl", tmp_path / "new" / "trimmed.jsonl"
    write_manifest(manifest, many(recording))
    outcome = asr_command("trim", manifest, "-o", output)
    assert outcome.code == 0
    assert read_manifest(output) == [
        dataclasses.replace(
            one,
            audio_filepath=output.parent / os.path.relpath(recording, output.parent),
            offset=None if one.offset is None else round(one.offset, 6),
            duration=round(one.duration, 6),
        )
        for one in map(trim, many(recording))
    ]
    assert f"{output}: 200 utterances, 0.12 of 0.33 hours" in outcome.stdout

    before = manifest.read_bytes()
    outcome = asr_command("trim", manifest, "-o", manifest)
    assert outcome.code == 2
    assert "expected another file than the manifest" in outcome.stderr
    assert manifest.read_bytes() == before
