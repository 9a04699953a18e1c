"""The acoustic model: an utterance gives the same emissions alone and in any batch."""

import copy
import dataclasses
import itertools
import math
from typing import Any, cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from asr.errors import ConfigError
from asr.model.acoustic import (
    LARGEST_SIZE,
    MOST_LAYERS,
    AcousticModel,
    EncoderConfig,
    IntermediateOutputs,
    model_with_weights,
)
from asr.model.cells import CELLS
from asr.model.loss import ctc_loss
from asr.model.norms import NORMS, FrameBatchNorm, length_mask

FEATURES, TOKENS = 10, 5
FRONT_ENDS = [(0, 1), (3, 1), (3, 2), (3, 3), (3, 4)]
"""Convolution channels and subsampling."""

CONFIGS = [
    EncoderConfig(
        cell=cast(Any, cell),
        layers=2,
        hidden=6,
        projection=7,
        convolution_channels=channels,
        subsampling=cast(Any, subsampling),
        norm=cast(Any, norm),
        clockwork_modules=3,
        scrn_context=2,
    )
    for cell, norm, (channels, subsampling) in (
        *itertools.product(("lstm",), sorted(NORMS), FRONT_ENDS),
        *itertools.product(sorted({*CELLS} - {"lstm"}), ("layer",), FRONT_ENDS[1:4:2]),
    )
]
CONFIGS += [dataclasses.replace(config, bidirectional=False) for config in CONFIGS[::4]]
CONFIGS.append(
    EncoderConfig(
        layers=3, hidden=6, projection=7, convolution_channels=3, early_predictions=(1, 2)
    )
)
SMALL = EncoderConfig(layers=2, hidden=6, projection=7, convolution_channels=3)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def model_of(config: EncoderConfig) -> AcousticModel:
    """A model in use, whose batch norms have seen something."""
    torch.manual_seed(1)
    model = AcousticModel(config, FEATURES, TOKENS)
    for module in model.modules():
        if isinstance(module, FrameBatchNorm):
            module.norm.running_mean = noise(module.norm.num_features)
            module.norm.running_var = 0.5 + noise(module.norm.num_features).square()
    return model.eval()


MODELS = {config: model_of(config) for config in CONFIGS}


def name_of(config: EncoderConfig) -> str:
    kind = f"{config.cell}-{config.norm}-{config.convolution_channels}/{config.subsampling}"
    return kind + "-early" * bool(config.early_predictions) + "-one" * (not config.bidirectional)


@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
@given(
    lengths=st.lists(st.one_of(st.just(1), st.integers(1, 30)), min_size=2, max_size=4),
    spare=st.integers(0, 5),
    garbage=st.sampled_from([0.0, 1e4, math.inf, math.nan]),
)
@settings(max_examples=5)
def test_batch_does_not_change_an_utterance(
    config: EncoderConfig, lengths: list[int], spare: int, garbage: float
) -> None:
    model = MODELS[config]
    utterances = [noise(length, FEATURES, seed=i) for i, length in enumerate(lengths)]
    batch = torch.full((len(lengths), max(lengths) + spare, FEATURES), garbage)
    for row, utterance in zip(batch, utterances, strict=True):
        row[: len(utterance)] = utterance

    with torch.inference_mode():
        together, frames = model(batch, torch.tensor(lengths))
        for i, utterance in enumerate(utterances):
            alone, (count,) = model(utterance[None], torch.tensor([len(utterance)]))
            assert count == frames[i] == alone.shape[1]
            torch.testing.assert_close(together[i, :count], alone[0], atol=1e-5, rtol=0)


@given(st.sampled_from(CONFIGS), st.integers(1, 50))
def test_lengths_are_as_foretold(config: EncoderConfig, frames: int) -> None:
    model = MODELS[config]
    lengths = torch.tensor([frames])

    with torch.inference_mode():
        log_probs, counts = model(noise(1, frames, FEATURES), lengths)

    assert counts.tolist() == model.output_lengths(lengths).tolist()
    assert counts.tolist() == [-(-frames // config.subsampling)]
    assert log_probs.shape == (1, int(counts), TOKENS)
    assert not counts.is_floating_point()


@pytest.mark.parametrize("config", CONFIGS[::7], ids=name_of)
def test_emissions_are_log_probabilities(config: EncoderConfig) -> None:
    log_probs, _ = MODELS[config](noise(2, 20, FEATURES), torch.tensor([20, 13]))

    totals = log_probs.detach().exp().sum(dim=2)
    torch.testing.assert_close(totals, torch.ones_like(totals), atol=1e-5, rtol=0)


def test_emissions_are_single_precision_under_autocast() -> None:
    model = MODELS[CONFIGS[0]]
    features, lengths = noise(2, 20, FEATURES), torch.tensor([20, 13])

    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        rounded, _ = model(features, lengths)
    with torch.inference_mode():
        exact, _ = model(features, lengths)

    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded[0], exact[0], atol=0.05, rtol=0)


@pytest.mark.parametrize("config", [*CONFIGS[::4], CONFIGS[-1]], ids=name_of)
def test_gradients_do_not_come_from_padding(config: EncoderConfig) -> None:
    torch.manual_seed(0)
    model = AcousticModel(config, FEATURES, TOKENS).train()
    model.dropout.p = 0.0
    lengths = torch.tensor([24, 9, 16])
    mask = length_mask(lengths, 24)
    targets, target_lengths = torch.tensor([[1, 2], [3, 0], [4, 1]]), torch.tensor([2, 1, 2])

    def gradients(padding: float) -> tuple[Tensor, dict[str, Tensor]]:
        features = noise(3, 24, FEATURES).masked_fill(~mask[:, :, None], padding)
        features.requires_grad_()
        parameters = dict(model.named_parameters())
        log_probs, counts = model(features, lengths)
        loss = ctc_loss(log_probs, counts, targets, target_lengths).mean()
        inputs, *weights = torch.autograd.grad(loss, [features, *parameters.values()])
        return inputs, dict(zip(parameters, weights, strict=True))

    inputs, weights = gradients(0.0)
    inputs_beside_garbage, weights_beside_garbage = gradients(math.nan)

    assert not inputs[~mask].any()
    reached = inputs[mask].any(dim=1)
    assert reached.float().mean() > 0.9  # a few frames may find every rectifier shut
    torch.testing.assert_close(inputs_beside_garbage, inputs, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(weights_beside_garbage, weights, atol=1e-6, rtol=1e-4)


def test_what_is_predicted_early_is_told_to_the_layer_above() -> None:
    model = MODELS[CONFIGS[-1]]
    features, lengths = noise(2, 20, FEATURES), torch.tensor([20, 13])
    with torch.inference_mode():
        predictions, counts = model.predictions(features, lengths)
        last, same_counts = model(features, lengths)
        deaf = copy.deepcopy(model)
        nn.init.zeros_(deaf.feedback.weight)
        nn.init.zeros_(deaf.feedback.bias)
        unheard, _ = deaf.predictions(features, lengths)
        without = AcousticModel(
            dataclasses.replace(model.config, early_predictions=()), FEATURES, TOKENS
        ).eval()
        without.load_state_dict(deaf.state_dict(), strict=False)

        assert len(predictions) == 3
        assert torch.equal(last, predictions[-1])
        assert torch.equal(counts, same_counts)
        assert torch.equal(unheard[0], predictions[0])
        assert not torch.allclose(unheard[1], predictions[1])
        assert torch.equal(unheard[2], without(features, lengths)[0])


@pytest.mark.parametrize("config", CONFIGS[:2] + CONFIGS[-1:], ids=name_of)
def test_the_first_frames_are_those_of_the_beginnings(config: EncoderConfig) -> None:
    model = MODELS[config]
    network = IntermediateOutputs(model)
    features, lengths = noise(3, 24, FEATURES), torch.tensor([24, 9, 1])
    beginning, heard = noise(3, 14, FEATURES, seed=1), torch.tensor([14, 9, 1])
    counted = torch.minimum(torch.tensor([3, 1, 0]), model.output_lengths(heard))

    wholes, whole_lengths = network(features, lengths)
    starts, _ = model.predictions(beginning, heard)
    found, found_lengths = network(features, lengths, (beginning, heard, counted))
    same, _ = network(features, lengths, (features, lengths, counted))

    assert found_lengths.tolist() == whole_lengths.tolist()
    for whole, start, mine, again in zip(wholes, starts, found, same, strict=True):
        assert torch.equal(again, whole)
        for i, count in enumerate(counted.tolist()):
            assert torch.equal(mine[i, :count], start[i, :count])
            assert torch.equal(mine[i, count:], whole[i, count:])
        assert not torch.equal(mine, whole)


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    model = AcousticModel(SMALL, FEATURES, TOKENS)
    features, lengths = noise(1, 20, FEATURES), torch.tensor([20])

    training = [model.train()(features, lengths)[0] for _ in range(2)]
    in_use = [model.eval()(features, lengths)[0] for _ in range(2)]

    assert not torch.equal(*training)
    assert torch.equal(*in_use)


def test_model_can_learn_an_utterance_by_heart() -> None:
    torch.manual_seed(0)
    model = AcousticModel(SMALL, FEATURES, TOKENS)
    model.dropout.p = 0.0
    optimizer = torch.optim.AdamW(model.parameters(), 2e-2)
    features, lengths = noise(2, 24, FEATURES), torch.tensor([24, 20])
    targets, target_lengths = torch.tensor([[1, 2, 2], [3, 4, 0]]), torch.tensor([3, 2])

    for _ in range(60):
        log_probs, counts = model(features, lengths)
        loss = ctc_loss(log_probs, counts, targets, target_lengths).mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()

    assert loss.item() < 0.2


def test_size_follows_from_the_configuration() -> None:
    model = AcousticModel(SMALL, FEATURES, TOKENS)

    assert len(model.layers) == len(model.norms) == 2
    assert model.projection.weight.shape == (7, 3 * 3)  # 10 features are halved twice: 5, 3
    assert model.output.weight.shape == (TOKENS, 12)
    without = AcousticModel(EncoderConfig(convolution_channels=0, subsampling=1), FEATURES, TOKENS)
    assert without.subsampling is None
    assert without.projection.in_features == FEATURES
    assert isinstance(without.output, nn.Linear)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"layers": 0}, r"\.layers: expected 1 or more, found 0"),
        ({"hidden": 0}, r"\.hidden: expected 1 or more, found 0"),
        ({"projection": -1}, r"\.projection: expected 1 or more, found -1"),
        ({"dropout": 1.0}, r"dropout: expected 0 to below 1, found 1\.0"),
        ({"dropout": -0.1}, "dropout"),
        ({"early_predictions": (3,)}, r"early_predictions: expected layers from 1 to 2.*\[3\]"),
        ({"early_predictions": (0, 1)}, "early_predictions"),
        ({"early_predictions": (2, 1)}, "early_predictions"),
        ({"early_predictions": (1, 1)}, "early_predictions"),
        (
            {"cell": "clockwork", "hidden": 10, "clockwork_modules": 4},
            r"clockwork_modules: expected a divisor of encoder\.hidden, 10, found 4",
        ),
        ({"irnn_identity": 1.5}, r"irnn_identity: expected 0 to 1, found 1\.5"),
        ({"cell": "clockwork", "clockwork_modules": 0}, "clockwork_modules.*found 0"),
        (
            {"cell": "scrn", "hidden": 32, "scrn_context": 40},
            r"scrn_context: expected 1 or more, and less than encoder\.hidden, 32.*found 40",
        ),
        ({"cell": "scrn", "scrn_context": 0}, "scrn_context.*found 0"),
        ({"convolution_channels": -1}, "convolution_channels: expected 0 or more, found -1"),
        ({"convolution_channels": 0}, "subsampling=1 and features.stack instead"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"encoder.*{message}"):
        EncoderConfig(**values)


def test_weights_of_another_model_are_told_before_one_is_made() -> None:
    config = CONFIGS[0]
    model = model_of(config)
    weights = model.state_dict()
    same = model_with_weights(config, FEATURES, TOKENS, weights).state_dict()
    assert all(torch.equal(same[name], weights[name]) for name in weights)
    wide = dataclasses.replace(config, hidden=LARGEST_SIZE)  # 100 GB
    with pytest.raises(ConfigError, match=r"encoder: expected layers\.0\..*262144"):
        model_with_weights(wide, FEATURES, TOKENS, weights)
    deep = dataclasses.replace(wide, layers=MOST_LAYERS)
    with pytest.raises(ConfigError, match=r"encoder\.layers: expected 2, found 256"):
        model_with_weights(deep, FEATURES, TOKENS, weights)
    with pytest.raises(ConfigError, match=r"output\.weight as .*\[6, 12\], found .*\[5, 12\]"):
        model_with_weights(config, FEATURES, TOKENS + 1, weights)
    with pytest.raises(ConfigError, match=r"expected more as no weight at all, found float32"):
        model_with_weights(config, FEATURES, TOKENS, weights | {"more": torch.zeros(1)})
    whole = {name: tensor.long() for name, tensor in weights.items()}
    with pytest.raises(ConfigError, match=r"as float32 .*, found int64"):
        model_with_weights(config, FEATURES, TOKENS, whole)


@pytest.mark.parametrize("size", ["layers", "hidden", "projection", "convolution_channels"])
def test_sizes_beyond_any_model_are_refused(size: str) -> None:
    with pytest.raises(ConfigError, match="expected at most 256 layers"):
        EncoderConfig(**{size: 10**6})  # type: ignore[arg-type]
