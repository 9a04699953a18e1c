"""Validation transcripts in a run's folder, to watch them improve.

`dev_samples.jsonl` has the transcripts of the same few validation utterances after every epoch,
`dev_transcripts.txt` those of all validation utterances after the newest.
"""

import logging
from collections.abc import Mapping
from pathlib import Path

from asr.checkpoint.run_folder import read_lines
from asr.files import json_line, write_text_atomic
from asr.printing import printable

SAMPLES = "dev_samples.jsonl"

_log = logging.getLogger("asr.training")


def record_samples(
    folder: Path,
    epoch: int,
    references: Mapping[str, str],
    hypotheses: Mapping[str, str],
    count: int = 8,
) -> None:
    """Add the transcripts of `count` utterances, from the shortest to the longest, at `epoch`.

    Lines are sorted by utterance, so that each is seen to improve. Lines of this and later epochs
    are replaced: a resumed run goes through them again. Raises AsrError if the file cannot be
    written.
    """
    path = folder / SAMPLES
    lines, invalid = read_lines(path)
    if invalid:
        _log.warning("%s: damaged lines were dropped: %s", path, invalid)
    samples = [
        line
        for line in lines
        if "id" in line and isinstance(line.get("epoch"), int) and line["epoch"] < epoch
    ]
    chosen = _spread(references, count)
    samples += [
        {"id": i, "epoch": epoch, "reference": references[i], "hypothesis": hypotheses[i]}
        for i in chosen
    ]
    ids = list(dict.fromkeys([*chosen, *(sample["id"] for sample in samples)]))
    samples.sort(key=lambda sample: (ids.index(sample["id"]), sample["epoch"]))
    text = "".join(map(json_line, samples))
    write_text_atomic(path, text)


def _spread(references: Mapping[str, str], count: int) -> list[str]:
    """At most `count` ids, evenly spaced when all are sorted by the length of their text."""
    ranked = sorted(references, key=lambda i: (len(references[i]), i))
    count = min(count, len(ranked))
    return [ranked[round(place * (len(ranked) - 1) / max(count - 1, 1))] for place in range(count)]


def record_transcripts(
    folder: Path, references: Mapping[str, str], hypotheses: Mapping[str, str]
) -> None:
    """Write all validation transcripts of the newest epoch beside their references."""
    lines = [
        f"{i}\n  reference  {references[i]}\n  hypothesis {hypotheses[i]}\n"
        for i in sorted(hypotheses)
    ]
    write_text_atomic(folder / "dev_transcripts.txt", printable("".join(lines)))
