"""The command line of a recipe: the flags of `asr train`, without typer."""

import subprocess
import sys
from pathlib import Path

import pytest

from asr.checkpoint.checkpoint import load_checkpoint
from asr.errors import AsrError, ConfigError
from asr.training import Config, launch, main, recipe_command
from asr.training.options import LARGEST_SEED, TrainingOptions, training_options
from asr.training.recipe_command import parse_options
from tests.support import REPOSITORY

pytest_plugins = ["tests.training_fixtures"]


def test_a_recipe_trains_and_refuses_to_overwrite_its_run(
    micro: Config, quick: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["-o", str(tmp_path / "run"), "--seed", "5", "--set", "optim.epochs=1"]
    main(micro, [*arguments, "--threads", "1"])
    assert load_checkpoint(tmp_path / "run" / "checkpoint").config["seed"] == 5
    with pytest.raises(SystemExit) as exit_:
        main(micro, arguments)
    assert exit_.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_every_flag_is_understood() -> None:
    options = parse_options(
        "digits",
        [
            *("--train", "a.jsonl", "--train", "b.jsonl", "--dev", "c.jsonl", "--seed", "7"),
            *("--set", "optim.epochs=1", "--set", "encoder.hidden=-3", "--init_from", "old"),
            *("--resume", "--accept_changed_data", "--find_batch"),
            *("--device", "cuda:1", "--threads", "2"),
        ],
    )
    assert options == TrainingOptions(
        output_dir=Path("runs/digits"),
        train=("a.jsonl", "b.jsonl"),
        dev="c.jsonl",
        settings=("optim.epochs=1", "encoder.hidden=-3"),
        seed=7,
        init_from=Path("old"),
        resume=True,
        accept_changed_data=True,
        find_batch=True,
        device="cuda:1",
        threads=2,
    )


def test_without_arguments_the_recipe_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py"])
    assert parse_options("digits") == TrainingOptions(output_dir=Path("runs/digits"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--init-from", "a-b", "--accept-changed-data", "--output-dir", "c-d"],
        ["--init_from=a-b", "--accept_changed_data", "--output_dir=c-d"],
    ],
)
def test_hyphens_and_underscores_in_flags_are_the_same(arguments: list[str]) -> None:
    options = parse_options("digits", arguments)
    assert (options.init_from, options.output_dir) == (Path("a-b"), Path("c-d"))
    assert options.accept_changed_data


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seed", "-1"], f"argument --seed: expected 0 to {LARGEST_SEED}, found -1"),
        (["--seed", str(2**63)], f"expected 0 to {LARGEST_SEED}, found {2**63}"),
        (["--seed", "one"], "argument --seed: invalid int value: 'one'"),
        (["--threads", "-2"], "argument --threads: expected at least 0, found -2"),
        (["--res"], "unrecognized arguments: --res"),
        (["--config", "c.json"], "unrecognized arguments: --config c.json"),
    ],
)
def test_wrong_usage_exits_with_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as exit_:
        parse_options("digits", arguments)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("error", "code"), [(ConfigError("wrong"), 2), (AsrError("torn"), 1)])
def test_a_wrong_setting_exits_with_2_and_any_other_error_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: AsrError, code: int
) -> None:
    def fail(options: TrainingOptions, base: Config) -> None:
        raise error

    monkeypatch.setattr(recipe_command, "run_training", fail)
    with pytest.raises(SystemExit) as exit_:
        main(Config(), [])
    assert exit_.value.code == code
    assert capsys.readouterr().err == f"error: {error}\n"


def test_a_recipe_is_trained_without_typer() -> None:
    code = "import recipes.tones.train, asr.training.launch, sys; assert 'typer' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)


def test_manifests_and_settings_of_the_command_line_replace_those_of_the_recipe() -> None:
    options = parse_options(
        "digits", ["--train", "mine.jsonl", "--dev", "held_out.jsonl", "--set", "data.dev=last"]
    )
    config = launch.gather_settings(options, Config(name="digits"))
    assert config.data.train == ("mine.jsonl",)
    assert config.data.dev == "last"
    assert config.name == "digits"


def test_help_names_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        parse_options("digits", ["--help"])
    assert not exit_.value.code
    text = capsys.readouterr().out
    for option in training_options():
        assert all(name in text for name in option.flag.names) == option.flag.of_recipes
