"""What becomes of small inputs that once went wrong, through every command that they concern.

    python -m tests.benchmarks.faults FOLDER [--only TEXT]

FOLDER holds recordings, manifests, tables, models, grammars and settings, each an example of a
fault. The table says of each how the command ended and what it said first; a traceback, or more
than a minute for one of them, fails.
"""

import argparse
import contextlib
import io
import json
import logging
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from safetensors.torch import load_file, save_file

from asr.checkpoint.integrity import json_with_digest
from asr.cli.main import main as asr
from asr.files import sha256_of

CHECKPOINT = Path(__file__).resolve().parents[2] / "checkpoints" / "english"
RECORDINGS = (".wav", ".au", ".mp3", ".flac", ".opus", ".w64")
_SECONDS = 60.0

Command = list[str | Path]


def commands(folder: Path, out: Path) -> Iterator[Command]:
    """Each command with its arguments; what they write goes to `out`."""
    for path in sorted(p for p in folder.iterdir() if p.suffix in RECORDINGS):
        yield ["transcribe", CHECKPOINT, path]
        yield ["transcribe", CHECKPOINT, path, "--damaged", "read", "-f", "json"]
        yield ["align", CHECKPOINT, path, "ONE", "--min_match", "0", "-f", "ctm"]
    yield ["transcribe", CHECKPOINT, folder, "-o", out / "transcripts"]
    for manifest in sorted([*folder.glob("*.jsonl"), *folder.glob("*/case.jsonl")]):
        yield ["evaluate", CHECKPOINT, manifest]
        yield ["tune", copy(CHECKPOINT, out / f"tuned-{manifest.stem}"), manifest, "--dry_run"]
    for manifest in sorted([*folder.glob("train/*.jsonl"), *folder.glob("text/*/m.jsonl")]):
        data: Command = ["--train", manifest, "--dev", manifest, "--set", "optim.epochs=1"]
        small: Command = ["--set", "encoder.hidden=8", "--set", "encoder.layers=1"]
        yield ["train", *data, *small, "-o", out / f"run-{manifest.stem}"]
    for settings in sorted(folder.glob("text/*/cfg.json")):
        yield ["train", "--config", settings, "-o", out / f"run-{settings.parent.name}"]
    for table in sorted([*folder.glob("cv/*.?sv"), *folder.glob("text/*/t.?sv")]):
        root = table.parent / "clips" if table.stem == "pandas" else table.parent
        yield ["import", "csv", table, "--root", root, "-o", out / "table.jsonl"]
    for kaldi in sorted([*folder.glob("kaldi-*"), *folder.glob("text/*/k")]):
        arguments: Command = [kaldi, "--root", kaldi.parent, "-o", out / "kaldi.jsonl"]
        yield ["import", "kaldi", *arguments]
        yield ["import", "kaldi", *arguments, "--channel", "2"]
    for cuts in sorted(folder.glob("text/*/c.jsonl*")):
        yield ["import", "lhotse", cuts, "--root", cuts.parent, "-o", out / "cuts.jsonl"]
    for libri in sorted(folder.glob("text/*/ls")):
        yield ["import", "librispeech", libri, "-o", out / "libri.jsonl"]
    for model in sorted(folder.glob("lm/*.arpa")):
        yield ["transcribe", CHECKPOINT, folder / "a.wav", "--lm", model]
        text = out / "text.txt"
        text.write_text("NON CAF\u00c9\n", encoding="utf-8")
        yield ["lm", "score", model, text]
    for grammar in sorted([*folder.glob("*.jsgf"), *folder.glob("text/*/*.jsgf")]):
        yield ["transcribe", CHECKPOINT, folder / "a.wav", "--grammar", grammar]
    for reference in sorted(folder.glob("score/*-ref.*")):
        yield ["score", reference, reference.with_name(reference.name.replace("-ref", "-hyp"))]
    for settings in sorted(folder.glob("checkpoint/*")):
        yield ["describe", with_weights(settings, out)]
        yield ["transcribe", with_weights(settings, out), folder / "a.wav"]
    for settings in sorted(folder.glob("average/*")):
        yield ["average", with_weights(settings, out), CHECKPOINT, "-o", out / settings.name]


def copy(checkpoint: Path, folder: Path) -> Path:
    """A copy of a checkpoint that may be altered."""
    shutil.copytree(checkpoint, folder, dirs_exist_ok=True)
    return folder


def with_weights(settings: Path, out: Path) -> Path:
    """The settings of a checkpoint, with the weights of another and what it records of them."""
    folder = copy(settings, out / f"checkpoint-{settings.name}")
    shutil.copy(CHECKPOINT / "lm.arpa.gz", folder)
    weights = load_file(CHECKPOINT / "model.safetensors")
    weights["output.bias"] += 0.01  # `asr average` refuses the same weights twice
    save_file(weights, folder / "model.safetensors")
    config = json.loads((settings / "config.json").read_text(encoding="utf-8"))
    config["files"] = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": sha256_of(folder / name)}
        for name in config["files"]
    }
    path = folder / "config.json"
    path.write_bytes(json_with_digest(config, path))
    return folder


def ended(arguments: Command) -> tuple[str, str]:
    """The exit code of a command, or what it raised, and what it printed."""
    printed = io.StringIO()
    logging.root.handlers = []
    sys.argv = ["asr", *map(str, arguments)]
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            asr()
        except SystemExit as end:
            code = str(end.code or 0)
        except BaseException:
            return "TRACEBACK", traceback.format_exc().splitlines()[-1]
        else:
            code = "0"
    usual = ("decoding ", "compiling ", "[src/", "Warning: ")
    lines = [line for line in printed.getvalue().splitlines() if not line.startswith(usual)]
    return code, next(iter(lines), "")


def main() -> None:
    """Print the table, and fail on a traceback or a command that takes too long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="run only commands with this text in them")
    options = parser.parse_args()
    faults = 0
    print("| command | exit | seconds | says |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as out:
        for arguments in commands(options.folder, Path(out)):
            shown = " ".join(map(str, arguments)).replace(f"{options.folder}/", "")
            shown = shown.replace(str(CHECKPOINT), CHECKPOINT.name).replace(f"{out}/", "")
            if options.only not in shown:
                continue
            started = time.perf_counter()
            code, said = ended(arguments)
            seconds = time.perf_counter() - started
            faults += code == "TRACEBACK" or seconds > _SECONDS
            said = said.replace(f"{options.folder}/", "").replace(f"{out}/", "").replace("|", "/")
            print(f"| `{shown}` | {code} | {seconds:.1f} | {said[:150]} |", flush=True)
    raise SystemExit(faults > 0)


if __name__ == "__main__":
    main()
