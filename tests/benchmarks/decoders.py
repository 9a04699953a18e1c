"""Decoders compared in one process: `python -m tests.benchmarks.decoders --json results.json`.

Sections: nolm (synthetic emissions without language model), wordlm (the same with a word 3-gram),
an4 (emissions of a checkpoint, without and with a 3-gram) and scaling (ours alone). Times are CPU
milliseconds of one thread for each second of audio. How the emissions are made, how decoders are
tuned and how to install the peers: README.md beside this file.
"""

import argparse
import json
import math
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch

from asr.decode.beam import SearchConfig, search, search_batch
from asr.language.ngram.arpa import write_arpa
from asr.language.ngram.kneser_ney import estimate
from tests.benchmarks import english
from tests.benchmarks.contest import Result, enter, hold
from tests.benchmarks.emissions import FRAME_SECONDS, emit_tokens
from tests.benchmarks.peers import WITH_WORD_MODEL, WITHOUT_MODEL, Contender
from tests.benchmarks.speech import Material, recorded, synthetic

SECTIONS = ("nolm", "wordlm", "an4", "scaling")
ORDER = 3


def say(message: str) -> None:
    """Progress, to stderr."""
    print(message, file=sys.stderr, flush=True)


def main() -> None:
    """Run the sections asked for; Markdown to stdout, everything to --json."""
    options = _options()
    torch.set_num_threads(1)
    report: dict[str, Any] = {"machine": _machine(), "beams": options.beams, "runs": options.runs}
    print(f"Measured with {', '.join(f'{k} {v}' for k, v in report['machine'].items())}.\n")
    made: list[Material] = []

    def material() -> Material:
        if not made:
            text = english.from_files(options.text) if options.text else english.from_packages()
            made.append(synthetic(text, options.utterances, options.seed))
            _describe("Synthetic", made[0])
        return made[0]

    for section in options.section or SECTIONS:
        if section == "an4":
            an4 = recorded(
                options.checkpoint,
                options.test,
                options.tuning_checkpoint or options.checkpoint,
                options.dev,
                options.train,
            )
            _describe("AN4", an4)
            report["an4"] = _compare(WITHOUT_MODEL, an4, options)
            report["an4, 3-gram"] = _compare(WITH_WORD_MODEL, an4, options, order=ORDER)
        elif section == "scaling":
            report["scaling"] = _scaling(material(), options)
        else:
            contenders, order = {"nolm": (WITHOUT_MODEL, 0), "wordlm": (WITH_WORD_MODEL, ORDER)}[
                section
            ]
            report[section] = _compare(contenders, material(), options, order)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", "utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.decoders", description=str(__doc__).split("\n\n")[0]
    )
    parser.add_argument(
        "section",
        nargs="*",
        choices=[*SECTIONS, []],
        metavar="SECTION",
        help=f"{', '.join(SECTIONS)}; default: all",
    )
    parser.add_argument("--beams", type=int, nargs="+", default=[16, 50, 100])
    parser.add_argument("--runs", type=int, default=5, help="of which the median is shown")
    parser.add_argument(
        "--patience", type=float, default=30.0, metavar="SECONDS", help="after which no more runs"
    )
    parser.add_argument("--only", action="append", metavar="NAME", help="decoders so named alone")
    parser.add_argument("--utterances", type=int, default=64, help="of the synthetic test set")
    parser.add_argument("--seed", type=int, default=0, help="of the synthetic sets")
    parser.add_argument("--text", type=Path, nargs="+", metavar="FILE", help="English to utter")
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/an4-blstm"))
    parser.add_argument(
        "--tuning_checkpoint",
        type=Path,
        metavar="FOLDER",
        help="one that was not trained on --dev, to tune on; default: --checkpoint",
    )
    for name in ("test", "dev", "train"):
        parser.add_argument(f"--{name}", type=Path, default=Path(f"data/an4/{name}.jsonl"))
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args()


def _machine() -> dict[str, str]:
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [
            line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        name = models[0].partition(":")[2].strip() if models else name
    return {
        "CPU": name,
        "Python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
    }


def _describe(title: str, material: Material) -> None:
    test, tuning = material.test, material.tuning
    vocabulary = {word for line in material.lines for word in line}
    spoken = [word for reference in test.references for word in reference.split()]
    unknown = sum(word not in vocabulary for word in spoken) / len(spoken)
    print(
        f"{title}: {len(test.emissions)} utterances, {test.seconds:.0f} s, "
        f"{len(test.table)} tokens; greedy WER {test.word_error_rate(test.greedy):.2%}, "
        f"CER {test.character_error_rate(test.greedy):.2%}. Tuned on "
        f"{len(tuning.emissions)} others (greedy WER "
        f"{tuning.word_error_rate(tuning.greedy):.2%}). Text for the language model: "
        f"{sum(map(len, material.lines))} words, {len(vocabulary)} different; "
        f"{unknown:.1%} of the uttered words are not among them.\n",
        flush=True,
    )


def _compare(
    contenders: Sequence[Contender],
    material: Material,
    options: argparse.Namespace,
    order: int = 0,
) -> list[dict[str, Any]]:
    """Tune, time and print decoders, with an n-gram of `order` unless that is 0."""
    chosen = [c for c in contenders if not options.only or any(n in c.name for n in options.only)]
    with tempfile.TemporaryDirectory() as folder:
        arpa = _estimate(material, order, Path(folder)) if order else None
        entrants = enter(chosen, material.tuning, arpa, say)
        results = hold(entrants, material.test, options.beams, options.runs, options.patience, say)
    print(f"{f'Word {order}-gram' if order else 'No language model'}:\n")
    print(_table(results, options.beams), flush=True)
    return [result.as_json() for result in results]


def _estimate(material: Material, order: int, folder: Path) -> Path:
    arpa = folder / "words.arpa"
    write_arpa(arpa, estimate(material.lines, order).table)
    return arpa


def _table(results: Sequence[Result], beams: Sequence[int]) -> str:
    """A row for each decoder: milliseconds and WER, and our first decoder's time over its.

    A decoder that chose its beam by itself has the same figures in all columns.
    """
    by_name: dict[str, dict[int, Result]] = {}
    for result in results:
        if result.own_beam:
            by_name[f"{result.name} (at its own beam, {result.beam})"] = dict.fromkeys(
                beams, result
            )
        else:
            by_name.setdefault(result.name, {})[result.beam] = result
    ours = next((row for row in by_name.values() if row[beams[0]].ours), None)
    lines = [
        "| ms per second of audio, WER % | " + " | ".join(f"beam {b}" for b in beams) + " | "
        "ours ÷ it, time |",
        "|---|" + "---|" * (len(beams) + 1),
    ]
    for name, row in by_name.items():
        cells = [f"{row[b].milliseconds:.3g}, {100 * row[b].word_error_rate:.2f}" for b in beams]
        ratios = (
            [f"{ours[b].milliseconds / row[b].milliseconds:.2f}" for b in beams] if ours else []
        )
        lines.append(f"| {name} | {' | '.join(cells)} | {' '.join(ratios)} |")
    return "\n".join(lines) + "\n"


def _scaling(material: Material, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Our decoder alone: milliseconds per second of audio along four axes."""
    batch = [torch.from_numpy(emissions) for emissions in material.test.emissions]
    cut = math.log(1e-3)
    scaling = {}

    def measure(
        title: str, items: Sequence[Any], decode: Callable[[Any], tuple[float, float]]
    ) -> None:
        runs = [[decode(item) for item in items] for _ in range(options.runs + 1)][1:]
        medians = [
            statistics.median(1e3 * spent / seconds for spent, seconds in column)
            for column in zip(*runs, strict=True)
        ]
        scaling[title] = dict(zip(map(str, items), medians, strict=True))
        print(f"| {title} | {' | '.join(map(str, items))} |\n|---|" + "---|" * len(items))
        print(f"| ms | {' | '.join(f'{median:.3g}' for median in medians)} |\n", flush=True)

    def by_beam(beam: int) -> tuple[float, float]:
        return _spent(batch, SearchConfig(beam, token_log_threshold=cut))

    def by_size(tokens: int) -> tuple[float, float]:
        return _spent(_drawn(tokens, 500), SearchConfig(50, token_log_threshold=cut))

    def by_length(frames: int) -> tuple[float, float]:
        return _spent(_drawn(29, frames), SearchConfig(50, token_log_threshold=cut))

    def by_threads(threads: int) -> tuple[float, float]:
        began = time.perf_counter()
        search_batch(batch, SearchConfig(100, token_log_threshold=cut), threads=threads)
        return time.perf_counter() - began, material.test.seconds

    measure("beam", [1, 4, 16, 50, 100, 200, 500], by_beam)
    measure("tokens (beam 50)", [29, 500, 5000], by_size)
    measure("frames (beam 50)", [250, 1000, 4000, 16000], by_length)
    measure("threads (beam 100, elapsed time)", [1, 2], by_threads)
    return scaling


def _drawn(tokens: int, frames: int) -> list[torch.Tensor]:
    """16 000 frames of random emissions in utterances of so many."""
    generator = np.random.default_rng(0)
    count = 16_000 // frames
    return [torch.from_numpy(emit_tokens(tokens, frames, generator)) for _ in range(count)]


def _spent(batch: Sequence[torch.Tensor], config: SearchConfig) -> tuple[float, float]:
    """CPU seconds, and seconds of audio."""
    began = time.process_time()
    for log_probs in batch:
        search(log_probs, config)
    return time.process_time() - began, FRAME_SECONDS * sum(map(len, batch))


if __name__ == "__main__":
    main()
