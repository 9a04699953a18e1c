"""Train on the tones corpus: `python -m recipes.tones.train -o runs/tones`."""

from asr.model.acoustic import EncoderConfig
from asr.signal.augment import AugmentConfig
from asr.signal.features import FeatureConfig
from asr.training import Config, DataConfig, OptimConfig, main

CONFIG = Config(
    name="tones",
    data=DataConfig(
        train=("data/tones/train.jsonl",),
        dev="data/tones/dev.jsonl",
        licence="the project's own",
        description="Synthetic tones and chords, one for each letter, made by recipes/tones",
    ),
    features=FeatureConfig(
        sample_rate=8000,
        num_mels=32,
        high_hz=3800.0,
        normalise="none",  # the statistics of a band without a tone would be those of the noise
    ),
    augment=AugmentConfig(
        speeds=(),  # a tone played faster is another letter
        time_masks=0,
        frequency_masks=0,
    ),
    encoder=EncoderConfig(
        layers=1,
        hidden=48,
        projection=48,
        convolution_channels=8,
        subsampling=4,
        dropout=0.0,
    ),
    optim=OptimConfig(
        epochs=10,
        batch_seconds=16.0,
        peak_rate=1e-2,
        warmup_epochs=1.0,
        average=2,
        precision="float32",
        workers=0,
    ),
)

if __name__ == "__main__":
    main(CONFIG)
