"""Reads and writes audio files as mono float32 waveforms, and finds them in folders."""

import dataclasses
import glob
import io
import logging
import mimetypes
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import soundfile
import torch
from torch import Tensor

from asr.errors import AudioError
from asr.files import atomic_write, files_below, is_folder
from asr.signal.audio_file import DEFAULT_LIMITS, AudioInfo, Limits, RawFormat, Segment, open_audio
from asr.signal.channels import Channel
from asr.signal.containers.headers import UNKNOWN_FRAMES, audio_error
from asr.signal.decoder import check_listed

__all__ = ["SUFFIXES", "AudioInfo", "Limits", "RawFormat", "Segment"]
__all__ += ["blocks", "encode", "find_audio", "probe", "read", "write"]

_log = logging.getLogger("asr.audio")

SUFFIXES = frozenset(
    ".wav .wave .rf64 .w64 .flac .ogg .oga .opus .mp3 .aif .aiff .aifc .au .snd .sph .nist "
    ".m4a .m4b .mp4 .mov .3gp .amr .awb .webm .weba .mka .mkv".split()
)
"""File name suffixes, in lower case, that `find_audio` looks for in folders; to read those of the
second line, the extra `media` is needed."""
_BESIDE_AUDIO = frozenset(
    ".jsonl .trn .ctm .stm .lab .textgrid .yaml .yml .toml .arpa .md .log".split()
)


def probe(
    path: Path | str,
    raw: RawFormat | None = None,
    limits: Limits = DEFAULT_LIMITS,
    damage: list[str] | None = None,
) -> AudioInfo:
    """Properties of a file from its header; a stream of unknown length is decoded to count it.

    Raises AudioError as `read` does, except for damage that shows only in decoding. With `damage`,
    a list, the file is decoded to count what is left of it, and what is wrong added to the list.
    """
    with open_audio(Path(path), raw, limits, damage=damage) as source:
        if source.info.frames < UNKNOWN_FRAMES and damage is None:
            return source.info
        frames = sum(len(block) for block in source.blocks())
        seconds = frames / source.info.sample_rate
        return dataclasses.replace(source.info, frames=frames, duration_seconds=seconds)


def read(
    path: Path | str,
    sample_rate: int | None = None,
    raw: RawFormat | None = None,
    limits: Limits = DEFAULT_LIMITS,
    segment: Segment | None = None,
    content: bytes | None = None,
    damage: list[str] | None = None,
    channel: Channel = "mix",
) -> tuple[Tensor, int]:
    """Read a file as a waveform `(S,)` float32, with its sample rate in Hz.

    `segment`, an offset and a duration in seconds, selects a part of the file. If the content of
    the file is given as `content`, `path` only names it in messages. With `damage`, a list,
    a recording of which a part is missing is not refused: what is there is read, and what is wrong
    added to the list.

    Channels are averaged unless a `channel` is named by its number, and the audio is resampled if
    `sample_rate` is given; the logger `asr.audio` reports this once for each number of channels and
    each rate. Full scale is 1; float files may exceed it and are not scaled. Headerless files need
    `raw`, which is then applied to the file whatever it contains.

    Raises DamagedAudioError on a file that is truncated or damaged; AudioError on one that is
    missing, not a regular file, not audio, empty, contains NaN or infinity, is shorter than
    `segment` needs, lacks the `channel`, or exceeds `limits`; ConfigError on a sample rate that is
    not positive.
    """
    with open_audio(Path(path), raw, limits, content, damage) as source:
        pieces, rate = source.waveform(sample_rate, segment, channel)
        return torch.cat(list(pieces)), rate


def blocks(
    path: Path | str,
    sample_rate: int | None = None,
    raw: RawFormat | None = None,
    limits: Limits = DEFAULT_LIMITS,
    segment: Segment | None = None,
    content: bytes | None = None,
    damage: list[str] | None = None,
    channel: Channel = "mix",
) -> Iterator[Tensor]:
    """The waveform that `read` would return, as consecutive blocks `(S,)`.

    What is wrong with the file may only be known, and raised or added to `damage`, at its end.
    """
    with open_audio(Path(path), raw, limits, content, damage) as source:
        pieces, _ = source.waveform(sample_rate, segment, channel)
        yield from pieces


def write(path: Path | str, waveform: Tensor, sample_rate: int) -> None:
    """Write a `(S,)` waveform in [-1, 1] atomically as 16-bit WAV or FLAC, by its suffix.

    Raises AudioError as `encode` does, and AsrError if the file cannot be written.
    """
    content = encode(Path(path), waveform, sample_rate)
    # libsndfile does not report a full disk; writing the encoded bytes does.
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def encode(path: Path, waveform: Tensor, sample_rate: int) -> bytes:
    """The content of the file that `write` would write to `path`.

    Raises AudioError on any other suffix, and on samples that are not finite or would be clipped.
    """
    if path.suffix.lower() not in (".wav", ".flac"):
        raise audio_error(path, "a name ending in .wav or .flac", repr(path.suffix), "rename it")
    peak = float(waveform.abs().max()) if waveform.numel() else 0.0
    if waveform.dim() != 1 or not peak <= 1.0:
        found = f"shape {tuple(waveform.shape)} with a peak of {peak}"
        raise audio_error(path, "samples (S,) within [-1, 1]", found, "average or scale them first")
    # Scaled here because libsndfile multiplies by 32767 when writing floats, but divides by 32768
    # when reading: a waveform that is read and written again would not stay the same.
    samples = (waveform * 32768).round().clamp(max=32767).to(torch.int16).cpu().numpy()
    encoded = io.BytesIO()
    try:
        soundfile.write(encoded, samples, sample_rate, "PCM_16", format=path.suffix[1:].upper())
    except soundfile.SoundFileError as error:
        found = f"{sample_rate} Hz ({error})"
        raise audio_error(
            path, "a sample rate that the format supports", found, "resample it"
        ) from error
    return encoded.getvalue()


def find_audio(arguments: Sequence[Path | str]) -> list[Path]:
    """The audio files that command-line arguments stand for, in order, without duplicates.

    A folder stands for all files below it with a known suffix (`SUFFIXES`), sorted and without
    hidden ones. A glob pattern (`**` for any depth) stands for its matches, sorted, as a shell
    would expand it. Any other argument stands for itself, whatever its suffix, even if it does not
    exist, and so does a folder below the named one that cannot be listed: reading it will raise. A
    warning counts the files of a folder that are passed over, apart from text and pictures. Raises
    AudioError on a folder without audio files and on a pattern without a match.
    """
    found: dict[str, Path] = {}
    for argument in map(str, arguments):
        paths = [argument]
        if glob.has_magic(argument) and not os.path.lexists(argument):
            paths = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207 (may be absolute)
            if not paths:
                raise AudioError(f"{argument}: no file matches this pattern; check its spelling")
        for path in map(Path, paths):
            for file in _audio_below(path) if is_folder(path) else [path]:
                # Not resolve(): some corpora link one recording under two names, and both count.
                found.setdefault(os.path.abspath(file), file)  # noqa: PTH100
    return list(found.values())


def _audio_below(folder: Path) -> list[Path]:
    closed: list[Path] = []

    def note(error: OSError) -> None:
        closed.append(Path(error.filename))

    check_listed(folder)
    files: list[Path] = []
    others: Counter[str] = Counter()
    for file in files_below(folder, note):
        suffix = file.suffix.lower()
        if suffix in SUFFIXES:
            files.append(file)
        elif not _is_beside_audio(suffix):
            others[suffix or "without a suffix"] += 1
    if others:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in others.most_common(10))
        _log.warning(
            "%s: %d files are passed over, as their names are not those of audio that can be read "
            "(%s); name such a file itself, or convert it, e.g. by `ffmpeg -i FILE NEW.flac`",
            folder,
            others.total(),
            kinds,
        )
    if not files and not closed:
        raise audio_error(
            folder,
            f"files ending in {' '.join(sorted(SUFFIXES))}",
            "none in this folder",
            "name the files themselves if they have other suffixes",
        )
    return sorted([*files, *closed])


def _is_beside_audio(suffix: str) -> bool:
    """Whether files of this suffix lie beside recordings: transcripts, tables, pictures."""
    kind = mimetypes.guess_type(f"x{suffix}")[0] or ""
    return suffix in _BESIDE_AUDIO or kind.startswith(("text/", "image/", "application/"))
