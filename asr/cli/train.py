"""`asr train`: a model from manifests. Its flags are those of `asr.training.options`."""

import inspect
from typing import Annotated, Any

import typer

from asr.training.options import Option, TrainingOptions, training_options


def train(**arguments: Any) -> None:
    """Train a recogniser; the run's folder gets logs, curves and, at the end, a checkpoint."""
    from asr.training.launch import run_training

    for option in training_options():
        if option.repeatable:
            arguments[option.name] = tuple(arguments[option.name] or ())
    run_training(TrainingOptions(**arguments))


def _parameter(option: Option) -> inspect.Parameter:
    """A parameter from which typer makes the flag of an option."""
    flag, kind, default = option.flag, option.kind, option.default
    annotation: Any = kind
    if option.repeatable:
        annotation, default = list[kind] | None, None  # type: ignore[valid-type]
    elif default is None and not option.required:
        annotation = kind | None
    described = typer.Option(
        *flag.names, help=flag.help, metavar=flag.metavar, min=flag.minimum, max=flag.maximum
    )
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if option.required else default,
        annotation=Annotated[annotation, described],
    )


train.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [_parameter(option) for option in training_options()]
)
