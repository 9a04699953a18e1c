r"""A finished model trained further on recordings of several utterances beside the single ones.

    python -m recipes.join data/an4/train.jsonl data/an4/dev.jsonl -o data/an4-joined
    python -m recipes.an4.train_on_joined -o runs/an4-joined --seed 0

Without it, a model makes up to three times the errors where several utterances follow each other in
one recording (RESULTS.md, "Several utterances in one recording"). The number of epochs is fixed
beforehand, because dev is part of the training data.
"""

import dataclasses

from asr.training import main
from recipes.an4.train_on_all import CONFIG as AN4

CONFIG = dataclasses.replace(
    AN4,
    name="an4-joined",
    init_from="runs/an4-all-s0/checkpoint",
    data=dataclasses.replace(
        AN4.data,
        train=("data/an4/train.jsonl", "data/an4/dev.jsonl", "data/an4-joined/manifest.jsonl"),
        description=(
            "CMU AN4, all 948 training utterances (0.71 h) of 74 speakers, 1900 (1.56 h) spliced "
            "of them, and 400 recordings (1.03 h) of two to five of them each"
        ),
    ),
    optim=dataclasses.replace(
        AN4.optim,
        epochs=6,
        peak_rate=3e-4,
        warmup_epochs=0.2,
        consistency=0.0,
        average=1,
    ),
)

if __name__ == "__main__":
    main(CONFIG)
