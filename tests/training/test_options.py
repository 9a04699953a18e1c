"""The one list of training options: what the command line and recipes derive their flags from."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import typer
from typer.main import get_command

from asr.cli.train import train
from asr.training.options import TrainingOptions, training_options
from tests.support import REPOSITORY


def test_every_field_is_an_option_of_its_type() -> None:
    options = {option.name: option for option in training_options()}
    assert list(options) == [field.name for field in dataclasses.fields(TrainingOptions)]
    assert {name for name, option in options.items() if option.required} == {"output_dir"}
    assert {name for name, option in options.items() if option.repeatable} == {"train", "settings"}
    assert {name for name, option in options.items() if option.kind is bool} == {
        "resume",
        "finish",
        "accept_changed_data",
        "find_batch",
    }
    assert (options["init_from"].kind, options["seed"].kind) == (Path, int)
    assert options["device"].default == "cpu"


def test_flags_are_distinct_and_explained() -> None:
    flags = [option.flag for option in training_options()]
    names = [name for flag in flags for name in flag.names]
    assert len(set(names)) == len(names)
    assert all(flag.help.endswith((".", "…")) for flag in flags)


def test_the_train_command_has_every_option() -> None:
    app = typer.Typer()
    app.command()(train)
    parameters = {parameter.name: parameter for parameter in get_command(app).params}
    for option in training_options():
        parameter = parameters[option.name]
        assert set(option.flag.names) <= set(parameter.opts)
        assert parameter.required == option.required


def test_the_list_is_read_without_torch() -> None:
    code = "import asr.training.options, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)
