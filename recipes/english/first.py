"""A first English model, to cut words out of sentences with: `python -m recipes.english.first`.

It starts from `checkpoints/alphanumeric`, which knows too few words to say where others begin and
end, and is trained on sentences alone for a few epochs. `train.py` goes on from it.
"""

import dataclasses

from asr.training import main
from recipes.alphanumeric.train import CONFIG as ALPHANUMERIC

CONFIG = dataclasses.replace(
    ALPHANUMERIC,
    name="english-first",
    init_from="checkpoints/alphanumeric",
    data=dataclasses.replace(
        ALPHANUMERIC.data,
        train=("data/english/sentences.jsonl",),
        description="the sentences of speechocean762 and of LibriSpeech dev-clean (half)",
        licence="speechocean762 free for any purpose, LibriSpeech CC BY 4.0",
    ),
    optim=dataclasses.replace(ALPHANUMERIC.optim, epochs=4, peak_rate=1e-3, average=1),
)

if __name__ == "__main__":
    main(CONFIG)
