"""The shipped checkpoint: a finished AN4 model goes on with synthesised speech beside AN4's.

    python -m recipes.synthetic.prepare train --utterances 2500 --seed 1 -o data/synthetic
    python -m recipes.an4.train -o runs/an4-s0 --seed 0
    python -m recipes.an4.train_on_all -o runs/an4-all-s0 --seed 0
    python -m recipes.an4.finetune -o runs/an4-blstm

AN4's microphone and speakers are few; synthetic voices widen what the model can read, and none of
them speaks the sample recordings. As in `train_on_all.py`, AN4's dev is trained on.
"""

import dataclasses

from asr.training import OptimConfig, main
from recipes.an4.train_on_all import CONFIG as ON_ALL

CONFIG = dataclasses.replace(
    ON_ALL,
    name="an4-blstm",
    init_from="runs/an4-all-s0/checkpoint",
    data=dataclasses.replace(
        ON_ALL.data,
        train=("data/an4/train.jsonl", "data/an4/dev.jsonl", "data/synthetic/manifest.jsonl"),
        description=(
            f"{ON_ALL.data.description}; then also 2500 synthesised utterances (1.88 h) of the "
            "same domain by flite (awb, kal16) and eSpeak NG (8 accents, 57 variants)"
        ),
    ),
    augment=dataclasses.replace(
        ON_ALL.augment,
        speeds=(0.87, 0.93, 1.0, 1.07, 1.15),
        noise_chance=0.3,
        noise_snr_db=(10.0, 30.0),
    ),
    optim=OptimConfig(
        epochs=18,
        batch_seconds=50.0,
        peak_rate=8e-4,
        warmup_epochs=0.5,
        average=3,
        consistency=0.2,
    ),
)

if __name__ == "__main__":
    main(CONFIG)
