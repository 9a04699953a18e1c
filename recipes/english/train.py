"""English words and commands, speaker-independent; run prepare.py first.

    python -m recipes.english.train -o runs/english

starts from `checkpoints/alphanumeric` and is trained on its data and on sentences, single words and
neural voices. The effects of unknown equipment are those of `recipes.alphanumeric.train`.
"""

import dataclasses

from asr.training import main
from recipes.alphanumeric.train import CONFIG as ALPHANUMERIC

CONFIG = dataclasses.replace(
    ALPHANUMERIC,
    name="english",
    init_from="checkpoints/alphanumeric",
    data=dataclasses.replace(
        ALPHANUMERIC.data,
        train=("data/english/train.jsonl",),
        dev="data/english/dev.jsonl",
        description=(
            "CMU AN4, Free Spoken Digit Dataset, speechocean762, LibriSpeech dev-clean (half), "
            "single words cut from the latter two, phrases in synthetic and in neural voices, noise"
        ),
    ),
    optim=dataclasses.replace(ALPHANUMERIC.optim, epochs=14, peak_rate=1e-3),
)

if __name__ == "__main__":
    main(CONFIG)
