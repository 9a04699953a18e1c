r"""The finished model trained further on recordings of several utterances beside the single ones.

    python -m recipes.alphanumeric.train_on_joined -o runs/alphanumeric-joined

The recordings are made first, from each corpus of the vocabulary by itself:

    python -m recipes.join data/an4/train.jsonl data/an4/dev.jsonl -o data/an4-joined
    python -m recipes.join data/synthetic/manifest.jsonl --recordings 300 \
        -o data/alphanumeric/joined/synthetic
    python -m recipes.join data/fsdd/train.jsonl --recordings 200 -o data/alphanumeric/joined/fsdd
    python -m recipes.join data/borrowed-digits/manifest.jsonl --recordings 200 \
        -o data/alphanumeric/joined/digits
    python -m recipes.join data/borrowed-digits/strings.jsonl --recordings 50 \
        -o data/alphanumeric/joined/strings

recipes/an4/RESULTS.md, "Several utterances in one recording", tells what this is for.
"""

import dataclasses

from asr.training import main
from recipes.alphanumeric.train import CONFIG as ALPHANUMERIC

CONFIG = dataclasses.replace(
    ALPHANUMERIC,
    name="alphanumeric-joined",
    init_from="runs/alphanumeric/checkpoint",
    data=dataclasses.replace(
        ALPHANUMERIC.data,
        train=(
            *ALPHANUMERIC.data.train,
            "data/an4-joined/manifest.jsonl",
            *(
                f"data/alphanumeric/joined/{part}/manifest.jsonl"
                for part in ("synthetic", "fsdd", "digits", "strings")
            ),
        ),
        description=f"{ALPHANUMERIC.data.description}; 2 hours joined of these",
    ),
    optim=dataclasses.replace(
        ALPHANUMERIC.optim, epochs=2, peak_rate=2e-4, warmup_epochs=0.2, average=1
    ),
)

if __name__ == "__main__":
    main(CONFIG)
