"""What a run's folder tells: starts, samples of transcripts, and the whole read back."""

import json
import os
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asr.config import to_dict
from asr.errors import AsrError
from asr.files import write_json_atomic
from asr.training import Config, record
from asr.training.curves import draw_comparison, draw_curves
from asr.training.record import (
    SAMPLES,
    STARTS,
    read_lines,
    record_samples,
    record_start,
    record_transcripts,
)
from asr.training.story import differing_settings, find_runs, is_run, read_run

CPU = torch.device("cpu")


def start(folder: Path, resumed_step: int | None = None) -> None:
    record_start(folder, Config(name="tiny"), {"train.jsonl": "ab12"}, CPU, 2, resumed_step)


def starts(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / STARTS).read_text().splitlines()]


def metrics(epoch: int, cer: float, wer: float = 0.5, **more: float) -> dict[str, float]:
    return {
        "epoch": epoch,
        "train_loss": 9.0,
        "dev_loss": 8.0,
        "dev_wer": wer,
        "dev_cer": cer,
    } | more


def write_run(folder: Path, *history: dict[str, float], config: Config = Config()) -> Path:  # noqa: B008
    folder.mkdir(parents=True, exist_ok=True)
    write_json_atomic(folder / "config.json", to_dict(config))
    lines = "".join(json.dumps(entry) + "\n" for entry in history)
    (folder / "metrics.jsonl").write_text(lines)
    return folder


def test_a_start_tells_what_ran_on_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "asr", "train", "a b.json"])
    for name, value in (
        ("OMP_NUM_THREADS", "1"),
        ("CUDA_VISIBLE_DEVICES", "0,1"),
        ("TORCH_HUB_TOKEN", "hush"),
        ("MY_PASSWORD", "hush"),
        ("HOMPAGE", "hush"),
    ):
        monkeypatch.setenv(name, value)
    start(tmp_path)
    start(tmp_path, resumed_step=120)

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
    start(tmp_path)

    entry = starts(tmp_path)[0]
    assert str(entry["processor"]) in Path("/proc/cpuinfo").read_text()
    kibibytes = int(Path("/proc/meminfo").read_text().split()[1])
    assert isinstance(entry["memory_bytes"], int)
    assert entry["memory_bytes"] == pytest.approx(kibibytes * 1024, rel=0.01)


def test_a_system_that_tells_little_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise OSError

    monkeypatch.delattr(os, "sysconf", raising=False)
    monkeypatch.setattr(Path, "read_text", refuse)
    monkeypatch.setattr(record, "package_versions", dict)  # it reads files as well
    start(tmp_path)
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
    start(folder, resumed_step=9)

    steps = [entry["resumed_step"] for entry in starts(folder)]
    assert steps == ([None, 7, 9] if kept == len(whole[1]) - 1 else [None, 9])


def test_samples_are_the_same_few_at_every_epoch_and_spread_over_lengths(tmp_path: Path) -> None:
    references = {f"u{length:02}": "x" * length for length in range(15, 0, -1)}
    for epoch in (1, 2):
        record_samples(tmp_path, epoch, references, dict.fromkeys(references, f"é{epoch}"), 3)

    entries = [json.loads(line) for line in (tmp_path / SAMPLES).read_text("utf-8").splitlines()]
    assert [(entry["id"], entry["epoch"], entry["hypothesis"]) for entry in entries] == [
        (i, epoch, f"é{epoch}") for i in ("u01", "u08", "u15") for epoch in (1, 2)
    ]
    assert all(entry["reference"] == references[entry["id"]] for entry in entries)
    assert "é" in (tmp_path / SAMPLES).read_text("utf-8")  # to be read by eye


@pytest.mark.parametrize("utterances", [0, 1, 2, 8, 9])
def test_samples_of_few_utterances_are_distinct(tmp_path: Path, utterances: int) -> None:
    references = {f"u{number}": "same" for number in range(utterances)}
    record_samples(tmp_path, 1, references, references)

    entries, _ = read_lines(tmp_path / SAMPLES)
    assert len({entry["id"] for entry in entries}) == len(entries) == min(utterances, 8)


def test_an_epoch_gone_through_again_replaces_what_followed(tmp_path: Path) -> None:
    references = {"u": "ONE"}
    for epoch, heard in ((1, "a"), (2, "b"), (3, "c"), (2, "B")):
        record_samples(tmp_path, epoch, references, {"u": heard})

    entries, _ = read_lines(tmp_path / SAMPLES)
    assert [(entry["epoch"], entry["hypothesis"]) for entry in entries] == [(1, "a"), (2, "B")]


def test_samples_outlive_a_damaged_file_and_another_dev_set(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record_samples(tmp_path, 1, {"old": "ONE"}, {"old": "WON"})
    with (tmp_path / SAMPLES).open("ab") as file:
        file.write(b'\xff\xfe\n[]\n{"epoch": "x"}\n{"epo')
    record_samples(tmp_path, 2, {"new": "TWO"}, {"new": "TOO"})

    entries, unreadable = read_lines(tmp_path / SAMPLES)
    assert [(entry["id"], entry["epoch"]) for entry in entries] == [("new", 2), ("old", 1)]
    assert unreadable == []
    assert "damaged lines were dropped: [2, 3]" in caplog.text


def test_transcripts_of_the_newest_epoch_stand_beside_their_references(tmp_path: Path) -> None:
    record_transcripts(tmp_path, {"b": "TWO", "a": "ONE"}, {"b": "TOO", "a": "ONE"})

    assert (tmp_path / "dev_transcripts.txt").read_text() == (
        "a\n  reference  ONE\n  hypothesis ONE\nb\n  reference  TWO\n  hypothesis TOO\n"
    )


def test_a_run_reads_back(tmp_path: Path) -> None:
    folder = write_run(
        tmp_path / "mine",
        metrics(1, 0.2, 0.5, train_seconds=60.0, dev_seconds=6.0, audio_seconds=1800.0, skipped=1),
        metrics(2, 0.1, 0.4, train_seconds=54.0, dev_seconds=0.0, audio_seconds=1800.0, skipped=2),
        metrics(3, 0.1, 0.4, train_seconds=0.0, dev_seconds=0.0, audio_seconds=0.0, skipped=0),
    )
    start(folder)
    story = read_run(folder)

    assert (story.name, story.epochs, story.planned_epochs) == ("mine", 3, Config().optim.epochs)
    assert story.best is not None
    assert story.best["epoch"] == 3  # of two alike the later, as training ranks them
    assert (story.minutes, story.hours_of_audio, story.skipped) == (2.0, 1.0, 3)
    assert len(story.starts) == 1
    assert (story.finished, story.checkpoint, story.parameters) == (False, None, None)


@pytest.mark.parametrize(("epochs", "finished"), [(2, True), (1, False), (None, True)])
def test_a_run_is_finished_if_its_checkpoint_knows_every_epoch(
    tmp_path: Path, epochs: int | None, finished: bool
) -> None:
    folder = write_run(tmp_path / "run", metrics(1, 0.2), metrics(2, 0.1))
    (folder / "checkpoint").mkdir()
    noted = {} if epochs is None else {"epochs": epochs}
    write_json_atomic(folder / "checkpoint" / "metrics.json", noted)
    write_json_atomic(folder / "checkpoint" / "config.json", {"weights": {"parameters": 7}})
    story = read_run(folder)

    assert (story.finished, story.parameters) == (finished, 7)


def test_a_run_before_its_first_epoch_and_one_of_an_older_version_are_runs(tmp_path: Path) -> None:
    young = write_run(tmp_path / "young")
    write_json_atomic(young / "config.json", {"optim": 5})
    story = read_run(young)
    assert (story.epochs, story.best, story.last, story.minutes) == (0, None, None, 0)
    assert (story.planned_epochs, story.hours_of_audio, story.starts) == (None, None, ())

    old = write_run(tmp_path / "old", {"epoch": 1, "dev_wer": 0.3}, metrics(2, 0.2, skipped=1))
    story = read_run(old)
    assert story.best is not None
    assert (story.best["epoch"], story.skipped) == (2, None)


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    folder = write_run(tmp_path, metrics(1, 0.2))
    for name in ("metrics.jsonl", STARTS):
        with (folder / name).open("ab") as file:
            file.write('{"epoch": 2, "é'.encode()[:-1])

    assert read_run(folder).epochs == 1


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("metrics.jsonl", b"oops\n", "metrics.jsonl, line 1: expected a JSON object"),
        ("metrics.jsonl", b'{"epoch": 1}\n{"epoch": true}\n', "line 2: expected the metrics of"),
        (STARTS, b"{}\n\n{}\n", "starts.jsonl, line 2: expected a JSON object"),
        ("config.json", b"[]", "config.json: expected a JSON object, found []"),
        ("config.json", b"{", "config.json: not JSON"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes, complaint: str) -> None:
    folder = write_run(tmp_path, metrics(1, 0.2))
    (folder / name).write_bytes(content)

    with pytest.raises(AsrError) as error:
        read_run(folder)
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AsrError, match="expected the folder of a run"):
        read_run(tmp_path)
    write_json_atomic(tmp_path / "config.json", {})  # as a checkpoint has one
    assert not is_run(tmp_path)
    (tmp_path / "train.log").touch()
    assert is_run(tmp_path)
    assert read_run(tmp_path).epochs == 0


def test_runs_are_found_two_levels_down_and_not_inside_runs(tmp_path: Path) -> None:
    for name in ("b", "a/two", "a/one", "b/inner", "a/x/y"):
        write_run(tmp_path / name)

    found = [path.relative_to(tmp_path).as_posix() for path in find_runs(tmp_path)]
    assert found == ["a/one", "a/two", "b"]
    assert list(find_runs(tmp_path / "b")) == [tmp_path / "b"]
    with pytest.raises(AsrError, match="cannot list"):
        list(find_runs(tmp_path / "b" / "config.json"))


def test_only_settings_that_differ_are_told() -> None:
    one, other = to_dict(Config(seed=1)), to_dict(Config(seed=2))
    other["optim"]["epochs"] += 1
    other["gone"] = {"since": 3}
    del one["augment"]  # as before there was any; the other has today's defaults

    assert differing_settings([one, other]) == {
        "seed": [1, 2],
        "optim.epochs": [Config().optim.epochs, Config().optim.epochs + 1],
        "gone.since": [None, 3],
    }
    assert differing_settings([one]) == differing_settings([]) == {}


def lines_drawn(picture: Path) -> int:
    """Lines of data in an SVG: clipped paths; those of the grid have two points."""
    paths = picture.read_text().split("<path ")[1:]
    return sum("clip-path" in path and path.count(" L ") + path.count("\nL ") > 1 for path in paths)


@pytest.mark.parametrize("runs", [1, 12, 45])
def test_a_comparison_draws_each_run_in_each_panel(tmp_path: Path, runs: int) -> None:
    histories = {
        f"run {number}": [metrics(epoch, number / 100 / epoch) for epoch in range(1, 5)]
        for number in range(1, runs + 1)
    }
    draw_comparison(histories, tmp_path / "curves.svg")

    assert lines_drawn(tmp_path / "curves.svg") == 4 * runs


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "history",
    [
        [{"epoch": 1.0}],
        [metrics(1, 0.0, 0.0), metrics(2, 0.0, 0.0)],
        [metrics(1, float("nan")), metrics(2, float("inf"))],
    ],
    ids=["nothing but its number", "no errors at all", "not finite"],
)
def test_curves_stand_what_a_history_may_hold(
    tmp_path: Path, history: list[dict[str, float]]
) -> None:
    draw_curves(history, tmp_path / "curves.png")
    draw_comparison({"one": history, "none": []}, tmp_path / "comparison.png")

    for name in ("curves.png", "comparison.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
