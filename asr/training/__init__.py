"""Training a model: manifests and a `Config` come in, a run's folder with a checkpoint comes out.

A recipe is a `Config` and `main(CONFIG)`; `asr train` takes its settings from files and flags.
Programs that train several models call `train_unless_finished` for each. What is listed here is
imported when it is first used, because torch is slow to import.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asr.printing import log_to_stderr
    from asr.training.config import Config, DataConfig, OptimConfig, TextConfig
    from asr.training.launch import train_unless_finished
    from asr.training.recipe_command import main

__all__ = [
    "Config",
    "DataConfig",
    "OptimConfig",
    "TextConfig",
    "log_to_stderr",
    "main",
    "train_unless_finished",
]


def __getattr__(name: str) -> Any:
    if name in ("Config", "DataConfig", "OptimConfig", "TextConfig"):
        from asr.training import config

        return getattr(config, name)
    if name == "log_to_stderr":
        from asr.printing import log_to_stderr

        return log_to_stderr
    if name == "main":
        from asr.training.recipe_command import main

        return main
    if name == "train_unless_finished":
        from asr.training.launch import train_unless_finished

        return train_unless_finished
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
