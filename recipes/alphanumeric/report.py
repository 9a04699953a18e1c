"""The table of RESULTS.md: `python -m recipes.alphanumeric.report CHECKPOINT --left_out OTHER`.

Scores a checkpoint on the tests that `recipes.alphanumeric.prepare` wrote, and one that was trained
without FSDD and without digit strings on these. Greedy search, and that with the language model
of the checkpoint (or that of `--lm`, or a word list with `--lexicon`).
"""

import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
import typer

import asr
from asr.corpus.manifest import Utterance, read_manifest
from asr.decode.decoder import Decoder
from asr.errors import AsrError
from asr.inference.evaluation import evaluate
from asr.inference.recognizer import Recognizer
from asr.scoring.wer import AlignedUtterance, summarise
from recipes.alphanumeric.prepare import LEVELS_DB, read_ages
from recipes.synthetic.prepare import SAMPLES

WANTED_RATIOS = {20.0: 1.3, 10.0: 2.0, 0.0: 5.0}
"""WER in noise over that without, at most, by level in dB."""
AGES = {"6 years": range(7), "7 to 9 years": range(7, 10), "older": range(10, 200)}


@dataclass(frozen=True)
class Tester:
    """A checkpoint, the folder of the tests, and how to decode beside greedily."""

    recognizer: Recognizer
    folder: Path
    decoder: Decoder | None
    results: dict[Path, "TestResult"] = field(default_factory=dict, init=False)
    """Of the tests that have been decoded, by their manifests."""

    @property
    def decoders(self) -> list[Decoder]:
        """Greedy search, then the other, if there is one."""
        return [Decoder(), self.decoder] if self.decoder else [Decoder()]

    def decode(self, manifest: Path) -> "TestResult":
        """Transcribe and align every utterance of a manifest."""
        if manifest not in self.results:
            utterances = read_manifest(manifest)
            found = [evaluate(self.recognizer, utterances, decoder=d) for d in self.decoders]
            self.results[manifest] = TestResult(utterances, [one.aligned for one in found])
        return self.results[manifest]

    def decode_an4(self, level: float | None = None) -> "TestResult":
        """AN4's test, in quiet or in noise at some level in dB."""
        return self.decode(
            self.folder / ("an4.jsonl" if level is None else f"an4_{level:g}db.jsonl")
        )

    def words_a_minute(self, manifest: Path) -> str:
        """Words found in recordings in which nobody speaks, for each of the decoders."""
        utterances = read_manifest(manifest)
        found = [evaluate(self.recognizer, utterances, decoder=d).nonspeech for d in self.decoders]
        return f"{' / '.join(f'{n.words_per_minute:.2f}' for n in found if n)} words a minute"


@dataclass(frozen=True)
class TestResult:
    """Utterances of a test and their alignments, greedy and maybe by another search."""

    utterances: list[Utterance]
    aligned: list[list[AlignedUtterance]]

    def subset(self, wanted: Callable[[Utterance], bool]) -> "TestResult":
        """The results of some of the utterances."""
        chosen = [u for u in self.utterances if wanted(u)]
        ids = {u.id for u in chosen}
        return TestResult(chosen, [[a for a in own if a.id in ids] for own in self.aligned])

    @property
    def wers(self) -> list[float]:
        """Of greedy search, and maybe of another."""
        return [summarise(aligned, resamples=1).wer for aligned in self.aligned]


def row(what: str, result: TestResult, further: str = "", wanted: str = "") -> str:
    """A line of the table: WER with its 95 % interval, CER, utterances without an error."""
    cells = []
    for aligned in result.aligned:
        score = summarise(aligned)
        low, high = score.wer_interval
        cells.append(f"{score.wer:.2%} ({low:.2%}–{high:.2%})")
    greedy = summarise(result.aligned[0], resamples=1)
    cells[1:1] = [f"{greedy.cer:.2%}", f"{1 - greedy.ser:.1%}"]
    return _line([what, str(len(result.utterances)), *cells, further, wanted])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def heading(name: str, tester: Tester) -> list[str]:
    """The first lines of a table."""
    columns = [name, "utterances", "WER (95 %)", "CER", "all right"]
    if tester.decoder:
        columns.append("WER by the other search (95 %)")
    columns += ["further", "wanted"]
    return [_line(columns), "|" + "---|" * len(columns)]


def _bare(what: str, tester: Tester, further: str, wanted: str) -> str:
    """A row without error rates."""
    empty = [""] * (4 + (tester.decoder is not None))
    return _line([what, *empty, further, wanted])


def known_rows(tester: Tester) -> list[str]:
    """Results on new speakers of corpora that a checkpoint was trained on, and in noise."""
    clean = tester.decode_an4()
    new = {u.id for u in read_manifest(tester.folder / "an4_new_sentences.jsonl")}
    rows = [
        row("AN4 test", clean, wanted="≤ 8 %; with its language model ≤ 4 %"),
        row("… sentences that train lacks", _with_ids(clean, new)),
    ]
    for level in LEVELS_DB:
        noisy = tester.decode_an4(level)
        pairs = zip(noisy.wers, clean.wers, strict=True)
        ratios = [f"{wer / quiet:.2f}" if quiet else "no error in" for wer, quiet in pairs]
        ratio = f"{' / '.join(ratios)} × clean"
        rows.append(row(f"AN4 test at {level:g} dB", noisy, ratio, f"≤ {WANTED_RATIOS[level]:g} ×"))
    return [
        *rows,
        row(
            "FSDD test, speakers of the training data", tester.decode(tester.folder / "fsdd.jsonl")
        ),
        row("synthesised samples", tester.decode(SAMPLES / "manifest.jsonl")),
        row("LibriSpeech, sentences", tester.decode(tester.folder / "librispeech.jsonl")),
    ]


def by_noise(tester: Tester) -> list[str]:
    """A table of greedy WER on AN4 by kind of noise."""
    levels = {f"{level:g} dB": tester.decode_an4(level) for level in LEVELS_DB}
    kinds: dict[str, set[str]] = {}
    for u in next(iter(levels.values())).utterances:
        kind = u.audio_filepath.stem.removesuffix(f"-{u.id}")  # as write_noisy names it
        kinds.setdefault(kind, set()).add(u.id)
    columns = ["kind of noise", "utterances", "quiet", *levels]
    lines = [_line(columns), "|" + "---|" * len(columns)]
    for kind, ids in sorted(kinds.items()):
        parts = [_with_ids(result, ids) for result in (tester.decode_an4(), *levels.values())]
        lines.append(_line([kind, str(len(ids)), *(f"{part.wers[0]:.1%}" for part in parts)]))
    return lines


def left_out_rows(tester: Tester) -> list[str]:
    """Results on a corpus and on children that are missing from the training data."""
    ages = read_ages(tester.folder / "ages.json")
    digits = tester.decode(tester.folder / "fsdd_all.jsonl")
    strings = tester.decode(tester.folder / "digit_strings.jsonl")
    rows = [
        row("AN4 test", tester.decode_an4()),
        row("FSDD, all single digits", digits, wanted="all right ≥ 90 %"),
    ]
    speakers = sorted({u.speaker or "" for u in digits.utterances})
    rows += [row(f"… {speaker}", _of_speakers(digits, {speaker})) for speaker in speakers]
    rows.append(row("digit strings of Mandarin speakers", strings, wanted="≤ 30 %"))
    present = {u.speaker or "" for u in strings.utterances}
    for name, years in AGES.items():
        group = {s for s, age in ages.items() if age in years} & present
        if group:
            rows.append(row(f"… {name}, {len(group)} speakers", _of_speakers(strings, group)))
    return rows


def _with_ids(result: TestResult, ids: Collection[str]) -> TestResult:
    return result.subset(lambda u: u.id in ids)


def _of_speakers(result: TestResult, speakers: Collection[str | None]) -> TestResult:
    return result.subset(lambda u: u.speaker in speakers)


def shared_rows(tester: Tester, checkpoint: Path) -> list[str]:
    """What needs no reference: words output where nothing is said, and the size on disk."""
    size = sum(p.stat().st_size for p in checkpoint.rglob("*") if p.is_file()) / 1e6
    words = tester.words_a_minute(tester.folder / "nothing.jsonl")
    return [
        _bare("ten minutes of noise, tones and silence", tester, words, "≤ 1 word a minute"),
        _bare("size on disk", tester, f"{size:.1f} MB", "≤ 20 MB"),
    ]


def report(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT")],
    left_out: Annotated[
        Path | None,
        typer.Option("--left_out", help="Trained on what is in left_out/; tested on the rest."),
    ] = None,
    test_dir: Annotated[Path, typer.Option("--test_dir")] = Path("data/alphanumeric/test"),
    device: Annotated[str, typer.Option("--device")] = "cpu",
    threads: Annotated[int, typer.Option("--threads", min=0)] = 0,
    lm: Annotated[
        str, typer.Option("--lm", help="Beside greedy decoding; by default the checkpoint's own.")
    ] = "auto",
    lexicon: Annotated[
        Path | None, typer.Option("--lexicon", help="The only possible words, beside greedy.")
    ] = None,
) -> None:
    """Print the table of a checkpoint, and of one that was trained without the tested people."""
    models = [(checkpoint, known_rows, [by_noise])]
    if left_out:
        models.append((left_out, left_out_rows, []))
    if threads:
        torch.set_num_threads(threads)
    try:
        for path, rows, further in models:
            recognizer = asr.load(path, device)
            decoder = recognizer.prepare(lm=lm, lexicon=lexicon).decoder
            tester = Tester(recognizer, test_dir, None if decoder.is_greedy else decoder)
            lines = [*heading(str(path), tester), *rows(tester), *shared_rows(tester, path)]
            typer.echo("\n".join(lines) + "\n")
            for table in further:
                typer.echo("\n".join(table(tester)) + "\n")
    except AsrError as error:
        typer.echo(error, err=True)
        sys.exit(1)


if __name__ == "__main__":
    typer.run(report)
