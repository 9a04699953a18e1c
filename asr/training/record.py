"""What a run's folder tells beside its figures: every start, and transcripts as they improve.

starts.jsonl has a line for each start or resumption: when, on what machine, with which versions
and settings. dev_samples.jsonl has what the same few validation utterances were heard as at every
epoch, dev_transcripts.txt all of them at the newest.
"""

import json
import logging
import os
import platform
import re
import shlex
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from asr.config import to_dict
from asr.files import read_committed, write_text_atomic
from asr.training.config import Config
from asr.version import package_versions, source_commit

STARTS, SAMPLES = "starts.jsonl", "dev_samples.jsonl"
MAX_BYTES = 2**30
"""A longer file was not written by a run."""

_TELLING = re.compile(
    "(CUBLAS|CUDA|DNNL|GOMP|KMP|MKL|OMP|ONEDNN|OPENBLAS|PYTORCH|TORCH)_|"
    "(ATEN_CPU_CAPABILITY|LD_PRELOAD|NVIDIA_TF32_OVERRIDE)$"
)
"""Names of environment variables that change speed or the last bits of a sum."""
_SECRET = re.compile("CREDENTIAL|PASSW|SECRET|TOKEN|_KEY")

_log = logging.getLogger("asr.training")


def record_start(
    folder: Path,
    config: Config,
    manifest_sha256: Mapping[str, str],
    device: torch.device,
    world_size: int,
    resumed_step: int | None,
) -> None:
    """Add a line to starts.jsonl; `resumed_step` is None for a fresh start.

    A line that an earlier crash cut short gives way; other lines stay as they are. Raises AsrError
    if the file cannot be written.
    """
    entry = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(sys.orig_argv),
        "resumed_step": resumed_step,
        "world_size": world_size,
        "manifest_sha256": dict(manifest_sha256),
        "commit": source_commit(),
        "packages": package_versions(),
        "platform": platform.platform(),
        **_machine(device),
        "environment": {
            name: value
            for name, value in sorted(os.environ.items())
            if _TELLING.match(name) and not _SECRET.search(name)
        },
        "config": to_dict(config),
    }
    path = folder / STARTS
    earlier, cut, rest = (read_committed(folder, STARTS, MAX_BYTES) or b"").rpartition(b"\n")
    kept = earlier + cut
    with suppress(ValueError, RecursionError):  # the last line lost no more than its end
        json.loads(rest)
        kept += rest + b"\n"
    write_text_atomic(path, kept.decode("utf-8", errors="replace") + json.dumps(entry) + "\n")


def _machine(device: torch.device) -> dict[str, Any]:
    """What the run computes on."""
    found: dict[str, Any] = {
        "processor": _processor(),
        "processors": os.cpu_count(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "memory_bytes": None,
        "device": str(device),
    }
    with suppress(AttributeError, OSError, ValueError):  # not every system tells
        found["memory_bytes"] = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if device.type == "cuda":
        found["devices"] = [
            torch.cuda.get_device_name(place) for place in range(torch.cuda.device_count())
        ]
        found["cuda"] = torch.version.cuda
        found["cudnn"] = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return found


def _processor() -> str:
    """The model of the processor, as far as the system tells."""
    with suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        if match := re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE):
            return match[1]
    return platform.processor() or platform.machine()


def record_samples(
    folder: Path,
    epoch: int,
    references: Mapping[str, str],
    hypotheses: Mapping[str, str],
    count: int = 8,
) -> None:
    """Add what `count` utterances, from the shortest to the longest, were heard as at `epoch`.

    Lines are sorted by utterance, so that one is seen improving. What stands of this epoch and of
    later ones is replaced: a resumed run goes through them again. Raises AsrError if the file
    cannot be written.
    """
    path = folder / SAMPLES
    entries, unreadable = read_lines(path)
    if unreadable:
        _log.warning("%s: damaged lines were dropped: %s", path, unreadable)
    kept = [
        entry
        for entry in entries
        if "id" in entry and isinstance(entry.get("epoch"), int) and entry["epoch"] < epoch
    ]
    chosen = _spread(references, count)
    kept += [
        {"id": i, "epoch": epoch, "reference": references[i], "hypothesis": hypotheses[i]}
        for i in chosen
    ]
    ids = list(dict.fromkeys([*chosen, *(entry["id"] for entry in kept)]))
    kept.sort(key=lambda entry: (ids.index(entry["id"]), entry["epoch"]))
    lines = (json.dumps(entry, ensure_ascii=False) + "\n" for entry in kept)
    write_text_atomic(path, "".join(lines))


def _spread(references: Mapping[str, str], count: int) -> list[str]:
    """At most `count` ids at even steps through all of them, shortest text first."""
    ranked = sorted(references, key=lambda i: (len(references[i]), i))
    count = min(count, len(ranked))
    return [ranked[round(place * (len(ranked) - 1) / max(count - 1, 1))] for place in range(count)]


def record_transcripts(
    folder: Path, references: Mapping[str, str], hypotheses: Mapping[str, str]
) -> None:
    """Keep the validation transcripts of the newest epoch beside their references."""
    lines = [
        f"{i}\n  reference  {references[i]}\n  hypothesis {hypotheses[i]}\n"
        for i in sorted(hypotheses)
    ]
    write_text_atomic(folder / "dev_transcripts.txt", "".join(lines))


def read_lines(path: Path) -> tuple[list[dict[str, Any]], list[int]]:
    """The JSON objects of a file, one a line, and the numbers of lines that are something else.

    A file that is missing has none. What follows the last newline was cut short by a crash, and is
    left out if it is no whole object.
    """
    lines = (read_committed(path.parent, path.name, MAX_BYTES) or b"").split(b"\n")
    entries, unreadable = [], []
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        if isinstance(entry, dict):
            entries.append(entry)
        elif number < len(lines):
            unreadable.append(number)
    return entries, unreadable
