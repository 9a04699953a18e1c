"""All settings of a training run in one place; each part is defined beside its user."""

from dataclasses import dataclass, field
from typing import Literal

from asr.errors import ConfigError
from asr.model.acoustic import EncoderConfig
from asr.signal.augment import AugmentConfig
from asr.signal.features import FeatureConfig


@dataclass(frozen=True)
class DataConfig:
    """Manifests to learn from and to validate on."""

    train: tuple[str, ...] = ()
    dev: str = ""
    empty_text: Literal["refuse", "nothing"] = "refuse"
    """What an empty transcript is: a mistake to refuse, or the truth, nothing being said in the
    recording (silence, noise), where the model then learns to write nothing."""
    shard_window: int = 8
    """Tar shards from which batches are drawn at a time."""
    licence: str = ""
    """Of the training data, for the model card."""
    description: str = ""
    """What the training data is, for the model card."""

    def __post_init__(self) -> None:
        if self.shard_window < 1:
            raise ConfigError(f"data.shard_window: expected at least 1, found {self.shard_window}")


@dataclass(frozen=True)
class OptimConfig:
    """How the weights are found."""

    epochs: int = 60
    coarse_epochs: int = 0
    """The first so many of them take output frames of twice the length, at half the cost of a step:
    what is heard at all is learnt as well from these, what follows fast from the others."""
    batch_seconds: float = 60.0
    """Audio in a batch, padding counted; several processes share each batch out."""
    peak_rate: float = 2e-3
    warmup_epochs: float = 4.0
    weight_decay: float = 0.01
    clip_norm: float = 5.0
    """Gradients are scaled down to this L2 norm (of the mean loss of a batch's utterances)."""
    consistency: float = 0.0
    """Weight of agreement between two differently masked views of each utterance (CR-CTC, Yao
    et al. 2024, arXiv 2410.05101); 0 takes one view at half the cost of a step."""
    early_weight: float = 0.3
    """Share of the loss that `encoder.early_predictions` have together, as in intermediate CTC (Lee
    & Watanabe 2021, arXiv 2102.03216)."""
    patience: int = 0
    """Stop after this many epochs without a better validation CER; 0 runs to the end."""
    average: int = 5
    """The best epochs whose weights are averaged at the end."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of the products; weights, norms and loss stay in float32. auto: bfloat16 where the processor
    multiplies it natively. float16 comes with loss scaling, for GPUs without bfloat16."""
    non_finite: Literal["stop", "skip"] = "stop"
    """What to do with a batch whose loss or gradient is not a finite number."""
    workers: int = 1
    """Processes that read and augment audio beside the training step; 0 for none."""
    save_minutes: float = 10.0
    """Time between two saved states within an epoch; the end of an epoch is always saved."""
    keep_states: int = 2
    """The newest states that are kept, to fall back on should the last be torn."""

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_seconds <= 0 or self.peak_rate <= 0 or self.average < 1:
            raise ConfigError("optim: epochs, batch_seconds, peak_rate and average must be above 0")
        if not 0 <= self.coarse_epochs < self.epochs:
            raise ConfigError(
                "optim.coarse_epochs: expected 0 or more, and fewer than optim.epochs="
                f"{self.epochs}, found {self.coarse_epochs}"
            )
        if not 0 <= self.early_weight < 1:
            raise ConfigError(
                f"optim.early_weight: expected 0 to below 1, found {self.early_weight}"
            )
        if min(self.workers, self.save_minutes) < 0 or self.keep_states < 1:
            raise ConfigError(
                "optim: expected workers and save_minutes of 0 or more, keep_states of at least 1"
            )

    @property
    def views(self) -> int:
        """How often an utterance stands in its batch."""
        return 2 if self.consistency else 1


@dataclass(frozen=True)
class Config:
    """A training run."""

    name: str = "model"
    seed: int = 0
    init_from: str = ""
    """Checkpoint folder whose weights to start from; empty starts from random ones."""
    data: DataConfig = field(default_factory=DataConfig)
    features: FeatureConfig = field(default_factory=FeatureConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)

    def subsampling_in(self, epoch: int) -> int:
        """Feature frames to one output frame in an epoch, the first of which is 0.

        Raises ConfigError if there are to be coarse epochs and the encoder has no coarser frames.
        """
        encoder, coarse = self.encoder, self.optim.coarse_epochs
        if coarse and (encoder.convolution_channels == 0 or encoder.subsampling > 2):
            raise ConfigError(
                f"optim.coarse_epochs={coarse}: expected the convolutional front end and "
                "encoder.subsampling of 1 or 2, which they double, found "
                f"encoder.convolution_channels={encoder.convolution_channels} and "
                f"encoder.subsampling={encoder.subsampling}"
            )
        return encoder.subsampling * (2 if epoch < coarse else 1)

    def shortest_frame_seconds(self, epoch: int) -> float:
        """What an output frame takes of the recording in an epoch, at the fastest speed."""
        frame_seconds = self.features.frame_seconds * self.subsampling_in(epoch)
        return frame_seconds * self.augment.fastest_speed
