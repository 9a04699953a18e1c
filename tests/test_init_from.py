"""A run that starts from the weights of a checkpoint."""

import dataclasses
import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from asr.checkpoint.bundle import load_bundle
from asr.errors import ConfigError
from asr.training import Config, loop, setup
from asr.training.distributed import Group
from tests.training_support import CPU, edited, optim, same

pytest_plugins = ["tests.training_fixtures"]
pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(scope="module")
def finished(micro: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    return loop.train(optim(micro, epochs=1, average=1), folder / "run", CPU)


def test_a_run_starts_from_the_weights_of_a_checkpoint(
    micro: Config, finished: Path, tmp_path: Path
) -> None:
    micro = dataclasses.replace(micro, init_from=str(finished))
    run, _ = setup.prepare(micro, tmp_path / "run", CPU, Group(), resume=False)
    assert same(dict(run.model.state_dict()), load_bundle(finished).weights)


def test_with_other_tokens_the_output_layer_starts_anew(
    micro: Config, finished: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def lower(entries: list[dict[str, Any]]) -> None:
        for entry in entries:
            entry["text"] = entry["text"].lower()

    for split in ("train", "dev"):
        micro = edited(micro, tmp_path, lower, split)
    micro = dataclasses.replace(micro, init_from=str(finished))
    with caplog.at_level(logging.INFO, "asr.training"):
        run, _ = setup.prepare(micro, tmp_path / "run", CPU, Group(), resume=False)
    weights, old = run.model.state_dict(), load_bundle(finished).weights
    kept = {name for name in weights if torch.equal(weights[name], old[name])}
    assert set(weights) - kept == {"output.weight", "output.bias"}
    assert "the output layer starts anew" in caplog.text


def test_a_setting_that_an_older_checkpoint_lacks_is_as_it_was(
    micro: Config, finished: Path, tmp_path: Path
) -> None:
    bundle = load_bundle(finished)
    del bundle.config["encoder"]["early_predictions"]
    micro = dataclasses.replace(micro, init_from=str(finished))
    run, _ = setup.prepare(micro, tmp_path / "run", CPU, Group(), resume=False)
    setup.start_from(bundle, micro, run.model, run.tokens)


def test_a_checkpoint_of_another_shape_is_refused_by_setting(
    micro: Config, finished: Path, tmp_path: Path
) -> None:
    encoder = dataclasses.replace(micro.encoder, hidden=9)
    micro = dataclasses.replace(micro, encoder=encoder, init_from=str(finished))
    with pytest.raises(ConfigError, match=r"encoder differ from this run's in hidden"):
        setup.prepare(micro, tmp_path / "run", CPU, Group(), resume=False)


def test_validating_on_what_is_trained_on_is_said(
    micro: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = dataclasses.replace(micro.data, dev=micro.data.train[0])
    with caplog.at_level(logging.WARNING, "asr.training"):
        setup.prepare(
            dataclasses.replace(micro, data=data), tmp_path / "run", CPU, Group(), resume=False
        )
    assert "12 of the 12 validation recordings are also trained on" in caplog.text
