"""The alphanumeric model without FSDD and without who reads digit strings in speechocean762.

`python -m recipes.alphanumeric.left_out -o runs/alphanumeric-left-out`: what it makes of those two
tells what the shipped checkpoint, which has heard both, may do on yet other voices and microphones.
"""

import dataclasses

from asr.training import main
from recipes.alphanumeric.train import CONFIG as ALPHANUMERIC

CONFIG = dataclasses.replace(
    ALPHANUMERIC,
    name="alphanumeric-left-out",
    data=dataclasses.replace(
        ALPHANUMERIC.data,
        train=("data/alphanumeric/left_out/train.jsonl",),
        dev="data/alphanumeric/left_out/dev.jsonl",
    ),
)

if __name__ == "__main__":
    main(CONFIG)
