"""The model that a checkpoint describes, built from its settings and weights."""

from asr.checkpoint.checkpoint import Checkpoint
from asr.config import from_dict
from asr.errors import CheckpointError, ConfigError
from asr.model.acoustic import AcousticModel, EncoderConfig, model_with_weights
from asr.signal.features import FeatureConfig


def model_of(checkpoint: Checkpoint, where: str) -> tuple[FeatureConfig, AcousticModel]:
    """A checkpoint's features and its model, whose weights are not copied.

    Raises CheckpointError, which begins with `where`, if its settings and weights do not belong
    together.
    """
    try:
        features = from_dict(FeatureConfig, checkpoint.config["features"], "features")
        encoder = from_dict(EncoderConfig, checkpoint.config["encoder"], "encoder")
        size = features.num_features
        model = model_with_weights(encoder, size, len(checkpoint.tokens), checkpoint.weights)
    except (ConfigError, RuntimeError) as error:
        raise CheckpointError(
            f"{where}: config.json and model.safetensors do not describe the same model: {error}"
        ) from error
    return features, model
