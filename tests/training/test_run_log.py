"""The log of a run: messages to stderr and to a file, and every start with its machine."""

import dataclasses
import json
import logging
import os
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asr.checkpoint.run_folder import STARTS
from asr.config import to_dict
from asr.files import write_json_atomic
from asr.signal import audio_file
from asr.training import Config, run_log
from asr.training.launch import run_training
from asr.training.options import TrainingOptions
from asr.training.run_log import log_file, record_start
from tests.training_support import note_start, optim

pytest_plugins = ["tests.training_fixtures"]


def starts(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / STARTS).read_text().splitlines()]


def test_a_start_records_command_machine_and_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "asr", "train", "a b.json"])
    for name, value in (
        ("OMP_NUM_THREADS", "1"),
        ("CUDA_VISIBLE_DEVICES", "0,1"),
        ("TORCH_HUB_TOKEN", "hush"),
        ("MY_PASSWORD", "hush"),
        ("HOMPAGE", "hush"),
    ):
        monkeypatch.setenv(name, value)
    note_start(tmp_path)
    note_start(tmp_path, resumed_step=120)

    first, second = starts(tmp_path)
    assert (first["resumed_step"], second["resumed_step"]) == (None, 120)
    assert first["command"] == "python -m asr train 'a b.json'"
    assert first["manifest_sha256"] == {"train.jsonl": "ab12"}
    assert (first["world_size"], first["device"]) == (2, "cpu")
    assert first["threads"] == torch.get_num_threads()
    assert first["processors"] == os.cpu_count()
    assert first["config"] == to_dict(Config(name="tiny"))
    packages = first["packages"]
    assert isinstance(packages, dict)
    assert packages["torch"] == torch.__version__
    assert {"python", "numpy", "soundfile", "torchaudio"} <= packages.keys()
    environment = first["environment"]
    assert isinstance(environment, dict)
    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert "hush" not in (tmp_path / STARTS).read_text()


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="no /proc/cpuinfo to compare with")
def test_processor_and_memory_are_those_that_the_system_names(tmp_path: Path) -> None:
    note_start(tmp_path)

    entry = starts(tmp_path)[0]
    assert str(entry["processor"]) in Path("/proc/cpuinfo").read_text()
    kibibytes = int(Path("/proc/meminfo").read_text().split()[1])
    assert isinstance(entry["memory_bytes"], int)
    assert entry["memory_bytes"] == pytest.approx(kibibytes * 1024, rel=0.01)


def test_a_system_without_proc_and_sysconf_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise OSError

    monkeypatch.delattr(os, "sysconf", raising=False)
    monkeypatch.setattr(Path, "read_text", refuse)
    monkeypatch.setattr(run_log, "package_versions", dict)  # it reads files as well
    note_start(tmp_path)
    monkeypatch.undo()

    entry = starts(tmp_path)[0]
    assert entry["memory_bytes"] is None
    assert entry["processor"] != ""


def test_graphics_cards_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda place: f"card {place}")
    record_start(tmp_path, Config(), {}, torch.device("cuda:1"), 1, None)

    entry = starts(tmp_path)[0]
    assert (entry["device"], entry["devices"]) == ("cuda:1", ["card 0", "card 1"])
    assert {"cuda", "cudnn"} <= entry.keys()


@given(cut=st.integers(min_value=1))
def test_a_start_follows_a_line_cut_short_anywhere(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("run")
    whole = b'{"resumed_step": null}\n', '{"resumed_step": 7, "command": "é"}\n'.encode()
    kept = cut % len(whole[1])
    (folder / STARTS).write_bytes(whole[0] + whole[1][:kept])
    note_start(folder, resumed_step=9)

    steps = [entry["resumed_step"] for entry in starts(folder)]
    assert steps == ([None, 7, 9] if kept == len(whole[1]) - 1 else [None, 9])


def test_only_the_first_process_keeps_a_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setattr(logging.getLogger("asr"), "level", logging.NOTSET)
        with log_file(tmp_path / rank):
            logging.getLogger("asr.training").error("heard")
    assert "heard" in (tmp_path / "0" / "train.log").read_text()
    assert not (tmp_path / "1").exists()


def test_a_message_about_audio_is_logged_once_by_all_processes_that_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    audio = logging.getLogger("asr.audio")
    with caplog.at_level(logging.INFO), log_file(tmp_path):
        for rate in (8000, 8000, 44100):
            audio.info("audio at %d Hz is resampled", rate)
        if (child := os.fork()) == 0:
            audio.info("audio at %d Hz is resampled", 8000)
            audio.info("audio at %d Hz is resampled", 22050)
            os._exit(0)
        os.waitpid(child, 0)
        audio.info("audio at %d Hz is resampled", 22050)
    lines = (tmp_path / "train.log").read_text().splitlines()
    rates = [line.split(" at ")[1].split()[0] for line in lines]
    assert rates == ["8000", "44100", "22050"]
    audio.info("audio at %d Hz is resampled", 8000)  # of another run
    assert caplog.messages.count("audio at 8000 Hz is resampled") == 1


def test_readers_of_every_epoch_say_once_that_audio_is_resampled(
    micro: Config, quick: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    audio_file.log_once.cache_clear()
    features = dataclasses.replace(micro.features, sample_rate=7000, high_hz=3400.0)
    config = optim(dataclasses.replace(micro, features=features), epochs=2, workers=2)
    write_json_atomic(tmp_path / "settings.json", to_dict(config))
    with caplog.at_level(logging.INFO):
        run_training(TrainingOptions(tmp_path / "run", config=tmp_path / "settings.json"))
    log = (tmp_path / "run" / "train.log").read_text()
    assert log.count("audio at 8000 Hz is resampled to 7000 Hz") == 1
