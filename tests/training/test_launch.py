"""Settings from files and options, and runs started, resumed or left alone."""

import json
from pathlib import Path

import pytest

from asr.config import to_dict
from asr.files import write_json_atomic
from asr.training import Config, launch
from asr.training.launch import train_unless_finished
from tests.support import Command
from tests.training_support import after_step, assert_same_run, press_ctrl_c

pytest_plugins = ["tests.training_fixtures"]
pytestmark = pytest.mark.usefixtures("quick")


def test_train_unless_finished_starts_resumes_or_leaves_a_run(
    micro: Config, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        after_step(patch, 5, press_ctrl_c)
        with pytest.raises(SystemExit):
            train_unless_finished(folder, micro)
    assert train_unless_finished(folder, micro) == folder / "checkpoint"
    assert_same_run(folder, whole)
    monkeypatch.setattr(launch, "train", None)  # to call it would be an error
    assert train_unless_finished(folder, micro) == folder / "checkpoint"


BAD_SETTINGS: dict[str, tuple[tuple[str, ...], str]] = {
    "unknown key": (("--set", "encoder.hiden=3"), "unknown key 'hiden'; did you mean 'hidden'?"),
    "unknown section": (("--set", "encodr.hidden=3"), "no section 'encodr'; did you mean"),
    "no value": (("--set", "encoder.hidden"), "expected KEY=VALUE"),
    "wrong type": (("--set", "encoder.hidden=big"), "expected int, found 'big'"),
    "out of range": (("--set", "encoder.dropout=1.5"), "expected 0 to below 1, found 1.5"),
    "no epochs": (("--set", "optim.epochs=0"), "must be above 0"),
    "another choice": (("--set", "encoder.cell=lstn"), "expected one of 'lstm', 'lstm_peephole'"),
    "unknown device": (("--device", "tpu9"), "--device tpu9: not available here"),
    "missing manifest": (("--train", "gone.jsonl"), "gone.jsonl: cannot read the manifest"),
    "nothing to resume": (("--resume",), "nothing to resume"),
}
UNUSABLE_DATA = ("missing manifest",)
"""Cases that are no fault of a value: they exit with 1."""


@pytest.mark.parametrize("case", BAD_SETTINGS)
def test_bad_settings_are_one_message(
    micro: Config, tmp_path: Path, asr_command: Command, case: str
) -> None:
    arguments, message = BAD_SETTINGS[case]
    write_json_atomic(tmp_path / "config.json", to_dict(micro))
    config_file = tmp_path / "config.json"
    outcome = asr_command("train", "-o", tmp_path / "run", "--config", config_file, *arguments)
    assert message in (outcome.error if case in UNUSABLE_DATA else outcome.usage_error)


def test_data_must_be_named(tmp_path: Path, asr_command: Command) -> None:
    outcome = asr_command("train", "-o", tmp_path / "run")
    assert "expected at least one --train manifest and a --dev manifest" in outcome.usage_error


def test_manifests_may_be_set_like_any_setting(
    micro: Config, tmp_path: Path, asr_command: Command
) -> None:
    train = json.dumps(list(micro.data.train))
    outcome = asr_command(
        *("train", "-o", tmp_path / "run", "--set", f"data.train={train}"),
        *("--set", "data.dev=gone.jsonl"),
    )
    assert "gone.jsonl: cannot read the manifest" in outcome.error


@pytest.mark.parametrize("content", [None, "{", "[]", '{"sede": 1}', '{"seed": "one"}'])
def test_a_bad_settings_file_is_one_message(
    tmp_path: Path, asr_command: Command, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "settings.json").write_text(content)
    outcome = asr_command("train", "-o", tmp_path, "--config", tmp_path / "settings.json")
    assert outcome.usage_error.startswith(str(tmp_path / "settings.json"))


def test_a_run_is_not_overwritten(micro: Config, whole: Path, asr_command: Command) -> None:
    before = {path: path.read_bytes() for path in whole.rglob("*.*") if path.name != "train.log"}
    settings = whole / "config.json"
    outcome = asr_command("train", "-o", whole, "--config", settings)
    assert (
        "already holds a run; add --resume to continue it, or choose another folder"
        in outcome.usage_error
    )
    for path, content in before.items():
        if path.is_file():
            assert path.read_bytes() == content


def test_a_file_in_place_of_the_run_is_one_message(
    micro: Config, tmp_path: Path, asr_command: Command
) -> None:
    (tmp_path / "run").write_text("")
    write_json_atomic(tmp_path / "config.json", to_dict(micro))
    outcome = asr_command("train", "-o", tmp_path / "run", "--config", tmp_path / "config.json")
    assert outcome.error.startswith(str(tmp_path / "run"))
