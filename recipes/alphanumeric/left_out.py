"""The alphanumeric model without FSDD and without speechocean762's readers of digit strings.

Run `python -m recipes.alphanumeric.left_out -o runs/alphanumeric-left-out`. The final model is
trained on both; the error rates of this model on them show what to expect of new voices and
microphones. Training starts from `checkpoints/an4-blstm`, which was fully trained on clean letters;
starting from a model trained for a short time gave worse results (RESULTS.md).
"""

import dataclasses

from asr.training import main
from recipes.alphanumeric.train import CONFIG as ALPHANUMERIC

CONFIG = dataclasses.replace(
    ALPHANUMERIC,
    name="alphanumeric-left-out",
    init_from="checkpoints/an4-blstm",
    data=dataclasses.replace(
        ALPHANUMERIC.data,
        train=("data/alphanumeric/left_out/train.jsonl",),
        dev="data/alphanumeric/left_out/dev.jsonl",
        description=(
            "CMU AN4, sentences of speechocean762 and LibriSpeech dev-clean, synthesised phrases "
            "and digits, noise"
        ),
        language="en",
        licence="AN4 and speechocean762 free for any purpose, LibriSpeech CC BY 4.0",
    ),
    augment=dataclasses.replace(
        ALPHANUMERIC.augment, noises=("data/alphanumeric/left_out/noises.jsonl",)
    ),
    optim=dataclasses.replace(ALPHANUMERIC.optim, epochs=24),
)

if __name__ == "__main__":
    main(CONFIG)
