r"""The best model of AN4 alone: all 948 training utterances and 1900 spliced from them.

    python -m recipes.an4.train -o runs/an4-s0 --seed 0
    python -m recipes.an4.splice runs/an4-s0/checkpoint data/an4/train.jsonl data/an4/dev.jsonl \
        --utterances 1900 -o data/an4-spliced-all
    python -m recipes.an4.train_on_all -o runs/an4-all-s0 --seed 0

The first model aligns the words for splicing; the second is trained from scratch. All settings were
chosen by cross-validation, so that dev can be part of the training data: its error rate is not
valid here (the run prints a warning), the number of epochs is fixed beforehand, and only the test
set gives valid error rates.
"""

import dataclasses

from asr.training import main
from recipes.an4.train import CONFIG as AN4

CONFIG = dataclasses.replace(
    AN4,
    name="an4-all",
    data=dataclasses.replace(
        AN4.data,
        train=(
            "data/an4/train.jsonl",
            "data/an4/dev.jsonl",
            "data/an4-spliced-all/manifest.jsonl",
        ),
        description=(
            "CMU AN4, all 948 training utterances (0.71 h) of 74 speakers, and 1900 (1.56 h) "
            "spliced of them"
        ),
    ),
    optim=dataclasses.replace(AN4.optim, epochs=22, warmup_epochs=1.0),
)

if __name__ == "__main__":
    main(CONFIG)
