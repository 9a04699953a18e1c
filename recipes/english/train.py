"""The second stage of the English model's training, after first.py.

    python -m recipes.english.train -o runs/english-quiet

goes on from the model of `first.py` with frames of 30 ms, which tell apart letters that those of 40
ms do not. The effects of unknown equipment are mild: after the first stage the model errs on its
training data as often as on others, so that to make them harder only costs time. `robust.py` has
the rest.
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
        trim_chance=0.4,
        reverb_chance=0.1,
        noise_chance=0.4,
        noise_snr_db=(0.0, 25.0),
        band_limit_chance=0.15,
        time_masks=1,
        time_mask_frames=15,
        frequency_mask_mels=10,
    ),
    encoder=dataclasses.replace(FIRST.encoder, subsampling=3, dropout=0.1),
    optim=dataclasses.replace(FIRST.optim, epochs=17, peak_rate=1e-3, warmup_epochs=0.3, average=3),
)

if __name__ == "__main__":
    main(CONFIG)
