"""The searches that were tried, as a table and as a picture."""

from collections.abc import Sequence
from pathlib import Path

from asr.decode.beam import SearchConfig
from asr.files import atomic_write
from asr.tuning.bench import Trial
from asr.tuning.choice import PRUNINGS, Tuning


def frontier(trials: Sequence[Trial]) -> list[Trial]:
    """Those than which no faster one makes as few errors, fast ones first."""
    best: list[Trial] = []
    for trial in sorted(trials, key=lambda trial: (trial.milliseconds, trial.word_errors)):
        if not best or trial.word_errors < best[-1].word_errors:
            best.append(trial)
    return best


def render_trials(tuning: Tuning) -> str:
    """A line for each search; `*` marks the frontier of speed and accuracy, `<-` the choice.

    `changed` is the part of the words that the widest search, unpruned, has otherwise.
    """
    fastest = frontier(tuning.trials)
    lines = [
        f"{'beam':>4} {'token log':>9} {'tokens':>6} {'beam log':>8} "
        f"{'WER':>7} {'CER':>7} {'changed':>7} {'ms/s':>7}"
    ]
    for trial, changed in zip(tuning.trials, tuning.changed, strict=True):
        search = trial.decoder.search
        token_log, tokens, beam_log = _cuts(search)
        marks = " *" * (trial in fastest) + " <-" * (trial is tuning.choice)
        lines.append(
            f"{search.beam_size:>4} {token_log:>9} {tokens:>6} {beam_log:>8} "
            f"{trial.wer:>7.2%} {trial.cer:>7.2%} {changed:>7.2%} {trial.milliseconds:>7.3f}{marks}"
        )
    return "\n".join(lines)


def draw_trials(tuning: Tuning, path: Path) -> None:
    """Draw word error rate over time, a line for each pruning, as PDF, PNG or SVG by the suffix of
    `path`.

    Raises AsrError if the file cannot be written.
    """
    from matplotlib.figure import Figure  # slow to import, and only this draws

    figure = Figure(figsize=(7, 4.4), layout="constrained")
    axes = figure.subplots()
    for place, pruning in enumerate(PRUNINGS):
        line = tuning.trials[place :: len(PRUNINGS)]
        axes.plot(
            [trial.milliseconds for trial in line],
            [100 * trial.wer for trial in line],
            marker="o",
            label=" / ".join(_cuts(pruning)) if place else "none",
        )
    choice = tuning.choice
    axes.plot(choice.milliseconds, 100 * choice.wer, "k*", markersize=14, label="chosen")
    axes.set(xlabel="search, ms for each second of audio", ylabel="dev WER (%)", xscale="log")
    beams = dict.fromkeys(str(trial.decoder.search.beam_size) for trial in tuning.trials)
    axes.set_title(f"along each line: beams {', '.join(beams)}", fontsize="medium")
    axes.grid(alpha=0.3)
    axes.legend(title="pruning: token log / tokens / beam log", fontsize="small")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _cuts(search: SearchConfig) -> list[str]:
    """How a search prunes, beside its beam."""
    cuts = (search.token_log_threshold, search.tokens_per_frame, search.beam_log_threshold)
    return ["-" if cut is None else f"{cut:g}" for cut in cuts]
