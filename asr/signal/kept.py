"""Keeps recordings that can only be decoded from their beginning, for the many segments in them.

In MP3, Ogg and what phones write, samples depend on what is before them. To decode all of that for
each of a thousand segments takes hours, where the recording takes seconds.
"""

import dataclasses
import logging
import threading
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from asr.errors import AudioError
from asr.signal.audio_file import DEFAULT_LIMITS, AudioFile, AudioInfo, open_audio
from asr.signal.channels import Channel
from asr.signal.decoder import CONVERT, DecodedAudio

_log = logging.getLogger("asr.audio")

MOST_SAMPLES = 1 << 28
"""Of all recordings that are kept, in each process: 1 GiB, 4.6 hours at 16 kHz."""
LEAST_SECONDS = 60.0
"""A shorter recording has few segments, often one, and takes little time to decode."""


class _Key(NamedTuple):
    path: str
    changed_ns: int
    num_bytes: int
    channel: Channel


class _Kept(NamedTuple):
    samples: npt.NDArray[np.float32]
    info: AudioInfo


class KeptRecordings:
    """The recordings used last, decoded."""

    def __init__(
        self, most_samples: int = MOST_SAMPLES, least_seconds: float = LEAST_SECONDS
    ) -> None:
        self._most_samples, self._least_seconds = most_samples, least_seconds
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()
        self._others: set[_Key] = set()
        """Those that are read from their files."""
        self._dropped: set[_Key] = set()
        self._has_warned = False
        self._lock = threading.Lock()

    def open(self, path: Path, channel: Channel = "mix") -> AudioFile | None:
        """A channel of a recording, decoded now or before.

        None if it is to be read from its file: it can be sought in, is short, does not fit, or is
        damaged, of which reading a segment will tell if that matters.
        """
        try:
            status = path.stat()
        except (OSError, ValueError):
            return None
        key = _Key(str(path), status.st_mtime_ns, status.st_size, channel)
        with self._lock:
            if key in self._others:
                return None
            kept = self._kept.get(key) or self._decode(key, path)
            if kept is None:
                self._others.add(key)
                return None
            self._kept[key] = kept
            self._kept.move_to_end(key)
        return AudioFile(DecodedAudio(kept.samples), kept.info, DEFAULT_LIMITS, _raise)

    def _decode(self, key: _Key, path: Path) -> _Kept | None:
        pieces, total = [], 0
        try:
            with open_audio(path, None, DEFAULT_LIMITS) as source:
                info = source.info
                if source.decoder.seeks or info.duration_seconds < self._least_seconds:
                    return None
                for piece in source.blocks(channel=key.channel):
                    pieces.append(piece)
                    total += len(piece)
                    if total > self._most_samples:
                        _log.warning(
                            "%s: decoded from its beginning for each of its segments, as it is too "
                            "long to be kept in memory; %s",
                            path,
                            CONVERT,
                        )
                        return None
        except AudioError:
            return None
        seconds = total / info.sample_rate
        if seconds < self._least_seconds:  # of those whose header does not say
            return None
        self._make_room(total)
        if key in self._dropped and not self._has_warned:
            self._has_warned = True
            _log.warning(
                "%s and others are decoded again and again for their segments, as they do not fit "
                "in memory together; %s",
                path,
                CONVERT,
            )
        info = dataclasses.replace(info, channels=1, frames=total, duration_seconds=seconds)
        return _Kept(torch.cat(pieces).numpy(), info)

    def _make_room(self, samples: int) -> None:
        held = sum(one.info.frames for one in self._kept.values())
        while self._kept and held + samples > self._most_samples:
            key, oldest = self._kept.popitem(last=False)
            held -= oldest.info.frames
            self._dropped.add(key)


def _raise(problem: AudioError) -> None:
    raise problem


KEPT = KeptRecordings()
"""Those of this process."""
