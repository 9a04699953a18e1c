"""Mboshi: `python -m recipes.mboshi.train -o runs/mboshi --seed 0`, after prepare.py.

Frames of 40 ms suit 9.6 letters a second. Three speakers and one sort of tablet are all there is:
time, speed, vocal tract and masks vary, the room does not.
"""

from asr.model.acoustic import EncoderConfig
from asr.signal.augment import AugmentConfig
from asr.signal.features import FeatureConfig
from asr.training import Config, DataConfig, OptimConfig, main

CONFIG = Config(
    name="mboshi",
    data=DataConfig(
        train=("data/mboshi/train.jsonl",),
        dev="data/mboshi/dev.jsonl",
        description="Mboshi, 4366 sentences (3.8 h) read by three speakers",
        language="mdw",
        licence="none is stated: for research, and not to be passed on",
    ),
    features=FeatureConfig(num_mels=80, normalise="utterance"),
    augment=AugmentConfig(speeds=(0.9, 1.0, 1.1), frequency_warp=0.1, time_warp=0.3, time_masks=4),
    encoder=EncoderConfig(layers=3, hidden=320, subsampling=4, dropout=0.3),
    optim=OptimConfig(
        epochs=40, batch_seconds=60.0, peak_rate=1e-3, warmup_epochs=2.0, consistency=0.2
    ),
)

if __name__ == "__main__":
    main(CONFIG)
