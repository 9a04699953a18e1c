"""The acoustic model: features to log-probabilities of tokens, frame by frame.

Shapes: N utterances, T feature frames, T' output frames, F features, H hidden, C tokens with blank.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from asr.errors import ConfigError
from asr.model.cells import CELLS, Cell
from asr.model.layers import Bidirectional, ConvSubsampling, Dropout, Unidirectional
from asr.model.norms import NORMS, framewise, length_mask

MOST_LAYERS, LARGEST_SIZE = 256, 1 << 16
"""Beyond any model of this kind; within them no size of a tensor overflows."""

CellName = Literal[
    "lstm",
    "lstm_peephole",
    "lstm_without_forgetting",
    "gru",
    "ligru",
    "mingru",
    "elman",
    "jordan",
    "irnn",
    "clockwork",
    "scrn",
]


@dataclass(frozen=True)
class EncoderConfig:
    """Size and kind of the encoder."""

    cell: CellName = "lstm"
    bidirectional: bool = True
    """Whether each layer also reads an utterance from its end."""
    layers: int = 3
    hidden: int = 320
    """H, cells in each direction of each layer."""
    clockwork_modules: int = 4
    """Of the cell `clockwork`: modules of H / modules cells, of which each next one moves half as
    often."""
    scrn_context: int = 40
    """Of the cell `scrn`: how many of H are context, which changes slowly."""
    irnn_identity: float = 1.0
    """Of the cell `irnn`: the multiple of the identity as which its recurrent weights begin. With 1
    the outputs for recordings of some seconds are soon beyond all bounds; 0.01 suits speech."""
    projection: int = 320
    """Width of the linear layer between the front end and the first recurrent layer."""
    convolution_channels: int = 32
    """Channels of the convolutional front end; 0 leaves it out."""
    subsampling: Literal[1, 2, 3, 4] = 4
    """Feature frames per output frame; must be 1 without the convolutional front end."""
    norm: Literal["layer", "batch", "none"] = "layer"
    dropout: float = 0.3
    early_predictions: tuple[int, ...] = ()
    """Recurrent layers, counted from 1, whose output gets a CTC prediction of its own, which is
    fed back into the input of the next layer (self-conditioned CTC, Nozaki & Komatsu 2021)."""

    def __post_init__(self) -> None:
        for name in ("layers", "hidden", "projection"):
            if (value := getattr(self, name)) < 1:
                raise ConfigError(f"encoder.{name}: expected 1 or more, found {value}")
        largest = max(self.hidden, self.projection, self.convolution_channels)
        if self.layers > MOST_LAYERS or largest > LARGEST_SIZE:
            raise ConfigError(
                f"encoder: expected at most {MOST_LAYERS} layers, and hidden, projection and "
                f"convolution_channels of at most {LARGEST_SIZE}, found {self.layers} layers and "
                f"{largest}"
            )
        if self.convolution_channels < 0:
            raise ConfigError(
                "encoder.convolution_channels: expected 0 or more, found "
                f"{self.convolution_channels}"
            )
        if self.cell == "clockwork" and not self._divides(self.clockwork_modules):
            raise ConfigError(
                "encoder.clockwork_modules: expected a divisor of encoder.hidden, "
                f"{self.hidden}, found {self.clockwork_modules}"
            )
        if self.cell == "scrn" and not 0 < self.scrn_context < self.hidden:
            raise ConfigError(
                "encoder.scrn_context: expected 1 or more, and less than encoder.hidden, "
                f"{self.hidden}, of which it is a part, found {self.scrn_context}"
            )
        if not 0 <= self.irnn_identity <= 1:
            raise ConfigError(
                f"encoder.irnn_identity: expected 0 to 1, found {self.irnn_identity:g}"
            )
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"encoder.dropout: expected 0 to below 1, found {self.dropout}")
        early = self.early_predictions
        if list(early) != sorted(set(early)) or not set(early) <= set(range(1, self.layers)):
            raise ConfigError(
                f"encoder.early_predictions: expected layers from 1 to {self.layers - 1}, each "
                f"once and in order, found {list(early)}"
            )
        if self.convolution_channels == 0 and self.subsampling != 1:
            raise ConfigError(
                "encoder: subsampling needs the convolutional front end; set "
                "convolution_channels, or subsampling=1 and features.stack instead"
            )

    def _divides(self, parts: int) -> bool:
        return parts > 0 and self.hidden % parts == 0

    def layer(self, input_size: int) -> Unidirectional | Bidirectional:
        """A recurrent layer of this kind: `(N, T, input_size)` to `(N, T, output_size)`."""
        own: dict[str, dict[str, float]] = {
            "clockwork": {"modules": self.clockwork_modules},
            "scrn": {"context": self.scrn_context},
            "irnn": {"identity": self.irnn_identity},
        }
        cell = partial(CELLS[self.cell], hidden=self.hidden, **own.get(self.cell, {}))
        return (Bidirectional if self.bidirectional else Unidirectional)(cell, input_size)


class AcousticModel(nn.Module):
    """Stacked recurrent encoder with a CTC output layer (Graves et al. 2013).

    Front end → projection → (dropout → recurrent layer → norm) × layers → dropout → tokens.
    Intermediate predictions use the same dropout and output layer as the final one.
    """

    def __init__(self, config: EncoderConfig, num_features: int, num_tokens: int) -> None:
        super().__init__()
        self.config = config
        norm = NORMS[config.norm]
        self.subsampling: ConvSubsampling | None = None
        size = num_features
        if config.convolution_channels:
            self.subsampling = ConvSubsampling(
                num_features, config.convolution_channels, config.subsampling
            )
            size = self.subsampling.output_size
        self.projection = nn.Linear(size, config.projection)
        self.projection_norm = norm(config.projection)
        self.dropout = Dropout(config.dropout)
        width = config.hidden * (2 if config.bidirectional else 1)
        sizes = [config.projection] + [width] * (config.layers - 1)
        self.layers = nn.ModuleList(config.layer(size) for size in sizes)
        self.norms = nn.ModuleList(norm(width) for _ in sizes)
        self.output = nn.Linear(width, num_tokens)
        if config.early_predictions:
            self.feedback = nn.Linear(num_tokens, width)

    def set_subsampling(self, factor: int) -> None:
        """Use `factor` feature frames per output frame from now on; no weight depends on it."""
        if self.subsampling is not None:
            self.subsampling.set_factor(factor)

    def set_truncation(self, frames: int) -> None:
        """Cut the gradient every so many output frames from now on; 0: never."""
        for module in self.modules():
            if isinstance(module, Cell):
                module.truncation = frames

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Output frames T' of each number of feature frames T, `(N,)` to `(N,)`."""
        return lengths if self.subsampling is None else self.subsampling.output_lengths(lengths)

    @property
    def lookahead(self) -> int:
        """Feature frames after the last of its own on which an output frame of the front end, and
        of an encoder without a backward direction, depends."""
        return 0 if self.subsampling is None else self.subsampling.lookahead

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Features `(N, T, F)`, lengths `(N,)` to log_probs `(N, T', C)` in nats, lengths `(N,)`.

        The content of the padding of `features` does not matter.
        """
        predictions, lengths = self.predictions(features, lengths)
        return predictions[-1], lengths

    def predictions(self, features: Tensor, lengths: Tensor) -> tuple[list[Tensor], Tensor]:
        """As `forward`, with the log_probs of the intermediate predictions before the final one."""
        # Filled rather than multiplied by the mask: 0 × NaN is NaN.
        frames = features.masked_fill(~length_mask(lengths, features.shape[1])[:, :, None], 0.0)
        if self.subsampling is not None:
            frames = self.subsampling(frames, lengths)
            lengths = self.subsampling.output_lengths(lengths)
        frames = self.projection_norm(framewise(self.projection, frames), lengths)
        early = []
        for number, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True), 1):
            frames = norm(layer(self.dropout(frames), lengths), lengths)
            if number in self.config.early_predictions:
                early.append(self._predict(frames))
                frames = frames + framewise(self.feedback, early[-1].exp())
        return [*early, self._predict(frames)], lengths

    def _predict(self, frames: Tensor) -> Tensor:
        logits = framewise(self.output, self.dropout(frames)).contiguous()
        return logits.float().log_softmax(dim=2)


def weightless_model(config: EncoderConfig, num_features: int, num_tokens: int) -> AcousticModel:
    """A model that takes no memory, whose weights have shapes but no values."""
    with torch.device("meta"):
        return AcousticModel(config, num_features, num_tokens)


def model_with_weights(
    config: EncoderConfig, num_features: int, num_tokens: int, weights: Mapping[str, Tensor]
) -> AcousticModel:
    """A model with these weights, which are not copied.

    Raises ConfigError if they do not belong to such a model, before anything is allocated: the
    settings may come from elsewhere.
    """
    layers = {name.split(".")[1] for name in weights if name.startswith("layers.")}
    if len(layers) != config.layers:
        raise ConfigError(f"encoder.layers: expected {len(layers)}, found {config.layers}")
    model = weightless_model(config, num_features, num_tokens)
    expected = {name: _kind(tensor) for name, tensor in model.state_dict().items()}
    found = {name: _kind(tensor) for name, tensor in weights.items()}
    for name in [*expected, *found]:
        if expected.get(name) != found.get(name):
            raise ConfigError(
                f"encoder: expected {name} as {expected.get(name, 'no weight at all')}, found "
                f"{found.get(name, 'none')}"
            )
    model.load_state_dict(weights, assign=True)
    return model


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


class IntermediateOutputs(nn.Module):
    """A model as training calls it: `forward` also returns the intermediate predictions.

    A module of its own because DistributedDataParallel synchronises gradients only of what goes
    through `forward`.
    """

    def __init__(self, model: AcousticModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        features: Tensor,
        lengths: Tensor,
        beginnings: tuple[Tensor, Tensor, Tensor] | None = None,
    ) -> tuple[list[Tensor], Tensor]:
        """`AcousticModel.predictions`.

        `beginnings` are the features `(N, T, F)` of the utterances up to some frame, their lengths
        `(N,)`, and how many of their output frames `(N,)` take the place of those of the whole.
        """
        wholes, whole_lengths = self.model.predictions(features, lengths)
        if beginnings is None:
            return wholes, whole_lengths
        beginning, lengths, counted = beginnings
        starts, _ = self.model.predictions(beginning, lengths)
        joined = [
            _with_start(whole, start, counted) for whole, start in zip(wholes, starts, strict=True)
        ]
        return joined, whole_lengths


def _with_start(whole: Tensor, start: Tensor, counted: Tensor) -> Tensor:
    """`whole` `(N, T', C)`, its first `counted` `(N,)` frames replaced by those of `start`."""
    frames = start.shape[1]
    assert frames <= whole.shape[1], (start.shape, whole.shape)
    first = torch.where(length_mask(counted, frames)[:, :, None], start, whole[:, :frames])
    return torch.cat([first, whole[:, frames:]], dim=1)
