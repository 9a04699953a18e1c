"""English words and commands, speaker-independent; run prepare.py and first.py first.

    python -m recipes.english.train -o runs/english

goes on from the model of `first.py` with frames of 20 ms, all recordings, and the effects of
unknown equipment as in `recipes.alphanumeric.train`.
"""

import dataclasses

from asr.training import main
from recipes.alphanumeric.train import CONFIG as ALPHANUMERIC
from recipes.english.first import CONFIG as FIRST

CONFIG = dataclasses.replace(
    ALPHANUMERIC,
    name="english",
    init_from="runs/english-first/checkpoint",
    data=dataclasses.replace(FIRST.data, train=("data/english/train.jsonl",)),
    optim=dataclasses.replace(ALPHANUMERIC.optim, epochs=8, peak_rate=1e-3),
)

if __name__ == "__main__":
    main(CONFIG)
