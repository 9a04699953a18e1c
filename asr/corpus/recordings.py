"""Reads the waveform of an utterance from a file, a segment of a file, or a shard."""

import functools
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from asr.corpus.cache import open_cached_shard
from asr.corpus.manifest import Utterance, read_manifest
from asr.corpus.tar import MANIFEST_FILE, Member, Shard, check_members, member_bytes, shard_error
from asr.signal import audio
from asr.signal.channels import Channel
from asr.signal.kept import KEPT


def read_utterance(
    utterance: Utterance, sample_rate: int | None = None, damage: list[str] | None = None
) -> tuple[Tensor, int]:
    """The waveform `(S,)` float32 of an utterance, and its sample rate in Hz.

    Segments are cut at the sample rate of the recording, then resampled if `sample_rate` is given.
    With `damage`, what is left of a damaged recording is read, as `audio.read` does, and so it is
    where the manifest says that it is damaged.
    Raises AudioError as `audio.read` does, and on a shard that is missing, truncated or not the one
    described in `shards.json`; AsrError if the copy of a remote shard cannot be written.
    """
    if utterance.member is not None:
        content = read_member(utterance.member)
        return audio.read(utterance.audio_filepath, sample_rate, content=content, damage=damage)
    if utterance.damaged and damage is None:
        damage = []
    path = utterance.audio_filepath
    channel: Channel = utterance.channel or "mix"
    if utterance.offset is None:
        return audio.read(path, sample_rate, damage=damage, channel=channel)
    segment = utterance.offset, utterance.duration
    if damage is None and (kept := KEPT.open(path, channel)):
        pieces, rate = kept.waveform(sample_rate, segment)
        return torch.cat(list(pieces)), rate
    return audio.read(path, sample_rate, segment=segment, damage=damage, channel=channel)


def read_member(member: Member) -> bytes:
    """The bytes of a recording in a shard. Raises as `read_utterance` does."""
    shard = member.shard
    with _open_shard(shard) as file:
        status = os.fstat(file.fileno())
        if status.st_size != shard.num_bytes:
            found = f"{status.st_size}: it is truncated or a different one"
            raise shard_error(shard, f"{shard.num_bytes} bytes", found)
        # The modification time of a cached copy is that of its last use and does not count.
        identity = (status.st_ino, 0 if shard.is_remote else status.st_mtime_ns)
        if _checked.get(shard) != identity:
            check_members(file, shard, functools.partial(_names_in_manifest, shard))
            _checked[shard] = identity
        return member_bytes(file, member)


_checked: dict[Shard, tuple[int, int]] = {}
"""Shards whose members this process has checked, with the identity of the file: listing a tar file
takes too long to do it at every access."""


def _names_in_manifest(shard: Shard) -> set[str]:
    """Names of the members of a shard in the manifest beside it."""
    members = {
        utterance.member
        for utterance in read_manifest(Path(shard.location).parent / MANIFEST_FILE, False)
    }
    return {member.name for member in members if member and member.shard == shard}


@contextmanager
def _open_shard(shard: Shard) -> Iterator[BinaryIO]:
    if shard.is_remote:
        with open_cached_shard(shard.location, shard.num_bytes, shard.sha256) as file:
            yield file
        return
    try:
        file = io.FileIO(shard.location)
    except (OSError, ValueError) as error:
        raise shard_error(
            shard, "a shard", getattr(error, "strerror", None) or str(error)
        ) from error
    with io.BufferedReader(file) as buffered:
        yield buffered
