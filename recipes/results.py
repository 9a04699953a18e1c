"""The README's table of shipped checkpoints: `python -m recipes.results`, with prepared corpora.

Scores every folder of `checkpoints/` on the available test sets, with its default decoder (its own
language model with tuned weights) and by greedy search, and writes the table between two marks in
README.md.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

import asr
from asr.corpus.manifest import read_manifest
from asr.errors import AsrError
from asr.files import write_text_atomic
from asr.inference.evaluation import evaluate
from recipes.command import run_command
from recipes.synthetic.prepare import SAMPLES

ROOT = Path(__file__).resolve().parents[1]
TESTS = {
    "CMU AN4 test": Path("data/an4/test.jsonl"),
    "its 104 sentences that train lacks": Path("data/alphanumeric/test/an4_new_sentences.jsonl"),
    "Free Spoken Digit Dataset, official test": Path("data/fsdd/test.jsonl"),
    "sample recordings, synthesised": SAMPLES / "manifest.jsonl",
}
MARKS = ("<!-- made by python -m recipes.results -->\n", "<!-- end -->\n")


def rows(checkpoint: Path, tests: dict[str, Path]) -> list[str]:
    """Markdown rows of a checkpoint, one per test set: WER and CER by default, greedy WER."""
    recognizer = asr.load(checkpoint)
    decoders = (recognizer.prepare().decoder, recognizer.prepare(beam_size=1).decoder)
    lines = []
    for name, manifest in tests.items():
        utterances = read_manifest(manifest)
        scores = [evaluate(recognizer, utterances, decoder=d).score for d in decoders]
        default, greedy = (percent(score.wer, score.wer_interval) for score in scores)
        cer = f"{100 * scores[0].cer:.1f} %"
        lines.append(f"| `{checkpoint.name}` | {name} | {default} | {cer} | {greedy} |")
    return lines


def percent(rate: float, interval: tuple[float, float]) -> str:
    """Format a rate and its interval, given as fractions, as `7.8 % (5.7–10.2)`."""
    low, high = interval
    return f"{100 * rate:.1f} % ({100 * low:.1f}–{100 * high:.1f})"


def table(checkpoints: Sequence[Path], tests: dict[str, Path]) -> str:
    """A Markdown table of all checkpoints and test sets."""
    head = ["| checkpoint | test | WER | CER | WER, greedy |", "|" + "---|" * 5]
    body = [line for checkpoint in checkpoints for line in rows(checkpoint, tests)]
    return "\n".join([*head, *body]) + "\n"


def replaced(text: str, new: str) -> str:
    """The text with new lines between the marks. Raises AsrError if the marks are missing."""
    begin, end = MARKS
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise AsrError(f"README.md: expected the lines {begin.strip()!r} and {end.strip()!r} in it")
    return f"{before}{begin}\n{new}\n{end}{after}"


def main(readme: Annotated[Path, typer.Option("--readme")] = ROOT / "README.md") -> None:
    """Score the shipped checkpoints and update the README."""
    available = {name: manifest for name, manifest in TESTS.items() if manifest.exists()}
    for name in sorted(TESTS.keys() - available.keys()):
        typer.echo(f"left out: {name}; {TESTS[name]} does not exist", err=True)
    folders = sorted(p.parent for p in (ROOT / "checkpoints").glob("*/config.json"))
    new = table(folders, available)
    write_text_atomic(readme, replaced(readme.read_text(encoding="utf-8"), new))
    typer.echo(new, nl=False)


if __name__ == "__main__":
    run_command(main)
