"""Training a model: settings, the loop, its schedule, and the state to resume from."""

from asr.training.config import Config, DataConfig, OptimConfig
from asr.training.run import main

__all__ = ["Config", "DataConfig", "OptimConfig", "main"]
