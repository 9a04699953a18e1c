"""Speech in noise: the same utterances at several signal-to-noise ratios.

The power of the speech is that of its active frames of 10 ms (`asr.signal.noise.active_part`, with
the margin of ITU-T P.56); that of the noise is its mean over the whole utterance.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from random import Random

import torch
from torch import Tensor

from asr.corpus.manifest import Utterance
from asr.corpus.recordings import read_utterance
from asr.files import make_folder
from asr.signal import audio
from asr.signal.noise import mix_at_snr
from recipes.alphanumeric.sounds import SAMPLE_RATE

_FRAME = SAMPLE_RATE // 100


def write_noisy(
    utterances: Sequence[Utterance],
    noises: Sequence[Utterance],
    levels_db: Sequence[float],
    folder: Path,
) -> dict[float, list[Utterance]]:
    """Write each utterance at each level as `folder/LEVELdb/KIND-ID.flac`; return them by level.

    The id of an utterance determines the kind of noise (`speaker` of `noises`), the recording and
    the section of it; they are the same at all levels. A mixture that would clip is scaled down.
    """
    kinds = sorted({noise.speaker or "" for noise in noises})
    written: dict[float, list[Utterance]] = {level: [] for level in levels_db}
    for level in levels_db:
        make_folder(folder / f"{level:g}db")
    for utterance in utterances:
        random = Random(utterance.id)
        kind = random.choice(kinds)
        noise = random.choice([noise for noise in noises if noise.speaker == kind])
        speech, _ = read_utterance(utterance, SAMPLE_RATE)
        part = _part(read_utterance(noise, SAMPLE_RATE)[0], len(speech), random)
        for level in levels_db:
            path = folder / f"{level:g}db" / f"{kind}-{utterance.id}.flac"
            noisy = mix_at_snr(speech, part, level, _FRAME)
            audio.write(path, noisy / noisy.abs().max().clamp(min=1.0), SAMPLE_RATE)
            written[level].append(
                dataclasses.replace(utterance, audio_filepath=path, offset=None, member=None)
            )
    return written


def _part(noise: Tensor, size: int, random: Random) -> Tensor:
    """A section `(size,)` of a noise from a random position; short noise is repeated."""
    start = random.randrange(len(noise))
    return torch.cat([noise[start:], *[noise] * (size // len(noise) + 1)])[:size]
