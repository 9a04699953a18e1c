"""Audio in and out: whatever soundfile decodes, as mono float32 waveforms."""

import dataclasses
import glob
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import soundfile
import torch
from torch import Tensor

from asr.errors import AudioError
from asr.files import atomic_write
from asr.signal.audio_file import DEFAULT_LIMITS, AudioInfo, Limits, Part, RawFormat, open_audio
from asr.signal.containers.headers import UNKNOWN_FRAMES, audio_error

__all__ = ["SUFFIXES", "AudioInfo", "Limits", "Part", "RawFormat"]
__all__ += ["encode", "find_audio", "probe", "read", "write"]

SUFFIXES = frozenset(
    ".wav .wave .rf64 .flac .ogg .oga .opus .mp3 .aif .aiff .aifc .au .snd .sph .nist".split()
)
"""File name endings, in lower case, that `find_audio` looks for in folders."""


def probe(
    path: Path | str, raw: RawFormat | None = None, limits: Limits = DEFAULT_LIMITS
) -> AudioInfo:
    """What a file holds, by its header; a stream that does not state its length is counted through.

    Raises AudioError as `read` does, save for damage that shows only in decoding.
    """
    with open_audio(Path(path), raw, limits) as source:
        if source.info.frames < UNKNOWN_FRAMES:
            return source.info
        frames = sum(len(block) for block in source.blocks())
        seconds = frames / source.info.sample_rate
        return dataclasses.replace(source.info, frames=frames, duration_seconds=seconds)


def read(
    path: Path | str,
    sample_rate: int | None = None,
    raw: RawFormat | None = None,
    limits: Limits = DEFAULT_LIMITS,
    part: Part | None = None,
    content: bytes | None = None,
) -> tuple[Tensor, int]:
    """A file as `(S,)` float32, and its sample rate in Hz.

    All of it, or with `part` the samples from an offset on, for a duration, both in seconds. If the
    file's bytes are given as `content`, `path` only names them in messages.

    Channels are averaged, and the audio is resampled if `sample_rate` is given; the log (logger
    `asr.audio`) says so once for each number of channels and each rate. Full scale is 1; float
    files may exceed it and are left as they are. Headerless files need `raw`, which then holds for
    the file whatever it contains.

    Raises AudioError on a file that is missing, no regular file, not audio, empty, truncated or
    damaged, holds NaN or infinity, is shorter than `part` asks, or breaks `limits`; ConfigError on
    a rate that is not positive.
    """
    with open_audio(Path(path), raw, limits, content) as source:
        pieces, rate = source.waveform(sample_rate, part)
        return torch.cat(list(pieces)), rate


def write(path: Path | str, waveform: Tensor, sample_rate: int) -> None:
    """Write a `(S,)` waveform in [-1, 1] as 16-bit WAV or FLAC, by the suffix, whole or not at all.

    Raises AudioError as `encode` does, and AsrError if the file cannot be written.
    """
    content = encode(Path(path), waveform, sample_rate)
    with atomic_write(path) as temporary:  # in one piece, so that a full disk is an OSError
        temporary.write_bytes(content)


def encode(path: Path, waveform: Tensor, sample_rate: int) -> bytes:
    """The content of the file that `write` would write.

    Raises AudioError on another suffix, and on samples that are not finite or would be clipped.
    """
    if path.suffix.lower() not in (".wav", ".flac"):
        raise audio_error(path, "a name ending in .wav or .flac", repr(path.suffix), "rename it")
    peak = float(waveform.abs().max()) if waveform.numel() else 0.0
    if waveform.dim() != 1 or not peak <= 1.0:
        found = f"shape {tuple(waveform.shape)} with a peak of {peak}"
        raise audio_error(path, "samples (S,) within [-1, 1]", found, "average or scale them first")
    # libsndfile would scale by 32767 here, yet by 1/32768 in reading.
    samples = (waveform * 32768).round().clamp(max=32767).to(torch.int16).cpu().numpy()
    encoded = io.BytesIO()
    try:
        soundfile.write(encoded, samples, sample_rate, "PCM_16", format=path.suffix[1:].upper())
    except soundfile.SoundFileError as error:
        found = f"{sample_rate} Hz ({error})"
        raise audio_error(
            path, "a sample rate that the format has", found, "resample it"
        ) from error
    return encoded.getvalue()


def find_audio(arguments: Sequence[Path | str]) -> list[Path]:
    """The files that command-line arguments name, each once, in order.

    A folder stands for all files below it with a known suffix (`SUFFIXES`), sorted, hidden ones
    left out. A glob (`**` for any depth) stands for its matches, sorted, as a shell would have
    expanded it. Any other argument stands for itself, whatever its suffix, missing or not: reading
    it will tell. Raises AudioError on a folder without audio and on a glob without a match.
    """
    found: dict[str, Path] = {}
    for argument in map(str, arguments):
        paths = [argument]
        if glob.has_magic(argument) and not os.path.lexists(argument):
            paths = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207 (may be absolute)
            if not paths:
                raise AudioError(f"{argument}: no file matches this pattern; check its spelling")
        for path in map(Path, paths):
            for file in _audio_below(path) if path.is_dir() else [path]:
                # Not resolve(): two links to one recording are two names, as in some corpora.
                found.setdefault(os.path.abspath(file), file)  # noqa: PTH100
    return list(found.values())


def _audio_below(folder: Path) -> list[Path]:
    def refuse(error: OSError) -> NoReturn:
        raise AudioError(f"{error.filename}: cannot list this folder ({error.strerror})")

    files: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [
            Path(parent, name)
            for name in names
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES
        ]
    if not files:
        raise audio_error(
            folder,
            f"files ending in {' '.join(sorted(SUFFIXES))}",
            "none in this folder",
            "name the files themselves if they end otherwise",
        )
    return sorted(files)
