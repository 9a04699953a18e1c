r"""The last stretch: a finished AN4 model goes on with the dev set folded into training.

    python -m recipes.an4.train_on_all -o runs/an4-all-s0 --seed 0 \
        --set init_from=runs/an4-s0/checkpoint

Once every choice is made, dev is an eighth more speech and eight more speakers. From here on its
error rate means nothing (the run says so); the number of epochs is fixed beforehand, and only test
can judge.
"""

import dataclasses

from asr.training import main
from recipes.an4.train import CONFIG as AN4

CONFIG = dataclasses.replace(
    AN4,
    name="an4-all",
    init_from="runs/an4-s0/checkpoint",
    data=dataclasses.replace(
        AN4.data,
        train=("data/an4/train.jsonl", "data/an4/dev.jsonl"),
        description="CMU AN4, all 948 training utterances (0.71 h) of 74 speakers",
    ),
    optim=dataclasses.replace(AN4.optim, epochs=10, peak_rate=4e-4, warmup_epochs=0.5),
)

if __name__ == "__main__":
    main(CONFIG)
