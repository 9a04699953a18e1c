"""Letters, digits, numbers, dates and commands, speaker-independent; run prepare.py first.

    python -m recipes.alphanumeric.left_out -o runs/alphanumeric-left-out
    python -m recipes.alphanumeric.train -o runs/alphanumeric

The first model is trained without two of the corpora and evaluated on them; the second starts from
its weights and is trained on all of them, including dev, with the settings chosen for the first.
Each utterance is augmented with the effects of unknown equipment: rooms, telephones, codecs, noise
and truncated ends.
"""

from asr.model.acoustic import EncoderConfig
from asr.signal.augment import AugmentConfig
from asr.signal.features import FeatureConfig
from asr.training import Config, DataConfig, OptimConfig, main

CONFIG = Config(
    name="alphanumeric",
    init_from="runs/alphanumeric-left-out/checkpoint",
    data=DataConfig(
        train=("data/alphanumeric/train.jsonl", "data/alphanumeric/dev.jsonl"),
        dev="data/alphanumeric/dev.jsonl",
        empty_text="nothing",
        description=(
            "CMU AN4, Free Spoken Digit Dataset, parts of speechocean762 and of LibriSpeech "
            "dev-clean, synthesised phrases and digits, noise"
        ),
        language="en",
        licence=(
            "AN4 and speechocean762 free for any purpose, FSDD CC BY-SA 4.0, LibriSpeech CC BY 4.0"
        ),
    ),
    features=FeatureConfig(num_mels=80, normalise="level"),
    augment=AugmentConfig(
        speeds=(0.85, 0.92, 1.0, 1.08, 1.15),
        trim_chance=0.8,
        trim_floor_db=(8.0, 45.0),
        reverb_chance=0.25,
        colour_db=7.0,
        noise_chance=0.8,
        noise_snr_db=(-5.0, 25.0),
        noise_colour_db=7.0,
        noises=("data/alphanumeric/noises/train.jsonl",),
        clip_chance=0.1,
        band_limit_chance=0.45,
        codec_chance=0.2,
        gain_db=6.0,
        frequency_warp=0.15,
        time_warp=0.2,
    ),
    encoder=EncoderConfig(layers=3, hidden=320, subsampling=2, dropout=0.15),
    optim=OptimConfig(epochs=16, batch_seconds=100.0, peak_rate=7e-4, warmup_epochs=0.5, average=4),
)

if __name__ == "__main__":
    main(CONFIG)
