"""Free Spoken Digit Dataset: `python -m recipes.fsdd.train -o runs/fsdd`, after prepare.py.

Trained at the recordings' own 8 kHz, on single digits and on strings of them. Digits are short
(typically 0.3 s), so frames are 20 ms, and normalisation removes only the level: the average
spectrum of a recording of a single digit is characteristic of that digit. Since there are only six
speakers, training varies the speed from 0.85 to 1.15, which shifts the pitch as well, and adds
noise.
"""

from asr.model.acoustic import EncoderConfig
from asr.signal.augment import AugmentConfig
from asr.signal.features import FeatureConfig
from asr.training import Config, DataConfig, OptimConfig, main

CONFIG = Config(
    name="fsdd",
    data=DataConfig(
        train=("data/fsdd/train.jsonl", "data/fsdd/strings_train.jsonl"),
        dev="data/fsdd/dev.jsonl",
        description="Free Spoken Digit Dataset, single digits and concatenated strings, 8 kHz",
        language="en",
        licence="CC BY-SA 4.0 (Free Spoken Digit Dataset)",
    ),
    features=FeatureConfig(sample_rate=8000, num_mels=40, high_hz=3800.0, normalise="level"),
    augment=AugmentConfig(
        speeds=(0.85, 0.95, 1.0, 1.05, 1.15),
        noise_chance=0.2,
        noise_snr_db=(10.0, 30.0),
        time_mask_frames=10,
        frequency_mask_mels=8,
    ),
    encoder=EncoderConfig(layers=2, hidden=128, projection=128, subsampling=2, dropout=0.2),
    optim=OptimConfig(epochs=24, batch_seconds=20.0, peak_rate=2e-3, warmup_epochs=1.0, average=3),
)

if __name__ == "__main__":
    main(CONFIG)
