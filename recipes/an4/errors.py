r"""A table of every error on AN4's test set with its kind and cause.

    python -m recipes.an4.errors checkpoints/an4-blstm

An error segment is a run of words that differ from the reference. Its cause follows from the scores
of the hypothesis with this one segment corrected. If the acoustic and language scores together are
higher, the **search** missed it; if the acoustic score alone is higher, the **language** model
caused the error; otherwise the **acoustic** model did. The table also has the duration of the
segment (where the reference has words in it), whether it lies at an edge of the recording, and the
level of the speech above the background.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

import asr
from asr.corpus.manifest import Utterance, read_manifest
from asr.corpus.recordings import read_utterance
from asr.decode.decoder import Decoder
from asr.decode.fusion import Fusion
from asr.inference.alignment import align_emissions
from asr.inference.recognizer import Recognizer
from asr.model.loss import ctc_loss
from asr.scoring.wer import Pair, align
from asr.signal.dsp import frame_power
from asr.text.tokens import TokenTable
from recipes.an4.results import TRAIN
from recipes.command import run_command
from recipes.synthetic.phrases import ONES, ORDINALS, TEENS, TENS

EDGE_SECONDS = 0.1
"""Words that begin or end within this distance of an end of the recording lie at its edge."""
ENERGY_SECONDS = 0.02
NUMBERS = frozenset((*ONES, *TEENS, *TENS, *ORDINALS, "OH", "HUNDRED", "THOUSAND", "THIRTIETH"))


@dataclass(frozen=True)
class ErrorSegment:
    """Words of the reference and the words of the hypothesis in their place, with positions."""

    reference_start: int
    reference: tuple[str, ...]
    hypothesis_start: int
    hypothesis: tuple[str, ...]

    @property
    def errors(self) -> int:
        """Number of word errors."""
        return max(len(self.reference), len(self.hypothesis))

    def corrected(self, hypothesis: Sequence[str]) -> list[str]:
        """The hypothesis with this segment replaced by the reference."""
        end = self.hypothesis_start + len(self.hypothesis)
        return [*hypothesis[: self.hypothesis_start], *self.reference, *hypothesis[end:]]


def error_segments(pairs: Iterable[Pair]) -> list[ErrorSegment]:
    """The error segments of an alignment, in order."""
    segments, reference_start, hypothesis_start = [], 0, 0
    for equal, run in groupby(pairs, key=lambda pair: pair[0] == pair[1]):
        references, hypotheses = zip(*run, strict=True)
        reference = tuple(word for word in references if word is not None)
        hypothesis = tuple(word for word in hypotheses if word is not None)
        if not equal:
            segments.append(ErrorSegment(reference_start, reference, hypothesis_start, hypothesis))
        reference_start += len(reference)
        hypothesis_start += len(hypothesis)
    return segments


def kind(segment: ErrorSegment, vocabulary: frozenset[str]) -> str:
    """The kind of an error segment, by its words."""
    words = (*segment.reference, *segment.hypothesis)
    if any(word not in vocabulary for word in segment.reference):
        return "word not in training"
    if any(word not in vocabulary for word in segment.hypothesis):
        return "non-word"
    substitution = bool(segment.reference and segment.hypothesis)
    if all(len(word) == 1 for word in words):
        if substitution:
            return "letter substitution"
        return "letter deletion" if segment.reference else "letter insertion"
    if all(word in NUMBERS for word in words):
        return "number substitution" if substitution else "number deletion or insertion"
    return "word and letter" if any(len(word) == 1 for word in words) else "other words"


@dataclass(frozen=True)
class TranscriptScorer:
    """Acoustic and language scores of token sequences, as a decoder combines them."""

    tokens: TokenTable
    fusion: Fusion | None

    def acoustic(self, log_probs: Tensor, tokens: Sequence[int]) -> float:
        """The natural log-probability of the tokens in emissions `(T, C)`."""
        lengths, target_lengths = torch.tensor([len(log_probs)]), torch.tensor([len(tokens)])
        return -float(ctc_loss(log_probs[None], lengths, torch.tensor([tokens]), target_lengths))

    def language(self, tokens: Sequence[int]) -> float:
        """The language score of the tokens, as in the search."""
        return self.fusion.score(tokens) if self.fusion else 0.0

    def cause(self, log_probs: Tensor, tokens: Sequence[int], correct: Sequence[str]) -> str:
        """Why the decoder output these tokens instead of the correct words."""
        correct_tokens = self.tokens.encode(" ".join(correct))
        acoustic = self.acoustic(log_probs, correct_tokens) - self.acoustic(log_probs, tokens)
        total = acoustic + self.language(correct_tokens) - self.language(tokens)
        if total > 0:
            return "search"
        return "language" if acoustic > 0 else "acoustic"


def level_above_background(waveform: Tensor, sample_rate: int) -> float:
    """Ratio in dB of the 95th to the 10th percentile of the frame power of `(S,)`."""
    size = round(ENERGY_SECONDS * sample_rate)
    power = frame_power(waveform, size).clamp_min(1e-12)
    high, low = torch.quantile(power, torch.tensor([0.95, 0.1]))
    return float(10 * torch.log10(high / low))


def rows(
    recognizer: Recognizer,
    decoder: Decoder,
    scorer: TranscriptScorer,
    utterance: Utterance,
    vocabulary: frozenset[str],
) -> list[tuple[str, ...]]:
    """A row for each error segment: errors, id, words, kind, cause and measurements."""
    waveform, _ = read_utterance(utterance, recognizer.sample_rate)
    log_probs = recognizer.log_probs(waveform)
    tokens = decoder(log_probs)[0].tokens
    text = recognizer.tokens.decode(tokens)
    aligned = align({utterance.id: utterance.text}, {utterance.id: text})[0]
    found: list[tuple[str, ...]] = []
    seconds = len(waveform) / recognizer.sample_rate
    times = align_emissions(
        log_probs, recognizer.tokens, utterance.text, recognizer.clock, seconds
    ).words
    level = f"{level_above_background(waveform, recognizer.sample_rate):.0f}"
    for segment in error_segments(aligned.pairs):
        start = segment.reference_start
        words = times[start : start + len(segment.reference)]
        edge = bool(words) and (
            words[0].start_seconds < EDGE_SECONDS or words[-1].end_seconds > seconds - EDGE_SECONDS
        )
        length = f"{words[-1].end_seconds - words[0].start_seconds:.2f}" if words else ""
        found.append(
            (
                str(segment.errors),
                utterance.id,
                " ".join(segment.reference),
                " ".join(segment.hypothesis),
                kind(segment, vocabulary),
                scorer.cause(log_probs, tokens, segment.corrected(text.split())),
                length,
                "edge" if edge else "",
                level,
            )
        )
    return found


def summary(found: Sequence[tuple[str, ...]]) -> list[str]:
    """A Markdown table of word errors by kind and cause."""
    counts: Counter[tuple[str, str]] = Counter()
    for errors, _, _, _, error_kind, cause, *_ in found:
        counts[error_kind, cause] += int(errors)
    causes = ("acoustic", "language", "search")
    lines = [f"| word errors | {' | '.join(causes)} | total |", "|" + "---|" * 5]
    for error_kind in sorted({error_kind for error_kind, _ in counts}):
        cells = [counts[error_kind, cause] for cause in causes]
        lines.append(f"| {error_kind} | {' | '.join(map(str, cells))} | {sum(cells)} |")
    return lines


def main(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT")],
    manifest: Annotated[Path, typer.Option("--manifest")] = Path("data/an4/test.jsonl"),
    train: Annotated[
        list[Path],
        typer.Option(
            "--train", help="Training manifest, which defines the known words; repeatable."
        ),
    ] = TRAIN,
    lm: Annotated[
        str, typer.Option("--lm", help="By default the checkpoint's own; none: greedy search.")
    ] = "auto",
) -> None:
    """Print every error of a checkpoint, and the counts by kind and cause."""
    recognizer = asr.load(checkpoint)
    decoder = recognizer.prepare(lm=lm).decoder
    scorer = TranscriptScorer(recognizer.tokens, decoder.fusion)
    texts = [u.text for path in train for u in read_manifest(path, require_audio=False)]
    vocabulary = frozenset(word for text in texts for word in text.split())
    found = [
        row
        for utterance in read_manifest(manifest)
        for row in rows(recognizer, decoder, scorer, utterance, vocabulary)
    ]
    head = ("errors", "utterance", "reference", "hypothesis", "kind", "cause", "seconds", "", "dB")
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    typer.echo("\n".join([*lines, *(f"| {' | '.join(row)} |" for row in found)]))
    typer.echo("\n" + "\n".join(summary(found)))


if __name__ == "__main__":
    run_command(main)
