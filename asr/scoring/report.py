"""Scores as text and as JSON. Pure functions: nothing is printed here."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from asr.printing import visible
from asr.scoring.bootstrap import Comparison
from asr.scoring.nonspeech import NonSpeech
from asr.scoring.rejection import Rejections
from asr.scoring.wer import AlignedUtterance, Pair, Score
from asr.text.scripts import columns, is_unspaced

_LABELS = ("REF: ", "HYP: ", "EVAL:")
_FIGURES = (
    *("wer", "cer", "ser", "wer_interval"),
    *("words", "substitutions", "deletions", "insertions", "utterances"),
)
_KINDS = {"S": "Substitutions", "D": "Deletions", "I": "Insertions"}


def report_json(
    score: Score | None,
    real_time_factor: float | None = None,
    nonspeech: NonSpeech | None = None,
) -> dict[str, Any]:
    """The score as plain JSON values; rates are fractions, and all are null without a score.

    The key `nonspeech` is present only if some references are empty.
    """
    figures = {name: getattr(score, name, None) for name in _FIGURES}
    figures["real_time_factor"] = real_time_factor
    if nonspeech is not None:
        rate = {"words_per_minute": nonspeech.words_per_minute}
        figures["nonspeech"] = dataclasses.asdict(nonspeech) | rate
    return figures


def render_report(
    aligned: Sequence[AlignedUtterance],
    score: Score | None,
    real_time_factor: float | None = None,
    worst: int = 5,
    frequent: int = 10,
    width: int = 100,
    rejections: Rejections | None = None,
) -> str:
    """The whole report: summary, most frequent errors, alignments of the worst utterances.

    `score` is None if no reference has words. `worst` and `frequent` say how many of each to show
    (0: none); alignments wider than `width` columns are wrapped.
    """
    summary = render_summary(score, real_time_factor) if score else _render_no_score(aligned)
    sections = [
        f"{summary}\n{render_rejections(rejections)}" if rejections else summary,
        *_render_hint(aligned),
        *render_frequent_errors(aligned, frequent),
        *render_worst(aligned, worst, width),
    ]
    return "\n\n".join(sections)


def render_summary(score: Score, real_time_factor: float | None = None) -> str:
    """The rates, one per line."""
    low, high = score.wer_interval
    errors = (
        f"{score.substitutions} substituted, {score.deletions} deleted, {score.insertions} inserted"
    )
    interval = f"95 % bootstrap interval over {score.resampled}: {low:.2%} to {high:.2%}"
    rows = [
        ("WER", f"{score.wer:.2%}", interval),
        ("CER", f"{score.cer:.2%}", ""),
        ("SER", f"{score.ser:.2%}", ""),
        ("words", str(score.words), errors),
        ("utterances", str(score.utterances), ""),
    ]
    if real_time_factor is not None:
        rows.append(("real-time factor", f"{real_time_factor:.4f}", ""))
    return "\n".join(f"{name:<16} {value:>8}  {note}".rstrip() for name, value, note in rows)


def _render_no_score(aligned: Sequence[AlignedUtterance]) -> str:
    if not aligned:
        return "no error rate: every utterance was rejected"
    return f"no error rate: none of the {len(aligned)} references has words"


def _render_hint(aligned: Sequence[AlignedUtterance]) -> list[str]:
    """What to make of the WER of a language that has no spaces between words."""
    references = [
        " ".join(word for word, _ in utterance.pairs if word is not None) for utterance in aligned
    ]
    if not is_unspaced(references):
        return []
    return [
        "The references have no spaces between words: each is taken for one word, right or wrong "
        "as a whole.\nRead the CER instead of the WER, or put spaces between words on both sides."
    ]


def render_nonspeech(found: NonSpeech) -> str:
    """The words in transcripts of non-speech, in one line."""
    noun = "utterance" if found.utterances == 1 else "utterances"
    return (
        f"nonspeech: {found.utterances} {noun} without speech ({found.seconds:.1f} s), of which "
        f"{found.with_words} got words: {found.words} in all, "
        f"{found.words_per_minute:.2f} per minute"
    )


def render_rejections(found: Rejections) -> str:
    """How many utterances were rejected and what became of them, in one line."""
    text = f"{'rejected':<16} {found.utterances:>8}  of {found.total} utterances"
    if found.utterances:
        right, wrong = found.would_be_right, found.would_be_wrong
        text += f"; {right} of them would have been right, {wrong} wrong"
        if found.wer_as_deletions is not None:
            text += f"; WER with their words as deletions: {found.wer_as_deletions:.2%}"
    return text


def render_comparison(comparison: Comparison) -> str:
    """A paired comparison with a baseline, one figure per line."""
    low, high = comparison.interval
    return (
        f"WER against the baseline: {comparison.difference:+.2%} "
        f"(95 % paired bootstrap interval: {low:+.2%} to {high:+.2%})\n"
        f"probability of improvement: {comparison.probability_of_improvement:.1%}"
    )


def render_frequent_errors(aligned: Sequence[AlignedUtterance], most: int) -> list[str]:
    """Up to three tables: the `most` frequent substitutions, deletions and insertions."""
    counts: dict[str, Counter[str]] = {mark: Counter() for mark in _KINDS}
    for utterance in aligned:
        for pair in utterance.pairs:
            if mark := _mark(pair):
                words = [visible(word) for word in pair if word is not None]
                counts[mark][" -> ".join(words)] += 1
    return [_table(_KINDS[mark], counts[mark], most) for mark in _KINDS if counts[mark] and most]


def _table(title: str, counts: Counter[str], most: int) -> str:
    rows = sorted(counts.items(), key=lambda row: (-row[1], row[0]))[:most]
    heading = f"{title} ({len(rows)} most frequent of {len(counts)})"
    return "\n".join([heading, *(f"{count:6d}  {words}" for words, count in rows)])


def render_worst(aligned: Sequence[AlignedUtterance], worst: int, width: int = 100) -> list[str]:
    """Alignments of the utterances with most errors, at most `worst` of them, below a title.

    Of utterances with equally many errors the shorter ones come first, then the lower ids. Empty if
    there are no errors.
    """
    wrong = [utterance for utterance in aligned if utterance.words.errors > 0]
    ranked = sorted(
        wrong, key=lambda utterance: (-utterance.words.errors, utterance.words.words, utterance.id)
    )
    if not ranked[:worst]:
        return []
    title = f"Worst utterances ({min(worst, len(ranked))} of {len(ranked)} with errors)"
    return [title, *(render_alignment(utterance, width) for utterance in ranked[:worst])]


def render_alignment(utterance: AlignedUtterance, width: int = 100) -> str:
    """An utterance as REF / HYP / EVAL lines in columns, below a line with its id and counts.

    Asterisks fill gaps; S, D and I mark the errors. Unprintable characters are shown as escapes,
    and wide (East Asian) ones take two columns.
    """
    counts = utterance.words
    lines = [f"{visible(utterance.id)}: errors {counts.errors}, words {counts.words}"]
    for row in _rows(utterance.pairs, width - len(_LABELS[0]) - 1):
        lines += [
            f"{label} {' '.join(cells)}".rstrip()
            for label, cells in zip(_LABELS, zip(*row, strict=True), strict=True)
        ]
    return "\n".join(lines)


def _rows(pairs: Sequence[Pair], width: int) -> Iterator[list[tuple[str, str, str]]]:
    """Columns of (reference, hypothesis, mark), padded to equal width, wrapped into rows."""
    row: list[tuple[str, str, str]] = []
    used = 0
    for pair in pairs:
        words = [visible(word) for word in pair if word is not None]
        size = max(columns(word) for word in words)
        if row and used + size > width:
            yield row
            row, used = [], 0
        reference, hypothesis = ("*" * size if word is None else _pad(word, size) for word in pair)
        row.append((reference, hypothesis, _mark(pair).ljust(size)))
        used += size + 1
    if row:
        yield row


def _mark(pair: Pair) -> str:
    reference, hypothesis = pair
    if reference is None:
        return "I"
    if hypothesis is None:
        return "D"
    return "" if hypothesis in (reference, "") else "S"


def _pad(word: str, size: int) -> str:
    word = visible(word)
    return word + " " * (size - columns(word))
