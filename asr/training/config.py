"""All settings of a training run in one place; each part is defined beside its user."""

from dataclasses import dataclass, field
from typing import Literal

from asr.errors import ConfigError
from asr.model.acoustic import EncoderConfig
from asr.signal.augment import AugmentConfig
from asr.signal.features import FeatureConfig
from asr.text.tokens import Units


@dataclass(frozen=True)
class DataConfig:
    """Manifests to train on and to validate on."""

    train: tuple[str, ...] = ()
    dev: str = ""
    empty_text: Literal["refuse", "nothing"] = "refuse"
    """What an empty transcript means: a mistake, which is refused, or that nothing is said in the
    recording (silence, noise), so that the model learns to output nothing."""
    tags: Literal["refuse", "keep"] = "refuse"
    """What tags such as `<unk>` and `[noise]` in a transcript mean: a mistake, or letters that the
    model is to write."""
    shard_window: int = 8
    """Number of tar shards from which batches are drawn at a time."""
    licence: str = ""
    """Licence of the training data, for the model card."""
    description: str = ""
    """What the training data is, for the model card."""
    language: str = ""
    """Language of the training data as an ISO 639 code, for the model card."""

    def __post_init__(self) -> None:
        if self.shard_window < 1:
            raise ConfigError(f"data.shard_window: expected at least 1, found {self.shard_window}")


@dataclass(frozen=True)
class TextConfig:
    """How transcripts become tokens."""

    units: Units = "characters"
    """What one token is: a single code point, or a grapheme cluster, that is a letter with all its
    marks, also where Unicode has no composed form of them."""


@dataclass(frozen=True)
class OptimConfig:
    """Optimisation: how long, in what batches, at what rate, in what precision."""

    epochs: int = 60
    coarse_epochs: int = 0
    """Number of epochs at the start with output frames of twice the length, at half the cost of a
    step. The model learns the sounds as well from these; fast speech needs the other epochs."""
    batch_seconds: float = 60.0
    """Audio in a batch, padding included; several processes share each batch."""
    peak_rate: float = 2e-3
    warmup_epochs: float = 4.0
    weight_decay: float = 0.01
    clip_norm: float = 5.0
    """Gradients are scaled down to this L2 norm (of the mean loss of a batch's utterances), as by
    Pascanu et al. (2013); 0 never does."""
    clip_value: float = 0.0
    """Each entry of a gradient is limited to this size, after `clip_norm`; 0 never does."""
    truncate_frames: int = 0
    """Cut the gradient every so many output frames while the state is carried on (truncated
    back-propagation through time), for `encoder.bidirectional=false`; 0 never does."""
    consistency: float = 0.0
    """Weight of agreement between two differently masked views of each utterance (CR-CTC, Yao
    et al. 2024, arXiv 2410.05101); 0 takes one view at half the cost of a step."""
    single_view_epochs: int = 0
    """Number of epochs at the start with one view in spite of `consistency`: as long as the model
    has much to learn, twice as many epochs teach it more than agreement does."""
    early_weight: float = 0.3
    """Weight of the loss of all `encoder.early_predictions` together, as in intermediate CTC (Lee &
    Watanabe 2021, arXiv 2102.03216); the final prediction has the rest."""
    patience: int = 0
    """Stop after this many epochs without a better validation CER; 0 never stops early."""
    average: int = 5
    """Number of best epochs whose weights are averaged at the end."""
    teacher_weight: float = 0.5
    """Weight of the divergence from the outputs of `teacher`, if there is one; the transcripts have
    the rest."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of matrix products; weights, norms and loss stay in float32. auto: bfloat16 if the
    hardware multiplies it natively. float16, with loss scaling, is for GPUs without bfloat16."""
    non_finite: Literal["stop", "skip"] = "stop"
    """What to do with a batch whose loss or gradient is not a finite number."""
    workers: int = 1
    """Background processes that read and augment audio; 0 does so in the training process."""
    save_minutes: float = 10.0
    """Minutes between saved states within an epoch; the end of an epoch is always saved."""
    keep_states: int = 2
    """Number of newest states to keep, to fall back on if the last is damaged."""

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_seconds <= 0 or self.peak_rate <= 0 or self.average < 1:
            raise ConfigError("optim: epochs, batch_seconds, peak_rate and average must be above 0")
        for name in ("coarse_epochs", "single_view_epochs"):
            if not 0 <= (epochs := getattr(self, name)) < self.epochs:
                raise ConfigError(
                    f"optim.{name}: expected 0 or more, and fewer than optim.epochs="
                    f"{self.epochs}, found {epochs}"
                )
        if not 0 <= self.early_weight < 1:
            raise ConfigError(
                f"optim.early_weight: expected 0 to below 1, found {self.early_weight}"
            )
        if not 0 <= self.teacher_weight <= 1:
            raise ConfigError(f"optim.teacher_weight: expected 0 to 1, found {self.teacher_weight}")
        if min(self.clip_norm, self.clip_value, self.truncate_frames) < 0:
            raise ConfigError(
                "optim: expected clip_norm, clip_value and truncate_frames of 0 or more"
            )
        if min(self.workers, self.save_minutes) < 0 or self.keep_states < 1:
            raise ConfigError(
                "optim: expected workers and save_minutes of 0 or more, keep_states of at least 1"
            )

    def views_in(self, epoch: int) -> int:
        """How many times an utterance occurs in its batch, in an epoch counted from 0."""
        return 2 if self.consistency and epoch >= self.single_view_epochs else 1

    @property
    def most_views(self) -> int:
        """How many times an utterance occurs in its batch in the epochs that need most memory."""
        return self.views_in(self.epochs - 1)


@dataclass(frozen=True)
class Config:
    """All settings of a training run."""

    name: str = "model"
    seed: int = 0
    init_from: str = ""
    """Checkpoint folder whose weights to start from; empty for random initial weights."""
    teacher: str = ""
    """Checkpoint folder of a larger model from whose outputs to learn as well (knowledge
    distillation, Hinton et al. 2015, arXiv 1503.02531); empty for the transcripts alone."""
    data: DataConfig = field(default_factory=DataConfig)
    text: TextConfig = field(default_factory=TextConfig)
    features: FeatureConfig = field(default_factory=FeatureConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)

    def __post_init__(self) -> None:
        if self.optim.truncate_frames and self.encoder.bidirectional:
            raise ConfigError(
                f"optim.truncate_frames={self.optim.truncate_frames}: expected "
                "encoder.bidirectional=false, because the state that is carried on comes from the "
                "frames before, and a backward direction has none until it has read the end"
            )
        if self.teacher and self.optim.coarse_epochs:
            raise ConfigError(
                f"optim.coarse_epochs={self.optim.coarse_epochs}: expected 0 with a teacher, which "
                "has output frames of one length"
            )
        if self.augment.right_context_seconds and not self.encoder.bidirectional:
            raise ConfigError(
                f"augment.right_context_seconds={self.augment.right_context_seconds:g}: expected "
                "encoder.bidirectional=true, because an encoder that only reads forwards does not "
                "depend on what comes later; set augment.right_context_seconds=0"
            )

    def subsampling_in(self, epoch: int) -> int:
        """Feature frames per output frame in an epoch, counted from 0.

        Raises ConfigError if coarse epochs are asked for and the encoder cannot subsample further.
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
