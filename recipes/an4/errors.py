r"""Every error on AN4's test, by cause: a table to read the recordings by.

    python -m recipes.an4.errors checkpoints/an4-blstm

An error is a segment of words that differs from the reference. Its cause follows from the scores of
the transcript in which this segment alone is corrected. If the acoustic and the language model
together score that higher, the **search** missed it; if only the acoustic model does, the
**language** model preferred the error; otherwise the **sound** was mistaken. The table also gives
the length of the segment (if the reference has words there), whether it lies at an edge of the
recording, and the level of the speech above the background.
"""

import sys
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
from asr.errors import AsrError
from asr.inference.alignment import align_emissions
from asr.inference.recognizer import Recognizer
from asr.model.loss import ctc_loss
from asr.scoring.wer import Pair, align
from asr.text.tokens import TokenTable
from recipes.an4.results import TRAIN
from recipes.synthetic.phrases import ONES, ORDINALS, TEENS, TENS

EDGE_SECONDS = 0.1
"""Words that begin or end nearer to an end of the recording lie at its edge."""
ENERGY_SECONDS = 0.02
NUMBERS = frozenset((*ONES, *TEENS, *TENS, *ORDINALS, "OH", "HUNDRED", "THOUSAND", "THIRTIETH"))


@dataclass(frozen=True)
class ErrorSegment:
    """Words of the reference from `first` on, and those of the hypothesis from `position` on."""

    first: int
    reference: tuple[str, ...]
    position: int
    hypothesis: tuple[str, ...]

    @property
    def errors(self) -> int:
        """In words."""
        return max(len(self.reference), len(self.hypothesis))

    def corrected(self, hypothesis: Sequence[str]) -> list[str]:
        """The hypothesis with this segment corrected."""
        end = self.position + len(self.hypothesis)
        return [*hypothesis[: self.position], *self.reference, *hypothesis[end:]]


def error_segments(pairs: Iterable[Pair]) -> list[ErrorSegment]:
    """The segments of an alignment that differ, in order."""
    found, first, position = [], 0, 0
    for equal, run in groupby(pairs, key=lambda pair: pair[0] == pair[1]):
        references, hypotheses = zip(*run, strict=True)
        reference = tuple(word for word in references if word is not None)
        hypothesis = tuple(word for word in hypotheses if word is not None)
        if not equal:
            found.append(ErrorSegment(first, reference, position, hypothesis))
        first, position = first + len(reference), position + len(hypothesis)
    return found


def kind(segment: ErrorSegment, vocabulary: frozenset[str]) -> str:
    """The kind of confusion."""
    words = (*segment.reference, *segment.hypothesis)
    if any(word not in vocabulary for word in segment.reference):
        return "word that train lacks"
    if any(word not in vocabulary for word in segment.hypothesis):
        return "no word"
    if all(len(word) == 1 for word in words):
        if segment.reference and segment.hypothesis:
            return "letter for letter"
        return "letter lost" if segment.reference else "letter too many"
    if all(word in NUMBERS for word in words):
        return (
            "number for number"
            if segment.reference and segment.hypothesis
            else "number lost or added"
        )
    return "word and letter" if any(len(word) == 1 for word in words) else "other words"


@dataclass(frozen=True)
class TranscriptScorer:
    """Scores a transcript by the acoustic model and by the language model of a decoder."""

    tokens: TokenTable
    fusion: Fusion | None

    def sound(self, log_probs: Tensor, tokens: Sequence[int]) -> float:
        """The natural log-probability of the tokens in emissions `(T, C)`."""
        lengths, target_lengths = torch.tensor([len(log_probs)]), torch.tensor([len(tokens)])
        return -float(ctc_loss(log_probs[None], lengths, torch.tensor([tokens]), target_lengths))

    def language(self, tokens: Sequence[int]) -> float:
        """The score of the language model, as the search counts it."""
        return self.fusion.score(tokens) if self.fusion else 0.0

    def cause(self, log_probs: Tensor, tokens: Sequence[int], right: Sequence[str]) -> str:
        """Why these tokens were output instead of the right words."""
        right_tokens = self.tokens.encode(" ".join(right))
        by_sound = self.sound(log_probs, right_tokens) - self.sound(log_probs, tokens)
        by_both = by_sound + self.language(right_tokens) - self.language(tokens)
        if by_both > 0:
            return "search"
        return "language" if by_sound > 0 else "sound"


def level_above_background(waveform: Tensor, sample_rate: int) -> float:
    """Loud against quiet frames of `(S,)`, in dB: their 95th and 10th percentile of power."""
    size = round(ENERGY_SECONDS * sample_rate)
    power = waveform.unfold(0, size, size).square().mean(dim=1).clamp_min(1e-12)
    high, low = torch.quantile(power, torch.tensor([0.95, 0.1]))
    return float(10 * torch.log10(high / low))


def rows(
    recognizer: Recognizer,
    decoder: Decoder,
    scorer: TranscriptScorer,
    utterance: Utterance,
    vocabulary: frozenset[str],
) -> list[tuple[str, ...]]:
    """A row for each segment of an utterance: errors, id, reference, hypothesis, kind, cause, …"""
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
        words = times[segment.first : segment.first + len(segment.reference)]
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
    """Markdown: errors in words by kind and cause."""
    counts: Counter[tuple[str, str]] = Counter()
    for errors, _, _, _, what, cause, *_ in found:
        counts[what, cause] += int(errors)
    causes = ("sound", "language", "search")
    lines = [f"| errors in words | {' | '.join(causes)} | together |", "|" + "---|" * 5]
    for what in sorted({what for what, _ in counts}):
        cells = [counts[what, cause] for cause in causes]
        lines.append(f"| {what} | {' | '.join(map(str, cells))} | {sum(cells)} |")
    return lines


def main(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT")],
    manifest: Annotated[Path, typer.Option("--manifest")] = Path("data/an4/test.jsonl"),
    train: Annotated[
        list[Path],
        typer.Option("--train", help="Transcripts whose words do not count as new; repeatable."),
    ] = TRAIN,
    lm: Annotated[
        str, typer.Option("--lm", help="By default the checkpoint's own; none: greedy search.")
    ] = "auto",
) -> None:
    """Print every error of a checkpoint, and how many there are by kind and cause."""
    try:
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
    except AsrError as error:
        typer.echo(error, err=True)
        sys.exit(1)
    head = ("errors", "utterance", "reference", "hypothesis", "kind", "cause", "seconds", "", "dB")
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    typer.echo("\n".join([*lines, *(f"| {' | '.join(row)} |" for row in found)]))
    typer.echo("\n" + "\n".join(summary(found)))


if __name__ == "__main__":
    typer.run(main)
