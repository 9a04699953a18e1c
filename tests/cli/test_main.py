"""The commands on good input and on bad: what they print, what they leave, how they end."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

import asr
from asr.checkpoint.checkpoint import load_checkpoint
from asr.corpus.manifest import read_manifest
from asr.decode.beam import beam_search
from asr.decode.greedy import greedy_search
from asr.errors import AudioError, CheckpointError
from asr.inference import windows
from asr.inference.output_folder import JOURNAL
from asr.inference.recognizer import Recognizer
from asr.scoring.wer import word_errors
from asr.signal import audio
from asr.version import source_commit
from docs.commands import verbs
from recipes.tones.prepare import SAMPLE_RATE, recording, sentence
from tests.support import Command, Tones, run_python


@pytest.fixture(scope="module", autouse=True)
def _compiled_search() -> None:
    """What is compiled here is not announced on the stderr of a command."""
    beam_search(torch.zeros(1, 2).log_softmax(dim=1), 2)


@pytest.fixture(scope="module")
def recognizer(tones: Tones) -> Recognizer:
    return asr.load(tones.checkpoint)


@pytest.fixture
def spoken(tones: Tones, tmp_path: Path) -> tuple[Path, str]:
    """A recording in a folder of its own, and what it says."""
    utterance = read_manifest(tones.test)[0]
    copy = tmp_path / "audio" / "good.flac"
    copy.parent.mkdir()
    shutil.copy(utterance.audio_filepath, copy)
    return copy, utterance.text


# --- Transcribe


def test_one_bad_file_in_many_does_not_stop_the_rest(
    tones: Tones, spoken: tuple[Path, str], tmp_path: Path
) -> None:
    good, text = spoken
    fake = good.with_name("a-text.wav")
    fake.write_text("not audio " * 100)
    empty = good.with_name("b-empty.wav")
    empty.touch()
    output = tmp_path / "out"
    done = run_python("-m", "asr", "transcribe", tones.checkpoint, good.parent, "-o", output)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    assert done.stderr.endswith(f"2 of 3 recordings failed:\n  {fake}\n  {empty}\n")
    assert f"error: {fake}: " in done.stderr
    assert {path.name for path in output.iterdir()} == {"good.txt", JOURNAL}
    assert (output / "good.txt").read_text() == f"{text}\n"


def test_wrong_usage_exits_with_two(
    tones: Tones, spoken: tuple[Path, str], asr_command: Command
) -> None:
    for arguments in (
        ("transcribe", tones.checkpoint, spoken[0], "--beam_size", "0"),
        ("transcribe", tones.checkpoint, spoken[0], "-f", "docx"),
        ("transcribe", tones.checkpoint, spoken[0], "--raw", "16000,1,PCM_16,LITTLE,5"),
        ("transcribe", tones.checkpoint, spoken[0], "--raw", "fast"),
        ("transcribe", tones.checkpoint),
        ("evaluate", tones.checkpoint),
        ("translate", tones.checkpoint),
        ("train", "-o", tones.run, "--seed", "-1"),
        ("train", "-o", tones.run, "--seed", str(2**70)),
        ("--colour",),
    ):
        outcome = asr_command(*arguments)
        assert (outcome.code, outcome.stdout) == (2, ""), arguments
        assert "Usage: " in outcome.stderr


def test_help_is_complete_in_eighty_columns(
    asr_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("COLUMNS", "TERMINAL_WIDTH"):
        monkeypatch.setenv(name, "80")
    for path, command in verbs():
        shown = shown_help(asr_command, *path)
        for parameter in command.params:
            names = parameter.opts if parameter.param_type_name == "option" else []
            expected = [*names, parameter.help or ""]
            assert [t for t in expected if "".join(t.split()) not in shown] == [], path
    assert "--rawRATE[,CHANNELS[,SUBTYPE[,ENDIAN]]]" in shown_help(asr_command, "transcribe")


def shown_help(asr_command: Command, *verb: str) -> str:
    return "".join(asr_command(*verb, "--help").stdout.split())


def test_version_and_help(asr_command: Command) -> None:
    source = source_commit() or "unknown"
    expected = f"asr {asr.__version__} (ctc-asr, source {source})\n"
    assert asr_command("--version").stdout == expected
    for arguments in (("--help",), ("transcribe", "-h"), ("evaluate", "-h"), ("train", "-h")):
        outcome = asr_command(*arguments)
        assert outcome.code == 0
        assert "Usage: " in outcome.stdout


@pytest.mark.parametrize("verb", ["transcribe", "evaluate", "describe"])
def test_a_missing_checkpoint_is_one_message(
    tones: Tones, spoken: tuple[Path, str], tmp_path: Path, asr_command: Command, verb: str
) -> None:
    subject = {"transcribe": (spoken[0],), "evaluate": (tones.test,), "describe": ()}[verb]
    error = asr_command(verb, tmp_path / "gone", *subject).error
    assert error.startswith(f"{tmp_path / 'gone'}: expected a checkpoint folder")


def test_a_tampered_checkpoint_is_refused(
    tones: Tones, spoken: tuple[Path, str], tmp_path: Path, asr_command: Command
) -> None:
    copy = tmp_path / "checkpoint"
    shutil.copytree(tones.checkpoint, copy)
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    error = asr_command("transcribe", copy, spoken[0]).error
    assert "model.safetensors: damaged or altered" in error


def test_settings_of_another_model_are_refused(tones: Tones) -> None:
    bundle = load_checkpoint(tones.checkpoint)
    bundle.config["encoder"]["hidden"] += 1
    with pytest.raises(CheckpointError, match="do not describe the same model"):
        Recognizer.from_checkpoint(bundle, torch.device("cpu"))
    bundle.config["encoder"] = {"hidden": "many"}
    with pytest.raises(CheckpointError, match=r"encoder\.hidden: expected int"):
        Recognizer.from_checkpoint(bundle, torch.device("cpu"))


def test_nothing_to_transcribe_is_one_message(
    tones: Tones, tmp_path: Path, asr_command: Command
) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("no audio")
    folder = asr_command("transcribe", tones.checkpoint, tmp_path / "notes")
    assert folder.error.startswith(f"{tmp_path / 'notes'}: ")
    pattern = asr_command("transcribe", tones.checkpoint, tmp_path / "*.wav")
    assert "no file matches this pattern" in pattern.error


def test_a_missing_file_is_listed(tones: Tones, tmp_path: Path, asr_command: Command) -> None:
    outcome = asr_command("transcribe", tones.checkpoint, tmp_path / "gone.wav")
    assert (outcome.code, outcome.stdout) == (1, "")
    assert outcome.stderr.endswith(f"1 of 1 recordings failed:\n  {tmp_path / 'gone.wav'}\n")


def test_a_truncated_recording_is_refused_or_read(
    tones: Tones, spoken: tuple[Path, str], tmp_path: Path, asr_command: Command
) -> None:
    audio.write(tmp_path / "whole.wav", audio.read(spoken[0])[0], SAMPLE_RATE)
    short = tmp_path / "short.wav"
    short.write_bytes((tmp_path / "whole.wav").read_bytes()[:-4000])
    refused = asr_command("transcribe", tones.checkpoint, short)
    assert refused.code == 1
    assert "use what is left of it by --damaged read" in refused.stderr
    read = asr_command("transcribe", tones.checkpoint, short, "-f", "json", "--damaged", "read")
    assert read.code == 0
    transcript = json.loads(read.stdout)
    assert spoken[1].startswith(transcript["text"])
    assert transcript["damage"][0] in read.stderr
    aligned = asr_command(
        *("align", tones.checkpoint, short, transcript["text"], "--damaged", "read")
    )
    assert (aligned.code, json.loads(aligned.stdout)["damage"]) == (0, transcript["damage"])


def test_two_recordings_of_one_name_are_not_written_over_each_other(
    tones: Tones, spoken: tuple[Path, str], tmp_path: Path, asr_command: Command
) -> None:
    twin = tmp_path / "more" / "good.wav"
    twin.parent.mkdir()
    audio.write(twin, audio.read(spoken[0])[0], SAMPLE_RATE)
    arguments = ("transcribe", tones.checkpoint, spoken[0], twin)
    outcome = asr_command(*arguments, "-o", tmp_path / "out")
    assert outcome.code == 0
    assert "2 recordings: 2 transcribed" in outcome.stderr
    found = sorted((tmp_path / "out").rglob("good.txt"))
    assert len(found) == 2
    assert {path.read_text() for path in found} == {f"{spoken[1]}\n"}
    assert asr_command(*arguments).stdout == f"{spoken[0]}: {spoken[1]}\n{twin}: {spoken[1]}\n"


def test_a_file_in_place_of_the_output_folder_is_one_message(
    tones: Tones, spoken: tuple[Path, str], tmp_path: Path, asr_command: Command
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    for folder in (taken, taken / "below"):
        outcome = asr_command("transcribe", tones.checkpoint, spoken[0], "-o", folder)
        assert outcome.error.startswith(f"{folder}: cannot write")
    assert taken.read_text() == "mine"


def test_an_output_that_cannot_be_written_fails_its_recording(
    tones: Tones, spoken: tuple[Path, str], tmp_path: Path, asr_command: Command
) -> None:
    (tmp_path / "out" / "good.txt").mkdir(parents=True)
    outcome = asr_command("transcribe", tones.checkpoint, spoken[0], "-o", tmp_path / "out")
    assert outcome.code == 1
    assert "good.txt: cannot write" in outcome.stderr
    assert "1 of 1 recordings failed" in outcome.stderr


def test_json_says_more(tones: Tones, spoken: tuple[Path, str], asr_command: Command) -> None:
    printed = json.loads(
        asr_command("transcribe", tones.checkpoint, spoken[0], "-f", "json").stdout
    )
    assert printed["audio_filepath"] == str(spoken[0])
    assert printed["text"] == spoken[1]
    assert printed["log_score"] <= 0
    assert printed["duration"] == audio.probe(spoken[0]).duration_seconds


def test_headerless_files_are_read_as_told(
    tones: Tones, spoken: tuple[Path, str], tmp_path: Path, asr_command: Command
) -> None:
    waveform = audio.read(spoken[0])[0]
    samples = (waveform * 32767).round().numpy().astype(">i2")
    (tmp_path / "speech.raw").write_bytes(samples.tobytes())
    arguments = ("transcribe", tones.checkpoint, tmp_path / "speech.raw", "--raw")
    assert asr_command(*arguments, f"{SAMPLE_RATE},1,PCM_16,BIG").stdout == f"{spoken[1]}\n"
    outcome = asr_command(*arguments, f"{SAMPLE_RATE},1,MP3")
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "found 'MP3'" in outcome.stderr


@pytest.mark.parametrize("samples", [1, 37, SAMPLE_RATE])
@pytest.mark.parametrize("beam_size", ["1", "3"])
def test_short_and_silent_recordings_are_transcribed(
    tones: Tones, tmp_path: Path, asr_command: Command, samples: int, beam_size: str
) -> None:
    audio.write(tmp_path / "silence.wav", torch.zeros(samples), SAMPLE_RATE)
    outcome = asr_command(
        *("transcribe", tones.checkpoint, tmp_path / "silence.wav", "--beam_size", beam_size)
    )
    assert (outcome.code, outcome.messages) == (0, "")
    assert len(outcome.stdout.splitlines()) == 1


def test_another_rate_and_several_channels_are_understood(
    tones: Tones, spoken: tuple[Path, str], tmp_path: Path, asr_command: Command
) -> None:
    waveform, _ = audio.read(spoken[0], 16_000)
    soundfile.write(tmp_path / "wide.wav", waveform.repeat(8, 1).T.numpy(), 16_000)
    assert asr_command("transcribe", tones.checkpoint, tmp_path / "wide.wav").stdout == (
        f"{spoken[1]}\n"
    )


# --- Evaluate


@pytest.fixture
def small_manifest(tones: Tones, tmp_path: Path) -> Path:
    """The first three test utterances, the second without its recording."""
    entries = [json.loads(line) for line in tones.test.read_text().splitlines()[:3]]
    for entry in entries:
        entry["audio_filepath"] = str(tones.corpus / entry["audio_filepath"])
    entries[1]["audio_filepath"] = "gone.flac"
    manifest = tmp_path / "small.jsonl"
    manifest.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return manifest


def test_an_unreadable_recording_counts_as_deleted(
    tones: Tones, small_manifest: Path, tmp_path: Path, asr_command: Command
) -> None:
    outcome = asr_command(
        *("evaluate", tones.checkpoint, small_manifest, "--json", tmp_path / "figures.json"),
        *("--hypotheses", tmp_path / "hypotheses.jsonl", "--beam_size", "4"),
    )
    utterances = read_manifest(small_manifest, require_audio=False)
    lost = len(utterances[1].text.split())
    assert outcome.code == 1
    assert outcome.stderr.splitlines()[-1] == (
        "1 of 3 recordings could not be read and count as all deleted: test-001"
    )
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert (figures["utterances"], figures["deletions"]) == (3, lost)
    assert figures["wer"] == lost / sum(len(u.text.split()) for u in utterances)
    written = [
        json.loads(line) for line in (tmp_path / "hypotheses.jsonl").read_text().splitlines()
    ]
    assert {entry["id"]: entry["text"] for entry in written} == {
        utterance.id: utterance.text for utterance in (utterances[0], utterances[2])
    }


@pytest.mark.parametrize("option", ["--json", "--hypotheses"])
def test_outputs_are_checked_before_the_work(
    tones: Tones,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asr_command: Command,
    option: str,
) -> None:
    monkeypatch.setattr(Recognizer, "transcribe", lambda *_, **__: pytest.fail("decoded first"))
    output = tmp_path / "gone" / "figures.json"
    outcome = asr_command("evaluate", tones.checkpoint, tones.test, option, output)
    assert outcome.error == f"{output}: its folder does not exist; create it first"


def test_manifest_faults_are_one_message(
    tones: Tones, tmp_path: Path, asr_command: Command
) -> None:
    for content, message in (
        (None, "cannot read the manifest"),
        ("", "the manifest is empty"),
        ("{]\n", "line 1: not valid JSON"),
        ('{"id": "a", "text": "A", "duration": 1}\n', "line 1: the key 'audio_filepath'"),
    ):
        manifest = tmp_path / "manifest.jsonl"
        if content is not None:
            manifest.write_text(content)
        assert message in asr_command("evaluate", tones.checkpoint, manifest).error


def test_speakers_can_be_resampled_only_where_there_are_some(
    tones: Tones, small_manifest: Path, asr_command: Command
) -> None:
    outcome = asr_command("evaluate", tones.checkpoint, small_manifest, "--by_speaker")
    assert outcome.code == 1  # its missing recording; each utterance is its own speaker
    assert "interval over speakers" in outcome.stdout


# --- Describe


def test_describe_prints_what_the_bundle_holds(tones: Tones, asr_command: Command) -> None:
    outcome = asr_command("describe", tones.checkpoint)
    assert (outcome.code, outcome.stderr) == (0, "")
    assert outcome.stdout.startswith(str(tones.checkpoint))


# --- In Python


def test_arrays_and_tensors_give_what_their_file_gives(
    recognizer: Recognizer, spoken: tuple[Path, str]
) -> None:
    path, text = spoken
    waveform, rate = audio.read(path)
    of_file = recognizer.transcribe(path)
    assert of_file.text == text
    assert of_file.processing_seconds > 0
    for samples in (
        waveform,
        waveform.double(),
        waveform.numpy(),
        waveform.numpy().astype(np.float64),
        waveform.numpy().astype(">f4"),
        waveform.numpy()[::-1].copy()[::-1],  # a view that runs backwards
        np.stack([waveform, waveform], axis=1)[:, 0],
    ):
        found = recognizer.transcribe(samples, rate)
        assert found.text == text
        assert found.duration_seconds == of_file.duration_seconds
        assert found.log_score == pytest.approx(of_file.log_score, rel=1e-5)
    beam = recognizer.transcribe(str(path), beam_size=8)
    assert beam.text == text
    assert of_file.log_score <= beam.log_score <= 0


def test_samples_are_not_changed(recognizer: Recognizer) -> None:
    samples = np.random.default_rng(0).normal(size=4000).astype(np.float32) / 10
    samples.setflags(write=False)
    before = samples.copy()
    recognizer.transcribe(samples, SAMPLE_RATE)
    assert np.array_equal(samples, before)


BAD_SAMPLES: dict[str, tuple[Callable[[], np.ndarray | Tensor], int | None, str]] = {
    "no rate": (lambda: np.zeros(100, np.float32), None, "expected a sample_rate in whole Hz"),
    "rate of zero": (
        lambda: np.zeros(100, np.float32),
        0,
        "expected a sample_rate in whole Hz",
    ),
    "two channels": (lambda: np.zeros((100, 2), np.float32), 8000, r"found the shape \(100, 2\)"),
    "no samples": (lambda: np.zeros(0, np.float32), 8000, r"found the shape \(0,\)"),
    "a number": (lambda: torch.tensor(1.0), 8000, r"found the shape \(\)"),
    "integers": (lambda: np.zeros(100, np.int16), 8000, "divide 16-bit integers by 32768"),
    "texts": (lambda: np.array(["a", "b"]), 8000, "expected floats"),
    "NaN": (lambda: np.array([0.0, np.nan]), 8000, "found NaN or infinity"),
    "infinity": (lambda: torch.tensor([0.0, torch.inf]), 8000, "found NaN or infinity"),
    "absurd": (lambda: torch.tensor([0.0, -3e25]), 8000, r"sizes of 1e\+10 at most.*found 3e\+25"),
}


@pytest.mark.parametrize("case", BAD_SAMPLES)
def test_unusable_samples_are_refused(recognizer: Recognizer, case: str) -> None:
    make, rate, message = BAD_SAMPLES[case]
    with pytest.raises(AudioError, match=message):
        recognizer.transcribe(make(), rate)


def test_a_file_states_its_own_rate(recognizer: Recognizer, spoken: tuple[Path, str]) -> None:
    with pytest.raises(AudioError, match="a file states its own"):
        recognizer.transcribe(spoken[0], SAMPLE_RATE)


# --- Long recordings


@pytest.fixture(scope="module")
def long_recording() -> tuple[Tensor, str]:
    """Two minutes of tones, and their letters."""
    rng = random.Random(0)
    words: list[str] = []
    while sum(map(len, words)) * 0.23 + len(words) * 0.33 < 120:
        words += sentence(rng).split()
    text = " ".join(words)
    return recording(text, rng), text


def windowed(
    recognizer: Recognizer,
    waveform: Tensor,
    monkeypatch: pytest.MonkeyPatch,
    window_seconds: float,
    context_seconds: float,
) -> Tensor:
    with monkeypatch.context() as patch:
        patch.setattr(windows, "PASSAGE_SECONDS", 1e6)
        patch.setattr(windows, "WINDOW_SECONDS", window_seconds)
        patch.setattr(windows, "CONTEXT_SECONDS", context_seconds)
        return recognizer.log_probs(waveform)


def test_windows_agree_with_the_whole(
    recognizer: Recognizer, long_recording: tuple[Tensor, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    waveform, text = long_recording
    assert len(waveform) > 110 * SAMPLE_RATE
    whole = windowed(recognizer, waveform, monkeypatch, 1e6, 0.0).exp()
    pieces = windowed(recognizer, waveform, monkeypatch, 10.0, 3.0).exp()
    assert pieces.shape == whole.shape
    difference = (pieces - whole).abs().amax(dim=1)
    assert difference.mean() < 1e-3
    assert difference.max() < 0.05
    assert torch.equal(pieces.argmax(dim=1), whole.argmax(dim=1))
    # As it is used: 40 s windows.
    found = recognizer.transcribe(waveform, SAMPLE_RATE)
    assert found.duration_seconds == len(waveform) / SAMPLE_RATE
    assert found.text == recognizer.tokens.decode(greedy_search(whole.log()).tokens)
    assert word_errors(text, found.text).rate < 0.05


@pytest.mark.parametrize("context_seconds", [0.0, 0.31])
@pytest.mark.parametrize("hops", [99, 100, 101, 104, 199, 200, 203, 350])
def test_windows_leave_out_no_frame(
    recognizer: Recognizer,
    long_recording: tuple[Tensor, str],
    monkeypatch: pytest.MonkeyPatch,
    hops: int,
    context_seconds: float,
) -> None:
    waveform = long_recording[0][: hops * recognizer.extractor.hop]
    whole = windowed(recognizer, waveform, monkeypatch, 1e6, 0.0)
    pieces = windowed(recognizer, waveform, monkeypatch, 1.0, context_seconds)
    assert pieces.shape == whole.shape
    half = 50 // recognizer.model.config.subsampling  # far from where the first window ends
    if context_seconds:
        torch.testing.assert_close(pieces[:half].exp(), whole[:half].exp(), atol=0.2, rtol=0)


def test_a_file_is_read_the_same_in_windows(
    tones: Tones,
    recognizer: Recognizer,
    long_recording: tuple[Tensor, str],
    tmp_path: Path,
    asr_command: Command,
) -> None:
    audio.write(tmp_path / "long.flac", long_recording[0], SAMPLE_RATE)
    outcome = asr_command("transcribe", tones.checkpoint, tmp_path / "long.flac")
    in_memory = recognizer.transcribe(long_recording[0], SAMPLE_RATE).text
    assert word_errors(in_memory, outcome.stdout).rate < 0.02
