"""AN4 after pretraining on other speech: recordings of other speakers and synthesised ones.

    python -m recipes.an4.other_speech -o runs/an4-other-speech --seed 0 --threads 2

Starts from the weights of `recipes.alphanumeric.train`, which was trained on AN4, other corpora,
synthesised speech and noise, and continues training on AN4 alone.
"""

import dataclasses

from asr.training import main
from recipes.alphanumeric.train import CONFIG as BEFORE
from recipes.an4.train import CONFIG as AN4
from recipes.an4.train_on_all import CONFIG as ALL

CONFIG = dataclasses.replace(
    ALL,
    name="an4-other-speech",
    init_from="runs/alphanumeric/checkpoint",
    data=dataclasses.replace(
        ALL.data,
        description=f"{ALL.data.description}; before that {BEFORE.data.description}",
        licence=BEFORE.data.licence,
    ),
    encoder=dataclasses.replace(AN4.encoder, dropout=0.2),
    optim=dataclasses.replace(AN4.optim, epochs=11, warmup_epochs=0.3, workers=0, average=3),
)

if __name__ == "__main__":
    main(CONFIG)
