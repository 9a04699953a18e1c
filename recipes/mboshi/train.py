"""Mboshi: `python -m recipes.mboshi.train -o runs/mboshi --seed 0`, after prepare.py.

Starts from `checkpoints/english`, which has the features and the encoder, for its knowledge of
speech; its letters are others. Three speakers and one sort of tablet are all there is: time, speed
and vocal tract vary, the room does not. Much of the recordings' time is silence before and after
the sentence, which costs as much as speech: the manifest leaves it out. Masks are few, since within
three hours the model errs on its training data as often as on others.
"""

import dataclasses

from asr.signal.augment import AugmentConfig
from asr.training import Config, DataConfig, OptimConfig, main
from recipes.english.train import CONFIG as ENGLISH

CONFIG = Config(
    name="mboshi",
    init_from="checkpoints/english",
    data=DataConfig(
        train=("data/mboshi/trimmed/train.jsonl",),
        dev="data/mboshi/dev.jsonl",
        description="Mboshi, 4366 sentences (3.8 h) read by three speakers",
        language="mdw",
        licence="none is stated: for research, and not to be passed on",
    ),
    features=ENGLISH.features,
    augment=AugmentConfig(
        speeds=(0.9, 1.0, 1.1),
        frequency_warp=0.15,
        time_warp=0.3,
        time_masks=1,
        time_mask_frames=15,
        frequency_mask_mels=10,
    ),
    # Frames of 30 ms: 9.6 letters a second with pauses are up to 20 without, too many for 40 ms.
    encoder=dataclasses.replace(ENGLISH.encoder, subsampling=3, dropout=0.2),
    optim=OptimConfig(epochs=40, batch_seconds=66.0, peak_rate=1e-3, warmup_epochs=0.5, average=3),
)

if __name__ == "__main__":
    main(CONFIG)
