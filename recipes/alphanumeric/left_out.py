"""The alphanumeric model without FSDD and without who reads digit strings in speechocean762.

`python -m recipes.alphanumeric.left_out -o runs/alphanumeric-left-out`: its figures on those two
tell what to expect of the shipped checkpoint, which was trained on both, on yet other voices and
microphones.
It fine-tunes `checkpoints/an4-blstm`, which has learnt letters in quiet, to the end: from a young
model it comes out worse (RESULTS.md).
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
