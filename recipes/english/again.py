"""More training of the English model, on words that it has cut itself.

    python -m recipes.english.again -o runs/english

goes on from the model of `robust.py`, which is sure of six times as many different words in the
training sentences as that of letters and digits was; with sentences of up to 20 s, without most of
the silence around them, and smaller batches: as much computing makes twice the updates.
"""

import dataclasses

from asr.training import main
from recipes.english.robust import CONFIG as ROBUST

CONFIG = dataclasses.replace(
    ROBUST,
    init_from="runs/english-robust/checkpoint",
    data=dataclasses.replace(
        ROBUST.data,
        train=("data/english-again/trimmed.jsonl",),
        dev="data/english-again/dev.jsonl",
    ),
    optim=dataclasses.replace(
        ROBUST.optim, epochs=7, batch_seconds=50.0, peak_rate=7e-4, warmup_epochs=0.3, average=3
    ),
)

if __name__ == "__main__":
    main(CONFIG)
