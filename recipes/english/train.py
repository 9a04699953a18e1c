"""English words and commands, speaker-independent; run prepare.py and first.py first.

    python -m recipes.english.train -o runs/english

goes on from the model of `first.py`, with more of the effects of unknown equipment.
"""

import dataclasses

from asr.training import main
from recipes.english.first import CONFIG as FIRST

CONFIG = dataclasses.replace(
    FIRST,
    name="english",
    init_from="runs/english-first/checkpoint",
    augment=dataclasses.replace(
        FIRST.augment,
        trim_chance=0.8,
        reverb_chance=0.2,
        noise_chance=0.6,
        noise_snr_db=(0.0, 25.0),
        clip_chance=0.05,
        band_limit_chance=0.3,
        codec_chance=0.1,
    ),
    optim=dataclasses.replace(FIRST.optim, epochs=6, peak_rate=1e-3, warmup_epochs=0.3, average=2),
)

if __name__ == "__main__":
    main(CONFIG)
