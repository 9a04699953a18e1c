"""The table of RESULTS.md: `python -m recipes.alphanumeric.report CHECKPOINT --left_out OTHER`.

Scores a checkpoint on the test sets that `recipes.alphanumeric.prepare` wrote and, with
`--left_out`, a second checkpoint, trained without FSDD and without digit strings, on those two.
Both are decoded by greedy search and with the checkpoint's language model (or that of `--lm`, or
the word list of `--lexicon`).
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
import typer

import asr
from asr.corpus.manifest import Utterance, read_manifest
from asr.decode.decoder import Decoder
from asr.inference.evaluation import evaluate
from asr.inference.recognizer import Recognizer
from asr.scoring.wer import AlignedUtterance, summarise
from recipes.alphanumeric.prepare import LEVELS_DB, read_ages
from recipes.command import run_command
from recipes.synthetic.prepare import SAMPLES

TARGET_RATIOS = {20.0: 1.3, 10.0: 2.0, 0.0: 5.0}
"""The largest acceptable ratio of WER in noise to WER in quiet, by SNR in dB."""
AGES = {"6 years": range(7), "7 to 9 years": range(7, 10), "older": range(10, 200)}


@dataclass(frozen=True)
class Tester:
    """A checkpoint, the folder of test manifests, and a decoder used besides greedy search."""

    recognizer: Recognizer
    folder: Path
    decoder: Decoder | None
    alignments_by_manifest: dict[Path, "Alignments"] = field(default_factory=dict, init=False)
    """Finished alignments."""

    @property
    def decoders(self) -> list[Decoder]:
        """Greedy search, then the other decoder, if there is one."""
        greedy = self.recognizer.prepare(beam_size=1).decoder
        return [greedy, self.decoder] if self.decoder else [greedy]

    def alignments(self, manifest: Path) -> "Alignments":
        """Transcribe and align every utterance of a manifest."""
        if manifest not in self.alignments_by_manifest:
            utterances = read_manifest(manifest)
            results = [evaluate(self.recognizer, utterances, decoder=d) for d in self.decoders]
            aligned = [result.aligned for result in results]
            self.alignments_by_manifest[manifest] = Alignments(utterances, aligned)
        return self.alignments_by_manifest[manifest]

    def an4_alignments(self, level: float | None = None) -> "Alignments":
        """AN4's test set, in quiet or in noise at an SNR in dB."""
        name = "an4.jsonl" if level is None else f"an4_{level:g}db.jsonl"
        return self.alignments(self.folder / name)

    def words_a_minute(self, manifest: Path) -> str:
        """Words per minute that each decoder outputs for recordings without speech."""
        utterances = read_manifest(manifest)
        found = [evaluate(self.recognizer, utterances, decoder=d).nonspeech for d in self.decoders]
        return f"{' / '.join(f'{n.words_per_minute:.2f}' for n in found if n)} words a minute"


@dataclass(frozen=True)
class Alignments:
    """Utterances of a test set and their alignments, one list for each decoder."""

    utterances: list[Utterance]
    aligned: list[list[AlignedUtterance]]

    def subset(self, selected: Callable[[Utterance], bool]) -> "Alignments":
        """The selected utterances alone."""
        chosen = [u for u in self.utterances if selected(u)]
        ids = {u.id for u in chosen}
        return Alignments(chosen, [[a for a in own if a.id in ids] for own in self.aligned])

    @property
    def wers(self) -> list[float]:
        """WER by decoder."""
        return [summarise(aligned, resamples=1).wer for aligned in self.aligned]


def row(label: str, alignments: Alignments, note: str = "", target: str = "") -> str:
    """A table row: WER with its 95 % interval, CER, share of utterances without an error."""
    cells = []
    for aligned in alignments.aligned:
        score = summarise(aligned)
        low, high = score.wer_interval
        cells.append(f"{score.wer:.2%} ({low:.2%}–{high:.2%})")
    greedy = summarise(alignments.aligned[0], resamples=1)
    cells[1:1] = [f"{greedy.cer:.2%}", f"{1 - greedy.ser:.1%}"]
    return _line([label, str(len(alignments.utterances)), *cells, note, target])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def heading(name: str, tester: Tester) -> list[str]:
    """The heading lines of a table."""
    columns = [name, "utterances", "WER (95 %)", "CER", "correct"]
    if tester.decoder:
        columns.append("WER, second decoder (95 %)")
    columns += ["note", "target"]
    return [_line(columns), "|" + "---|" * len(columns)]


def _row_without_rates(label: str, tester: Tester, note: str, target: str) -> str:
    """A table row without error rates."""
    empty = [""] * (4 + (tester.decoder is not None))
    return _line([label, *empty, note, target])


def final_model_rows(tester: Tester) -> list[str]:
    """Rows of the final model: AN4 in quiet and in noise, FSDD, samples and sentences."""
    clean = tester.an4_alignments()
    new = {u.id for u in read_manifest(tester.folder / "an4_new_sentences.jsonl")}
    rows = [
        row("AN4 test", clean, target="≤ 8 %; with its language model ≤ 4 %"),
        row("… sentences not in training", _by_ids(clean, new)),
    ]
    for level in LEVELS_DB:
        noisy = tester.an4_alignments(level)
        pairs = zip(noisy.wers, clean.wers, strict=True)
        ratios = [f"{wer / quiet:.2f}" if quiet else "no error in" for wer, quiet in pairs]
        ratio = f"{' / '.join(ratios)} × clean"
        rows.append(row(f"AN4 test at {level:g} dB", noisy, ratio, f"≤ {TARGET_RATIOS[level]:g} ×"))
    return [
        *rows,
        row(
            "FSDD test, speakers seen in training", tester.alignments(tester.folder / "fsdd.jsonl")
        ),
        row("synthesised samples", tester.alignments(SAMPLES / "manifest.jsonl")),
        row("LibriSpeech, sentences", tester.alignments(tester.folder / "librispeech.jsonl")),
    ]


def noise_kind_table(tester: Tester) -> list[str]:
    """A table of greedy WER on AN4 by kind of noise."""
    levels = {f"{level:g} dB": tester.an4_alignments(level) for level in LEVELS_DB}
    kinds: dict[str, set[str]] = {}
    for u in next(iter(levels.values())).utterances:
        kind = u.audio_filepath.stem.removesuffix(f"-{u.id}")  # as write_noisy names it
        kinds.setdefault(kind, set()).add(u.id)
    columns = ["kind of noise", "utterances", "quiet", *levels]
    lines = [_line(columns), "|" + "---|" * len(columns)]
    for kind, ids in sorted(kinds.items()):
        parts = [_by_ids(own, ids) for own in (tester.an4_alignments(), *levels.values())]
        lines.append(_line([kind, str(len(ids)), *(f"{part.wers[0]:.1%}" for part in parts)]))
    return lines


def left_out_rows(tester: Tester) -> list[str]:
    """Rows of the left-out model: FSDD and digit strings, by speaker and by age."""
    ages = read_ages(tester.folder / "ages.json")
    digits = tester.alignments(tester.folder / "fsdd_all.jsonl")
    strings = tester.alignments(tester.folder / "digit_strings.jsonl")
    rows = [
        row("AN4 test", tester.an4_alignments()),
        row("FSDD, all single digits", digits, target="correct ≥ 90 %"),
    ]
    speakers = sorted({u.speaker or "" for u in digits.utterances})
    rows += [row(f"… {speaker}", _by_speakers(digits, {speaker})) for speaker in speakers]
    rows.append(row("digit strings of Mandarin speakers", strings, target="≤ 30 %"))
    present = {u.speaker or "" for u in strings.utterances}
    for name, years in AGES.items():
        group = {s for s, age in ages.items() if age in years} & present
        if group:
            rows.append(row(f"… {name}, {len(group)} speakers", _by_speakers(strings, group)))
    return rows


def _by_ids(alignments: Alignments, ids: Collection[str]) -> Alignments:
    return alignments.subset(lambda u: u.id in ids)


def _by_speakers(alignments: Alignments, speakers: Collection[str | None]) -> Alignments:
    return alignments.subset(lambda u: u.speaker in speakers)


def shared_rows(tester: Tester, checkpoint: Path) -> list[str]:
    """Rows of both models: words output for recordings without speech, and size on disk."""
    size = sum(p.stat().st_size for p in checkpoint.rglob("*") if p.is_file()) / 1e6
    words = tester.words_a_minute(tester.folder / "nothing.jsonl")
    return [
        _row_without_rates(
            "ten minutes of noise, tones and silence", tester, words, "≤ 1 word a minute"
        ),
        _row_without_rates("size on disk", tester, f"{size:.1f} MB", "≤ 20 MB"),
    ]


def report(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT")],
    left_out: Annotated[
        Path | None,
        typer.Option("--left_out", help="A checkpoint trained on the manifests of left_out/."),
    ] = None,
    test_dir: Annotated[Path, typer.Option("--test_dir")] = Path("data/alphanumeric/test"),
    device: Annotated[str, typer.Option("--device")] = "cpu",
    threads: Annotated[int, typer.Option("--threads", min=0)] = 0,
    lm: Annotated[
        str, typer.Option("--lm", help="For the second decoder; by default the checkpoint's own.")
    ] = "auto",
    lexicon: Annotated[
        Path | None, typer.Option("--lexicon", help="Word list for the second decoder.")
    ] = None,
) -> None:
    """Print the tables of a checkpoint, and of one trained without the tested speakers."""
    models = [(checkpoint, final_model_rows, [noise_kind_table])]
    if left_out:
        models.append((left_out, left_out_rows, []))
    if threads:
        torch.set_num_threads(threads)
    for path, rows, tables in models:
        recognizer = asr.load(path, device)
        decoder = recognizer.prepare(lm=lm, lexicon=lexicon).decoder
        tester = Tester(recognizer, test_dir, None if decoder.is_greedy else decoder)
        lines = [*heading(str(path), tester), *rows(tester), *shared_rows(tester, path)]
        typer.echo("\n".join(lines) + "\n")
        for table in tables:
            typer.echo("\n".join(table(tester)) + "\n")


if __name__ == "__main__":
    run_command(report)
