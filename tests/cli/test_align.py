"""`asr align` on recordings and on what is none: what it prints, what it leaves, how it ends."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from asr.corpus.manifest import Utterance, read_manifest, write_manifest
from asr.signal import audio
from tests.support import REPOSITORY, Command

CHECKPOINT = REPOSITORY / "checkpoints" / "an4-blstm"
SAMPLES = {
    utterance.id: utterance
    for utterance in read_manifest(REPOSITORY / "recipes" / "synthetic" / "samples/manifest.jsonl")
}
SAMPLE = SAMPLES["03-enter-flite-slt"]


def test_words_are_printed_with_their_times(asr_command: Command) -> None:
    outcome = asr_command("align", CHECKPOINT, SAMPLE.audio_filepath, SAMPLE.text)
    assert outcome.code == 0
    own = "the checkpoint's own lm.arpa.gz"
    assert f"decoding with a beam of 50 and {own}, as tuned\n" in outcome.stderr
    assert outcome.messages == ""
    result = json.loads(outcome.stdout)
    assert result["audio_filepath"] == str(SAMPLE.audio_filepath)
    assert result["text"] == SAMPLE.text == "ENTER FIVE HUNDRED AND FORTY TWO"
    assert result["duration"] == pytest.approx(SAMPLE.duration, abs=1e-3)
    assert 0.5 < result["match"] <= 1
    words = result["words"]
    assert [word["word"] for word in words] == SAMPLE.text.split()
    times = [time for word in words for time in (word["start"], word["end"])]
    assert times == sorted(times)
    assert times[-1] <= result["duration"]
    assert all(0 <= word["confidence"] <= 1 for word in words)
    for word in words:
        assert "".join(c["character"] for c in word["characters"]) == word["word"]
        assert word["characters"][0]["start"] == word["start"]
        assert word["characters"][-1]["end"] == word["end"]


def test_times_follow_the_sound(asr_command: Command, tmp_path: Path) -> None:
    waveform, rate = audio.read(SAMPLE.audio_filepath)
    later = tmp_path / "later.wav"
    audio.write(later, torch.cat([waveform[:1].expand(rate), waveform]), rate)
    before, after = (
        json.loads(asr_command("align", CHECKPOINT, path, SAMPLE.text).stdout)["words"]
        for path in (SAMPLE.audio_filepath, later)
    )
    moved = [b["start"] - a["start"] for a, b in zip(before, after, strict=True)]
    assert moved == pytest.approx([1.0] * len(moved), abs=0.081)


def test_transcript_is_read_from_a_txt_file(asr_command: Command, tmp_path: Path) -> None:
    path = tmp_path / "said.txt"
    path.write_bytes("\ufeffENTER FIVE\r\nHUNDRED AND\tFORTY TWO\n".encode())
    outcome = asr_command("align", CHECKPOINT, SAMPLE.audio_filepath, path)
    assert outcome.code == 0, outcome.stderr
    assert json.loads(outcome.stdout)["text"] == SAMPLE.text


def test_ctm_and_textgrid(asr_command: Command, tmp_path: Path) -> None:
    arguments = ("align", CHECKPOINT, SAMPLE.audio_filepath, SAMPLE.text)
    lines = asr_command(*arguments, "-f", "ctm").stdout.splitlines()
    assert [line.split()[4] for line in lines] == SAMPLE.text.split()
    assert all(line.startswith(f"{SAMPLE.id} 1 ") for line in lines)
    output = tmp_path / "new" / "folder"
    outcome = asr_command(*arguments, "-f", "textgrid", "-o", output)
    assert (outcome.code, outcome.stdout) == (0, "")
    (written,) = output.iterdir()
    assert written.name == f"{SAMPLE.id}.TextGrid"
    assert written.read_text().startswith('File type = "ooTextFile"\nObject class = "TextGrid"\n')


def test_transcript_of_another_recording_is_reported(asr_command: Command) -> None:
    other = SAMPLES["21-phone-flite-slt"].text
    arguments = ("align", CHECKPOINT, SAMPLE.audio_filepath, "STOP")
    outcome = asr_command(*arguments)
    assert outcome.code == 1
    assert f"warning: {SAMPLE.audio_filepath}: the transcript does not fit" in outcome.stderr
    result = json.loads(outcome.stdout)
    assert result["match"] < 0.05
    assert asr_command(*arguments, "--min_match", "0").code == 0
    assert asr_command("align", CHECKPOINT, SAMPLE.audio_filepath, other).code == 1


def test_transcript_longer_than_the_audio_allows(asr_command: Command) -> None:
    error, summary = asr_command(
        "align", CHECKPOINT, SAMPLE.audio_filepath, "SEVEN " * 50
    ).messages.split("\n", 1)
    assert error.startswith(f"error: {SAMPLE.audio_filepath}: the transcript is longer than")
    assert "299 tokens need at least 299 frames" in error
    assert "there are 136" in error
    assert summary == f"1 of 1 recordings failed:\n  {SAMPLE.audio_filepath}\n"


@pytest.mark.parametrize(
    ("text", "said"), [("enter", "not among the model's"), (" ", "empty"), ("", "empty")]
)
def test_transcript_that_cannot_be_spelled(asr_command: Command, text: str, said: str) -> None:
    outcome = asr_command("align", CHECKPOINT, SAMPLE.audio_filepath, text)
    assert (outcome.code, outcome.stdout) == (1, "")
    assert said in outcome.stderr
    assert str(SAMPLE.audio_filepath) in outcome.stderr


def test_unreadable_inputs_are_named(asr_command: Command, tmp_path: Path) -> None:
    missing = tmp_path / "missing.txt"
    error = asr_command("align", CHECKPOINT, SAMPLE.audio_filepath, missing).error
    assert error.startswith(f"{missing}: cannot read the transcript")
    noise = tmp_path / "noise.txt"
    noise.write_bytes(b"\xff\xfe\x00")
    assert str(noise) in asr_command("align", CHECKPOINT, SAMPLE.audio_filepath, noise).error
    fake = tmp_path / "fake.wav"
    fake.write_text("not audio " * 100)
    outcome = asr_command("align", CHECKPOINT, fake, "YES")
    assert outcome.code == 1
    assert outcome.messages.startswith(f"error: {fake}: ")


def test_manifest_goes_on_after_a_failure(asr_command: Command, tmp_path: Path) -> None:
    fake = tmp_path / "fake.wav"
    fake.write_text("not audio " * 100)
    good = tmp_path / "good.flac"
    shutil.copy(SAMPLE.audio_filepath, good)
    manifest = tmp_path / "all.jsonl"
    write_manifest(
        manifest,
        [
            Utterance("broken", fake, 1.0, "YES"),
            Utterance("wrong", good, SAMPLE.duration, "STOP"),
            Utterance("right", good, SAMPLE.duration, SAMPLE.text),
        ],
    )
    output = tmp_path / "out"
    outcome = asr_command("align", CHECKPOINT, manifest, "-o", output, "-f", "ctm")
    assert (outcome.code, outcome.stdout) == (1, "")
    assert f"2 of 3 recordings failed:\n  {fake}\n  {good}\n" in outcome.stderr
    assert sorted(path.name for path in output.iterdir()) == ["right.ctm", "wrong.ctm"]
    assert (output / "right.ctm").read_text().startswith("right 1 ")


def test_files_of_any_id_stay_inside_the_folder(asr_command: Command, tmp_path: Path) -> None:
    manifest = tmp_path / "all.jsonl"
    ids = ["../escaped", "/rooted", "clips/c1", "clips%2Fc1", "x" * 300]
    write_manifest(
        manifest, [Utterance(key, SAMPLE.audio_filepath, 1.0, SAMPLE.text) for key in ids]
    )
    arguments = "align", CHECKPOINT, manifest, "-o", tmp_path / "out", "-f", "ctm"
    assert asr_command(*arguments).code == 0
    found = {path.read_text().split()[0]: path.name for path in (tmp_path / "out").iterdir()}
    assert set(found) == set(ids)
    assert found["clips/c1"] == "clips%2Fc1.ctm"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.jsonl", "out"]


def test_ids_that_ctm_cannot_hold_are_refused_before_the_work(
    asr_command: Command, tmp_path: Path
) -> None:
    manifest = tmp_path / "all.jsonl"
    write_manifest(
        manifest, [Utterance(key, SAMPLE.audio_filepath, 1.0, "YES") for key in ("a", "b c")]
    )
    arguments = "align", CHECKPOINT, manifest, "-o", tmp_path / "out"
    assert "'b c' cannot be the name" in asr_command(*arguments, "-f", "ctm").error
    assert not (tmp_path / "out").exists()


def test_headerless_files_are_read_as_told(asr_command: Command, tmp_path: Path) -> None:
    waveform, rate = audio.read(SAMPLE.audio_filepath)
    path = tmp_path / "speech.raw"
    path.write_bytes((waveform * 32768).round().numpy().astype(">i2").tobytes())
    raw = asr_command("align", CHECKPOINT, path, SAMPLE.text, "--raw", f"{rate},1,PCM_16,BIG")
    assert (raw.code, raw.messages) == (0, "")
    known = json.loads(asr_command("align", CHECKPOINT, SAMPLE.audio_filepath, SAMPLE.text).stdout)
    assert json.loads(raw.stdout) == {**known, "audio_filepath": str(path)}
    assert asr_command("align", CHECKPOINT, path, SAMPLE.text).code == 1


@pytest.mark.parametrize(
    "raw", ["", "²", "0", "16000,1,MP3", "16000,1,PCM_16,MIDDLE", "9" * 5000, "16"]
)
def test_a_layout_that_is_none_is_wrong_usage(asr_command: Command, raw: str) -> None:
    for verb, *said in (("align", "YES"), ("transcribe",)):
        outcome = asr_command(verb, CHECKPOINT, SAMPLE.audio_filepath, *said, "--raw", raw)
        assert (outcome.code, outcome.stdout) == (2, "")
        assert "--raw" in outcome.stderr


def test_an_empty_txt_file_is_named(asr_command: Command, tmp_path: Path) -> None:
    path = tmp_path / "said.txt"
    path.write_text(" \n\n")
    error = asr_command("align", CHECKPOINT, SAMPLE.audio_filepath, path).error
    assert error == f"{path}: the transcript is empty; expected the words that are said"


def test_wrong_usage_exits_with_two(asr_command: Command, tmp_path: Path) -> None:
    manifest = tmp_path / "all.jsonl"
    for arguments in (
        (SAMPLE.audio_filepath,),
        (manifest,),
        (manifest, "YES", "-o", tmp_path),
        (SAMPLE.audio_filepath, "YES", "-f", "srt"),
        (SAMPLE.audio_filepath, "YES", "--min_match", "2"),
    ):
        outcome = asr_command("align", CHECKPOINT, *arguments)
        assert (outcome.code, outcome.stdout) == (2, ""), arguments
        assert "Usage: " in outcome.stderr
