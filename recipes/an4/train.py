"""CMU AN4: `python -m recipes.an4.train -o runs/an4 --seed 0`, after prepare.py."""

from asr.model.acoustic import EncoderConfig
from asr.signal.augment import AugmentConfig
from asr.signal.features import FeatureConfig
from asr.training import Config, DataConfig, OptimConfig, main

CONFIG = Config(
    name="an4",
    data=DataConfig(
        train=("data/an4/train.jsonl",),
        dev="data/an4/dev.jsonl",
        description="CMU AN4, 848 utterances (0.63 h) of 66 speakers: spelled words, digits, dates",
        language="en",
        licence="free for any purpose, acknowledgement asked for (CMU AN4)",
    ),
    # A tenth of the utterances is one letter or word: normalising each mel band would remove it.
    features=FeatureConfig(num_mels=80, normalise="level"),
    augment=AugmentConfig(speeds=(0.9, 1.0, 1.1), time_warp=0.3, time_masks=4),
    # Frames of 20 ms: at 40 ms a fast THREE has hardly a frame for each letter and the blank in EE.
    encoder=EncoderConfig(layers=3, hidden=320, subsampling=2, dropout=0.3),
    optim=OptimConfig(
        epochs=40, batch_seconds=40.0, peak_rate=1e-3, warmup_epochs=3.0, consistency=0.2
    ),
)

if __name__ == "__main__":
    main(CONFIG)
