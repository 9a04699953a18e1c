r"""The shipped model trained further to recognise with little right context, for live streams.

    python -m recipes.join data/an4/train.jsonl data/an4/dev.jsonl -o data/an4-joined
    python -m recipes.an4.train_right_context -o runs/an4-right-context --seed 0
    python -m tests.benchmarks.streams runs/an4-right-context/checkpoint data/an4/test.jsonl

Data and schedule are those of `train_on_joined.py`, with four epochs; a step takes nearly twice the
time.
"""

import dataclasses

from asr.training import main
from recipes.an4.train_on_joined import CONFIG as JOINED

CONFIG = dataclasses.replace(
    JOINED,
    name="an4-right-context",
    init_from="checkpoints/an4-blstm",
    augment=dataclasses.replace(JOINED.augment, right_context_seconds=0.6),
    optim=dataclasses.replace(JOINED.optim, epochs=4),
)

if __name__ == "__main__":
    main(CONFIG)
