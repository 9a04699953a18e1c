"""The command line of a recipe: `python -m recipes.NAME.train -o runs/NAME`."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from asr.errors import AsrError, ConfigError
from asr.printing import log_to_stderr, printable
from asr.training.config import Config
from asr.training.launch import run_training
from asr.training.options import Option, TrainingOptions, training_options


def main(config: Config, arguments: Sequence[str] | None = None) -> None:
    """Train a recipe as its command line says.

    The flags are those of `asr train`, without `--config`; hyphens and underscores in them are the
    same. Exits with 1 on an error in data or files, 2 on wrong usage or a wrong setting.
    """
    log_to_stderr()
    try:
        run_training(parse_options(config.name, arguments), base=config)
    except AsrError as error:
        print(printable(f"error: {error}"), file=sys.stderr)
        sys.exit(2 if isinstance(error, ConfigError) else 1)


def parse_options(recipe: str, arguments: Sequence[str] | None = None) -> TrainingOptions:
    """The options of a command line, by default this process's. Exits with 2 on wrong usage."""
    parser = argparse.ArgumentParser(description=f"Train the recipe {recipe}.", allow_abbrev=False)
    for option in training_options():
        if option.flag.of_recipes:
            default = Path("runs") / recipe if option.required else option.default
            parser.add_argument(*option.flag.names, **_argument(option, default))
    given = sys.argv[1:] if arguments is None else arguments
    parsed = parser.parse_args([_with_underscores(argument) for argument in given])
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in vars(parsed).items()
    }
    return TrainingOptions(**values)


def _argument(option: Option, default: Any) -> dict[str, Any]:
    """What `add_argument` is told of an option."""
    about = {"dest": option.name, "help": option.flag.help.replace("%", "%%"), "default": default}
    if option.kind is bool:
        return {**about, "action": "store_true"}
    if option.repeatable:
        return {**about, "action": "append", "metavar": option.flag.metavar, "default": []}
    return {**about, "type": _checked(option), "metavar": option.flag.metavar}


def _checked(option: Option) -> Callable[[str], Any]:
    """A function that converts the text of an option, and checks its limits."""
    low, high = option.flag.minimum, option.flag.maximum

    def convert(text: str) -> Any:
        value = option.kind(text)
        if (low is not None and value < low) or (high is not None and value > high):
            limits = f"at least {low}" if high is None else f"{low} to {high}"
            raise argparse.ArgumentTypeError(f"expected {limits}, found {value}")
        return value

    convert.__name__ = option.kind.__name__  # argparse names it when the conversion fails
    return convert


def _with_underscores(argument: str) -> str:
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return "--" + name[2:].replace("-", "_") + equals + value
