"""The first stage of the English model's training: `python -m recipes.english.first`.

It starts from the model of `recipes.alphanumeric` and learns sentences and words from frames of
40 ms, at half the cost of 20, and with little noise; `train.py` goes on from it.
"""

import dataclasses

from asr.training import main
from recipes.alphanumeric.train import CONFIG as ALPHANUMERIC

CONFIG = dataclasses.replace(
    ALPHANUMERIC,
    name="english-first",
    init_from="runs/alphanumeric/checkpoint",
    data=dataclasses.replace(
        ALPHANUMERIC.data,
        train=("data/english/train.jsonl",),
        dev="data/english/dev.jsonl",
        description=(
            "CMU AN4, Free Spoken Digit Dataset, speechocean762, LibriSpeech dev-clean (half), "
            "single words cut from the latter two, phrases in synthetic and in neural voices, noise"
        ),
    ),
    augment=dataclasses.replace(
        ALPHANUMERIC.augment,
        trim_chance=0.5,
        reverb_chance=0.15,
        noise_chance=0.4,
        noise_snr_db=(5.0, 30.0),
        clip_chance=0.0,
        band_limit_chance=0.2,
        codec_chance=0.0,
    ),
    encoder=dataclasses.replace(ALPHANUMERIC.encoder, subsampling=4),
    optim=dataclasses.replace(ALPHANUMERIC.optim, epochs=9, peak_rate=2e-3, warmup_epochs=1.0),
)

if __name__ == "__main__":
    main(CONFIG)
