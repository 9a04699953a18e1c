"""The last stage of the English model's training, after train.py.

    python -m recipes.english.robust -o runs/english

goes on from the model of `train.py` with rooms, telephones, codecs and more noise.
"""

import dataclasses

from asr.training import main
from recipes.english.train import CONFIG as QUIET

CONFIG = dataclasses.replace(
    QUIET,
    init_from="runs/english-quiet/checkpoint",
    augment=dataclasses.replace(
        QUIET.augment,
        trim_chance=0.6,
        reverb_chance=0.2,
        noise_chance=0.6,
        clip_chance=0.05,
        band_limit_chance=0.3,
        codec_chance=0.1,
    ),
    optim=dataclasses.replace(QUIET.optim, epochs=4, peak_rate=5e-4, warmup_epochs=0.1, average=2),
)

if __name__ == "__main__":
    main(CONFIG)
