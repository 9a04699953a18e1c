"""A run's folder read back, and the settings in which runs differ."""

from pathlib import Path

import pytest

from asr.checkpoint.run_folder import STARTS, is_run
from asr.config import to_dict
from asr.errors import AsrError
from asr.files import write_json_atomic
from asr.training import Config
from asr.training.run_folder import differing_settings, find_runs, read_run
from tests.training_support import metrics, note_start, write_run


def test_a_run_reads_back(tmp_path: Path) -> None:
    folder = write_run(
        tmp_path / "mine",
        metrics(1, 0.2, 0.5, train_seconds=60.0, dev_seconds=6.0, audio_seconds=1800.0, skipped=1),
        metrics(2, 0.1, 0.4, train_seconds=54.0, dev_seconds=0.0, audio_seconds=1800.0, skipped=2),
        metrics(3, 0.1, 0.4, train_seconds=0.0, dev_seconds=0.0, audio_seconds=0.0, skipped=0),
    )
    note_start(folder)
    summary = read_run(folder)

    assert (summary.name, summary.epochs, summary.planned_epochs) == (
        "mine",
        3,
        Config().optim.epochs,
    )
    assert summary.best is not None
    assert summary.best["epoch"] == 3  # of two alike the later, as training ranks them
    assert (summary.minutes, summary.hours_of_audio, summary.skipped) == (2.0, 1.0, 3)
    assert len(summary.starts) == 1
    assert (summary.finished, summary.checkpoint, summary.parameters) == (False, None, None)


@pytest.mark.parametrize(("epochs", "finished"), [(2, True), (1, False), (None, True)])
def test_a_run_is_finished_if_its_checkpoint_knows_every_epoch(
    tmp_path: Path, epochs: int | None, finished: bool
) -> None:
    folder = write_run(tmp_path / "run", metrics(1, 0.2), metrics(2, 0.1))
    (folder / "checkpoint").mkdir()
    noted = {} if epochs is None else {"epochs": epochs}
    write_json_atomic(folder / "checkpoint" / "metrics.json", noted)
    write_json_atomic(folder / "checkpoint" / "config.json", {"weights": {"parameters": 7}})
    summary = read_run(folder)

    assert (summary.finished, summary.parameters) == (finished, 7)


def test_a_run_before_its_first_epoch_and_one_of_an_older_version_are_runs(tmp_path: Path) -> None:
    young = write_run(tmp_path / "young")
    write_json_atomic(young / "config.json", {"optim": 5})
    summary = read_run(young)
    assert (summary.epochs, summary.best, summary.last, summary.minutes) == (0, None, None, 0)
    assert (summary.planned_epochs, summary.hours_of_audio, summary.starts) == (None, None, ())

    old = write_run(tmp_path / "old", {"epoch": 1, "dev_wer": 0.3}, metrics(2, 0.2, skipped=1))
    summary = read_run(old)
    assert summary.best is not None
    assert (summary.best["epoch"], summary.skipped) == (2, None)


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
    with pytest.raises(AsrError, match=r"cannot list \(File name too long"):
        list(find_runs(tmp_path / ("x" * 300)))


def test_only_differing_settings_are_listed() -> None:
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
