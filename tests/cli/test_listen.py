"""`asr listen` from standard input, from files, and without a microphone."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import asr
from asr.corpus.manifest import read_manifest
from asr.signal import audio
from recipes.tones.prepare import SAMPLE_RATE
from tests.conftest import REPOSITORY
from tests.support import Command, Tones


@pytest.fixture(scope="module")
def recording(tones: Tones, tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator = torch.Generator().manual_seed(0)
    parts = [1e-4 * torch.randn(SAMPLE_RATE, generator=generator)]
    for utterance in read_manifest(tones.test)[:3]:
        parts.append(audio.read(utterance.audio_filepath)[0])
        parts.append(1e-4 * torch.randn(round(1.3 * SAMPLE_RATE), generator=generator))
    path = tmp_path_factory.mktemp("listen") / "said.wav"
    audio.write(path, torch.cat(parts), SAMPLE_RATE)
    return path


def test_raw_samples_from_standard_input(tones: Tones, recording: Path) -> None:
    """Finals come before the end, and a sample that is cut short is an error at the end."""
    samples = (audio.read(recording)[0] * 32767).to(torch.int16).numpy().tobytes()
    process = subprocess.Popen(
        [*(sys.executable, "-m", "asr", "listen", tones.checkpoint), "--raw", str(SAMPLE_RATE)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin and process.stdout and process.stderr  # noqa: PT018
    process.stdin.write(samples)
    process.stdin.flush()
    first = process.stdout.readline()
    rest, stderr = process.communicate(b"\0", timeout=60)
    lines = (first + rest).decode().splitlines()
    assert process.returncode == 1
    assert "1 too many; it ends within a sample" in stderr.decode()
    expected = asr.load(tones.checkpoint).transcribe(recording, vad="energy").text
    assert " ".join(lines) == expected
    assert len(lines) > 1


def test_a_signal_ends_the_phrase_and_the_command(tones: Tones, recording: Path) -> None:
    samples = (audio.read(recording)[0] * 32767).to(torch.int16).numpy().tobytes()
    process = subprocess.Popen(
        [*(sys.executable, "-m", "asr", "listen", tones.checkpoint), "--raw", str(SAMPLE_RATE)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin and process.stdout  # noqa: PT018
    process.stdin.write(samples[: len(samples) * 3 // 4])
    process.stdin.flush()
    first = process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    rest, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.decode().splitlines()[-1] == "interrupted"
    assert "Traceback" not in stderr.decode()
    assert first.strip()
    assert all(line.strip() for line in rest.splitlines())


@pytest.mark.parametrize("options", [[], ["--right-context-seconds", "0.5"]])
def test_json_lines(
    tones: Tones, recording: Path, asr_command: Command, options: list[str]
) -> None:
    arguments: list[str | Path] = [
        "--from",
        recording,
        "-f",
        "jsonl",
        "--word_timestamps",
        "--partials",
        *options,
    ]
    outcome = asr_command("listen", tones.checkpoint, *arguments)
    assert outcome.code == 0, outcome
    lines = [json.loads(line) for line in outcome.stdout.splitlines()]
    assert {line["type"] for line in lines} == {"partial", "final"}
    for line in lines:
        assert 0 <= line["start"] <= line["end"]
    words = [word for line in lines if line["type"] == "final" for word in line["words"]]
    starts = [word["start"] for word in words]
    assert starts == sorted(starts)
    text = " ".join(line["text"] for line in lines if line["type"] == "final")
    assert [word["word"] for word in words] == text.split()


def test_what_cannot_be_listened_to(
    tones: Tones, asr_command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "miniaudio", None)
    assert "pip install 'ctc-asr[listen]'" in asr_command("listen", tones.checkpoint).error
    missing = asr_command("listen", tones.checkpoint, "--from", tmp_path / "none.wav")
    assert "none.wav" in missing.error
    for arguments, message in [
        (["--from", "-"], "expected --raw"),
        (["--realtime"], "expected a file"),
        (["--partials"], "expected -f jsonl"),
        (["--raw", "loud"], "expected RATE"),
        (
            ["--from", "x.wav", "--right_context_seconds", "0"],
            "--right_context_seconds: expected 0.1",
        ),
    ]:
        outcome = asr_command("listen", tones.checkpoint, *arguments)
        assert outcome.code == 2
        assert message in outcome.stderr, outcome
