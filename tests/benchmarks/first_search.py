"""How long the first beam search takes on a machine: compiling, and without it.

    python -m tests.benchmarks.first_search [CASE ...]

Each case runs in two processes, of which the first finds an empty folder for compiled code and the
second what the first has left there. The difference is the time for compiling. Another process
compiles the search while this one reads and compiles the rest: on two idle cores the seconds that
pass are fewer than the CPU seconds of both, which hardly depend on what else the machine does.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
MODEL = REPOSITORY / "checkpoints" / "english" / "lm.arpa.gz"
GRAMMAR = "#JSGF V1.0;\ngrammar g;\npublic <g> = (YES | NO) (ONE | TWO)*;\n"
CASES = ("none", "lm", "grammar", "hotwords", "lm+grammar+hotwords")


def search_once(case: str) -> None:
    """Print the CPU seconds and seconds from building a decoder to its first hypothesis."""
    import torch

    from asr.decode.beam import SearchConfig
    from asr.decode.decoder import build_decoder
    from asr.text.tokens import TokenTable

    table = TokenTable(tuple(" '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    torch.manual_seed(0)
    emissions = (4 * torch.randn(100, len(table))).log_softmax(1)
    with tempfile.TemporaryDirectory() as folder:
        grammar = Path(folder) / "g.jsgf"
        grammar.write_text(GRAMMAR)
        cpu, seconds = sum(os.times()[:4]), time.perf_counter()
        decode = build_decoder(
            table,
            SearchConfig.fast(16),
            lm=MODEL if "lm" in case else None,
            grammar=grammar if "grammar" in case else None,
            hotwords={"HELLO WORLD": 4.5} if "hotwords" in case else None,
        )
        decode(emissions)
        print(sum(os.times()[:4]) - cpu, time.perf_counter() - seconds)


def measured(case: str, cache: str) -> tuple[float, float]:
    """The CPU seconds and seconds of a case in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.first_search", "--once", case],
        env={**os.environ, "NUMBA_CACHE_DIR": cache},
        capture_output=True,
        text=True,
        check=True,
    )
    cpu, seconds = map(float, done.stdout.split())
    return cpu, seconds


def main(cases: list[str]) -> None:
    """Measure the cases and print a table."""
    print("| case | cold CPU s | cold s | warm CPU s | warm s | compiling CPU s | compiling s |")
    print("|---|---|---|---|---|---|---|")
    for case in cases:
        with tempfile.TemporaryDirectory() as cache:
            cold, warm = measured(case, cache), measured(case, cache)
        row = (*cold, *warm, cold[0] - warm[0], cold[1] - warm[1])
        print(f"| {case} |", " | ".join(f"{value:.2f}" for value in row), "|", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--once"]:
        search_once(sys.argv[2])
    else:
        main(sys.argv[1:] or list(CASES))
