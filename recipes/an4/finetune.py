"""The shipped checkpoint: a finished AN4 model goes on with synthesised speech beside AN4's.

    python -m recipes.synthetic.prepare train --utterances 2500 --seed 1 -o data/synthetic
    python -m recipes.an4.train -o runs/an4-s0 --seed 0
    python -m recipes.an4.finetune -o runs/an4-blstm

AN4's microphone and speakers are few; synthetic voices widen what the model can read, and none of
them speaks the sample recordings.
"""

import dataclasses

from asr.training import OptimConfig, main
from recipes.an4.train import CONFIG as AN4

CONFIG = dataclasses.replace(
    AN4,
    name="an4-blstm",
    init_from="runs/an4-s0/checkpoint",
    data=dataclasses.replace(
        AN4.data,
        train=("data/an4/train.jsonl", "data/synthetic/manifest.jsonl"),
        description=(
            f"{AN4.data.description}; then also 2500 synthesised utterances (1.88 h) of the same "
            "domain by flite (awb, kal16) and eSpeak NG (8 accents, 57 variants)"
        ),
    ),
    augment=dataclasses.replace(AN4.augment, noise_chance=0.3, noise_snr_db=(10.0, 30.0)),
    optim=OptimConfig(epochs=19, batch_seconds=50.0, peak_rate=8e-4, warmup_epochs=0.5, average=3),
)

if __name__ == "__main__":
    main(CONFIG)
