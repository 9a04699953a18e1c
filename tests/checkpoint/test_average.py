"""The mean of checkpoints."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import asr
from asr.checkpoint.average import average_checkpoints, average_weights
from asr.checkpoint.checkpoint import CARD, WEIGHTS, load_checkpoint, save_checkpoint
from asr.decode.priors import LOG_PRIORS
from asr.errors import CheckpointError
from tests.support import Command, Tones
from tests.training_support import same


def changed(checkpoint: Path, folder: Path, **changes: Any) -> Path:
    """A checkpoint like another but for what `changes` says, its weights moved a little."""
    loaded = load_checkpoint(checkpoint)
    generator = torch.Generator().manual_seed(1)
    weights = {
        name: tensor + 0.01 * torch.randn(tensor.shape, generator=generator)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in loaded.weights.items()
    }
    common = {name: loaded.config[name] for name in ("features", "encoder", "tokens", "training")}
    settings = common | {"weights": weights, "metrics": {}, "recipe": "another", "seed": 7}
    save_checkpoint(folder, **(settings | {"dtype": torch.float16} | changes))
    return folder


def test_the_mean_of_weights() -> None:
    states = [
        {"w": torch.tensor([1.0, 4.0]), "count": torch.tensor(3)},
        {"w": torch.tensor([3.0, 8.0]), "count": torch.tensor(5)},
    ]
    mean = average_weights(states)
    assert mean["w"].tolist() == [2.0, 6.0]
    assert mean["count"].item() == 3
    assert same(average_weights(states[:1]), states[0])


def test_the_mean_of_two_checkpoints_is_a_checkpoint(
    tones: Tones, tmp_path: Path, asr_command: Command
) -> None:
    one, mean = load_checkpoint(tones.checkpoint), tmp_path / "mean"
    training = one.config["training"] | {"licence": "CC0"}
    other = changed(tones.checkpoint, tmp_path / "other", training=training)
    outcome = asr_command("average", tones.checkpoint, other, "-o", mean)
    assert (outcome.code, outcome.stderr) == (0, "")
    assert outcome.stdout == f"checkpoint written to {mean}\n"
    made, second = load_checkpoint(mean), load_checkpoint(other)
    for name, tensor in made.weights.items():
        between = (one.weights[name] + second.weights[name]) / 2
        assert torch.allclose(tensor, between, atol=1e-3, rtol=1e-3), name
    assert made.config["training"]["mean_of"] == {
        str(tones.checkpoint): one.config["files"][WEIGHTS]["sha256"],
        str(other): second.config["files"][WEIGHTS]["sha256"],
    }
    assert (made.config["recipe"], made.config["seed"]) == ("another", 7)
    assert made.config["weights"]["dtype"] == "float16"
    assert made.metrics["training_seconds"] == one.metrics["training_seconds"]  # other says none
    assert "CC0" in (mean / CARD).read_text()
    asr.load(mean).transcribe(torch.zeros(16000), 16000)


def test_label_priors_are_averaged_where_all_have_some(tones: Tones, tmp_path: Path) -> None:
    count = len(load_checkpoint(tones.checkpoint).tokens)
    unsure, sure = [1 / count] * count, [0.8] + [0.2 / (count - 1)] * (count - 1)
    one, two = (
        changed(parent, tmp_path / name, metrics={LOG_PRIORS: [math.log(p) for p in priors]})
        for parent, name, priors in (
            (tones.checkpoint, "one", unsure),
            (tmp_path / "one", "two", sure),
        )
    )
    average_checkpoints([one, two], tmp_path / "mean")
    found = load_checkpoint(tmp_path / "mean").metrics[LOG_PRIORS]
    expected = [math.log((p + q) / 2) for p, q in zip(unsure, sure, strict=True)]
    assert found == pytest.approx(expected, abs=0.005)
    average_checkpoints([two, changed(two, tmp_path / "three")], tmp_path / "none")
    assert LOG_PRIORS not in load_checkpoint(tmp_path / "none").metrics


def test_what_is_no_model_of_the_same_kind_is_refused(tones: Tones, tmp_path: Path) -> None:
    config = load_checkpoint(tones.checkpoint).config
    first, mean = tones.checkpoint, tmp_path / "mean"
    others = {
        "it differs from .* in features.normalise; only": {
            "features": config["features"] | {"normalise": "x"}
        },
        "it differs from .* in encoder.subsampling; only": {
            "encoder": config["encoder"] | {"subsampling": 9}
        },
        "it differs from .* in tokens; only": {"tokens": [*config["tokens"][:-1], "~"]},
        "it differs from .* in units; only": {"units": "graphemes"},
        "do not describe the same model": {"weights": {"w": torch.zeros(1)}},
    }
    for place, (message, changes) in enumerate(others.items()):
        other = changed(first, tmp_path / str(place), **changes)
        with pytest.raises(CheckpointError, match=f"^{re.escape(str(other))}: .*{message}"):
            average_checkpoints([first, other], mean)
    with pytest.raises(CheckpointError, match="that differ, found the weights of"):
        average_checkpoints([first, first], mean)
    assert not mean.exists()


def test_the_mean_has_the_units_of_its_parts(tones: Tones, tmp_path: Path) -> None:
    one = changed(tones.checkpoint, tmp_path / "one", units="graphemes")
    two = changed(one, tmp_path / "two", units="graphemes")
    average_checkpoints([one, two], tmp_path / "mean")
    assert load_checkpoint(tmp_path / "mean").tokens.units == "graphemes"


def test_dropout_may_differ(tones: Tones, tmp_path: Path) -> None:
    encoder = load_checkpoint(tones.checkpoint).config["encoder"] | {"dropout": 0.4}
    other = changed(tones.checkpoint, tmp_path / "other", encoder=encoder)
    average_checkpoints([tones.checkpoint, other], tmp_path / "mean")
    assert load_checkpoint(tmp_path / "mean").config["encoder"]["dropout"] == 0.4


def test_a_setting_that_an_older_checkpoint_lacks_has_its_default(
    tones: Tones, tmp_path: Path
) -> None:
    config = load_checkpoint(tones.checkpoint).config
    older = {
        "encoder": {k: v for k, v in config["encoder"].items() if k != "bidirectional"},
        "features": {k: v for k, v in config["features"].items() if k != "stack"},
    }
    other = changed(tones.checkpoint, tmp_path / "other", **older)
    average_checkpoints([tones.checkpoint, other], tmp_path / "mean")
    changes = {"encoder": config["encoder"] | {"bidirectional": False}}
    one_way = changed(tones.checkpoint, tmp_path / "one_way", **changes)
    with pytest.raises(CheckpointError, match=r"in encoder\.bidirectional; only"):
        average_checkpoints([other, one_way], tmp_path / "mean")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metrics": {"training_seconds": "5 h"}}, "training_seconds as a number .*'5 h'"),
        ({"metrics": {"training_seconds": [1]}}, r"training_seconds as a number .*\[1\]"),
        ({"metrics": {"training_seconds": -1}}, "training_seconds as a number"),
        ({"training": {"licence": {"a": 1}}}, "licence of its training data as text"),
        ({"training": {"licence": 5}}, "licence of its training data as text, found 5"),
    ],
)
def test_odd_metrics_are_one_message(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    for name, more in (("a", {}), ("b", settings)):
        given: dict[str, Any] = {
            "features": {},
            "encoder": {},
            "tokens": ["A"],
            "weights": {"w": torch.ones(2) * len(more)},
            "metrics": {"training_seconds": None},
            "recipe": "small",
            "seed": 1,
            "training": {"licence": ["CC0", "MIT"]},
        }
        save_checkpoint(tmp_path / name, **(given | more))
    with pytest.raises(CheckpointError, match=f"b: expected .*{message}"):
        average_checkpoints([tmp_path / "a", tmp_path / "b"], tmp_path / "mean")
