"""What becomes of damaged recordings: how many are refused, read, or shortened without a word.

    python -m tests.benchmarks.damage [--damages 400] [--seed 0]

For each container: single bytes changed, anywhere and in the header, files cut short, and stretches
removed from the middle. A recording that is read must be as long as it was, unless a warning says
what is missing. Samples that differ are not counted: nothing tells them in an uncompressed file.
"""

import argparse
import io
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile

from asr.errors import AudioError
from asr.signal.audio import read

REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLES = REPOSITORY / "recipes" / "synthetic" / "samples"
CONTAINERS = {
    "WAV": ("WAV", "PCM_16"),
    "RF64": ("RF64", "PCM_16"),
    "AIFF": ("AIFF", "PCM_16"),
    "AU": ("AU", "PCM_16"),
    "NIST": ("NIST", "PCM_16"),
    "FLAC": ("FLAC", "PCM_16"),
    "Vorbis": ("OGG", "VORBIS"),
    "Opus": ("OGG", "OPUS"),
    "MP3": ("MP3", "MPEG_LAYER_III"),
}
FATES = ("refused", "warned", "whole", "SHORTENED", "LENGTHENED", "OTHER ERROR")

Damage = Callable[[bytes, random.Random], bytes]


def changed_byte(content: bytes, rng: random.Random) -> bytes:
    """One byte is another."""
    place = rng.randrange(len(content))
    return content[:place] + bytes([content[place] ^ rng.randrange(1, 256)]) + content[place + 1 :]


def changed_byte_of_header(content: bytes, rng: random.Random) -> bytes:
    """The same, in the first kilobyte."""
    return changed_byte(content[:1000], rng) + content[1000:]


def cut_short(content: bytes, rng: random.Random) -> bytes:
    """The end is missing."""
    return content[: rng.randrange(len(content))]


def stretch_removed(content: bytes, rng: random.Random) -> bytes:
    """Something is missing in the middle."""
    first = rng.randrange(len(content) // 10, len(content) * 9 // 10)
    return content[:first] + content[first + rng.randrange(1, len(content) // 10) :]


DAMAGES: dict[str, Damage] = {
    "a byte": changed_byte,
    "a byte of the header": changed_byte_of_header,
    "cut short": cut_short,
    "a stretch removed": stretch_removed,
}


class _Warnings(logging.Handler):
    """Counts what is said about a file."""

    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += record.levelno >= logging.WARNING


def encoded(container: str, subtype: str) -> bytes:
    """Several seconds of speech."""
    parts = [soundfile.read(path)[0] for path in sorted(SAMPLES.glob("*.flac"))[:6]]
    file = io.BytesIO()
    soundfile.write(file, np.concatenate(parts), 16_000, subtype, format=container)
    return file.getvalue()


def fate(content: bytes, frames: int, warnings: _Warnings) -> str:
    """What becomes of a file, of which the sound version has so many frames."""
    before = warnings.count
    try:
        found = len(read("damaged", content=content)[0])
    except AudioError:
        return "refused"
    except Exception:
        return "OTHER ERROR"
    if warnings.count > before:
        return "warned"
    return "whole" if found == frames else "SHORTENED" if found < frames else "LENGTHENED"


def campaign(damages: int, seed: int) -> Iterator[tuple[str, str, Counter[str]]]:
    """The fates of the files, by container and kind of damage."""
    log, warnings = logging.getLogger("asr.audio"), _Warnings()
    log.addHandler(warnings)
    log.propagate = False
    for name, (container, subtype) in CONTAINERS.items():
        sound = encoded(container, subtype)
        frames = len(read("sound", content=sound)[0])
        for kind, damage in DAMAGES.items():
            rng = random.Random(f"{seed} {name} {kind}")
            fates = (fate(damage(sound, rng), frames, warnings) for _ in range(damages))
            yield name, kind, Counter(fates)


def main() -> None:
    """Print a table, and fail if anything was lost without a word."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--damages", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print("| container | damage |", " | ".join(FATES), "|")
    print("|---|---|" + "---|" * len(FATES))
    total: Counter[str] = Counter()
    for name, kind, fates in campaign(options.damages, options.seed):
        total += fates
        print(f"| {name} | {kind} |", " | ".join(str(fates[one]) for one in FATES), "|", flush=True)
    print("| all | |", " | ".join(str(total[one]) for one in FATES), "|")
    raise SystemExit(any(total[one] for one in FATES if one.isupper()))


if __name__ == "__main__":
    main()
