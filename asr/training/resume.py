"""Going on with a run: is it still the same run?"""

import logging
from collections.abc import Mapping
from typing import Any

from asr.config import differences, from_dict, to_dict
from asr.errors import CheckpointError, ManifestError
from asr.training.config import Config

_PLAN = ("seed", "data.shard_window", "optim.batch_seconds", "augment.speeds")
"""Settings that decide which utterances stand in which batch."""

_log = logging.getLogger("asr.training")


def check_resumable(
    state: Mapping[str, Any],
    config: Config,
    manifests: Mapping[str, str],
    world_size: int,
    accept_changed_data: bool,
) -> bool:
    """Whether an interrupted epoch can go on where it stood; if not, it has to begin anew.

    `manifests` gives the digest of each manifest by its path. Every difference between the run
    and its state is said. Raises CheckpointError if the model is another one, and ManifestError if
    the data has changed and nobody said that it may.
    """
    # A setting that there was not when the state was saved stood where its default stands.
    saved = to_dict(from_dict(Config, state["config"], "the state's settings"))
    changed = differences(saved, to_dict(config))
    of_the_model = [name for name in changed if name.startswith(("features.", "encoder."))]
    if of_the_model:
        raise CheckpointError(
            f"cannot resume with another model: {', '.join(of_the_model)} differ from the run's "
            "own settings; leave them, or start anew in another folder"
        )
    same_plan = not any(name in changed for name in _PLAN)
    for name, (before, now) in changed.items():
        if not name.startswith("data."):
            _log.info("resuming with %s = %s, before %s", name, now, before)
    if list(state["manifests"].values()) != list(manifests.values()):
        _check_data(state["manifests"], manifests, accept_changed_data)
        same_plan = False
    if state["world_size"] != world_size:
        _log.info(
            "resuming on %d processes, before on %d: the batches stay the same, sums differ in "
            "their last digits",
            *(world_size, state["world_size"]),
        )
    return same_plan


def say_kept(config: Config, recipe: Config) -> None:
    """A recipe may have been edited since its run began, which goes on as it began."""
    for name, (kept, other) in differences(to_dict(config), to_dict(recipe)).items():
        _log.info("keeping %s = %s as the run began; its recipe now has %s", name, kept, other)


def _check_data(before: Mapping[str, str], now: Mapping[str, str], accepted: bool) -> None:
    known = set(before.values())
    changed = [path for path, digest in now.items() if digest not in known] or list(now)
    what = (
        f"{', '.join(changed)}: not the data that this run has learnt from (the manifests' SHA-256 "
        "differ)"
    )
    if not accepted:
        raise ManifestError(
            f"{what}; put the former manifests back, or say --accept_changed_data to go on with "
            "the present ones"
        )
    _log.warning("%s: going on with it, as asked", what)
