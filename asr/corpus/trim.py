"""Leaves out the silence before and after what is said, in the manifest alone.

Silence costs training as much time as speech does. What is left of it differs from utterance to
utterance, and some keep all of theirs, so that a model learns what to write there: nothing.
"""

import dataclasses
import hashlib

import numpy as np

from asr.corpus.dataset import check_duration
from asr.corpus.manifest import Utterance
from asr.corpus.recordings import read_utterance
from asr.errors import ManifestError
from asr.signal.pauses import speech_span

_MARGIN_SECONDS = (0.1, 0.3)
"""Of the silence on either side so much is left; up to half of it may be a soft sound."""
_WHOLE = 0.1
"""The share of utterances that keep all of their silence."""
_SECONDS_A_CHARACTER = 0.05
"""Hardly anybody speaks faster: where less would be left, speech has been taken for silence."""


def trim(utterance: Utterance) -> Utterance:
    """An utterance as a segment without most of the silence at its ends, or as it is.

    What happens to it depends on it alone. Without text it stays as it is. Raises AudioError if the
    recording cannot be read or is not as long as the manifest says, and ManifestError if it is in a
    shard, in which nothing is a segment.
    """
    if utterance.member is not None:
        raise ManifestError(
            f"{utterance.audio_filepath}: expected a recording in a file of its own, found one in "
            "a shard; trim the manifest from which the shards were made, then make them again"
        )
    seed = int.from_bytes(hashlib.sha256(utterance.id.encode()).digest()[:8])
    generator = np.random.default_rng(seed)
    if not utterance.text or generator.random() < _WHOLE:
        return utterance
    waveform, rate = read_utterance(utterance)
    check_duration(utterance, len(waveform) / rate)
    span = speech_span(waveform, rate)
    if span is None:
        return utterance
    before, after = generator.uniform(*_MARGIN_SECONDS, size=2)
    start = max(0, span[0] - round(before * rate))
    end = min(len(waveform), span[1] + round(after * rate))
    seconds = (end - start) / rate
    if seconds < _SECONDS_A_CHARACTER * len(utterance.text):
        return utterance
    offset = (utterance.offset or 0.0) + start / rate
    return dataclasses.replace(utterance, offset=offset, duration=seconds)
