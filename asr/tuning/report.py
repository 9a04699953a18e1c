"""The searches that were tried, as a table and as a plot."""

from collections.abc import Sequence
from pathlib import Path

from asr.decode.beam import SearchConfig
from asr.files import atomic_write
from asr.tuning.choice import BEAM_LOG_THRESHOLDS, TOKEN_LOG_THRESHOLDS, Tuning
from asr.tuning.dev_set import DecodingTrial


def frontier(trials: Sequence[DecodingTrial]) -> list[DecodingTrial]:
    """Those than which no faster one makes as few errors, fast ones first."""
    best: list[DecodingTrial] = []
    for trial in sorted(trials, key=lambda trial: (trial.milliseconds, trial.word_errors)):
        if not best or trial.word_errors < best[-1].word_errors:
            best.append(trial)
    return best


def render_trials(tuning: Tuning) -> str:
    """A line for each search; `*` marks the frontier of speed and accuracy, `<-` the choice."""
    fastest = frontier(tuning.trials)
    lines = [
        f"{'beam':>4} {'recombine':>9} {'token log':>9} {'beam log':>8} "
        f"{'WER':>7} {'CER':>7} {'ms/s':>7}"
    ]
    for trial in tuning.trials:
        search = trial.decoder.search
        token_log, beam_log = _thresholds(search)
        marks = " *" * (trial in fastest) + " <-" * (trial is tuning.choice)
        lines.append(
            f"{search.beam_size:>4} {'yes' if search.recombine else 'no':>9} {token_log:>9} "
            f"{beam_log:>8} {trial.wer:>7.2%} {trial.cer:>7.2%} {trial.milliseconds:>7.3f}{marks}"
        )
    return "\n".join(lines)


def draw_trials(tuning: Tuning, path: Path) -> None:
    """Draw word error rate over time as PDF, PNG or SVG by the suffix of `path`.

    A line for each threshold of tokens, along the thresholds of prefixes; and one along the beams.
    Raises AsrError if the file cannot be written.
    """
    from matplotlib.figure import Figure  # slow to import, and only this draws

    figure = Figure(figsize=(7, 4.4), layout="constrained")
    axes = figure.subplots()

    def draw(trials: Sequence[DecodingTrial], label: str, style: str) -> None:
        times, rates = [t.milliseconds for t in trials], [100 * t.wer for t in trials]
        axes.plot(times, rates, style, markersize=4, label=label)

    width = len(BEAM_LOG_THRESHOLDS)
    for row, threshold in enumerate(TOKEN_LOG_THRESHOLDS):
        draw(tuning.trials[row * width : (row + 1) * width], f"{threshold:g}", "o-")
    beams = tuning.trials[len(TOKEN_LOG_THRESHOLDS) * width :]
    sizes = ", ".join(str(trial.decoder.search.beam_size) for trial in beams)
    draw(beams, f"as chosen, beam {sizes}", "ks--")
    choice = tuning.choice
    axes.plot(choice.milliseconds, 100 * choice.wer, "k*", markersize=14, label="chosen")
    axes.set(xlabel="search, ms for each second of audio", ylabel="dev WER (%)", xscale="log")
    first, last = BEAM_LOG_THRESHOLDS[0], BEAM_LOG_THRESHOLDS[-1]
    axes.set_title(f"along each line: beam log from {first:g} to {last:g}", fontsize="medium")
    axes.grid(alpha=0.3)
    axes.legend(title="token log", fontsize="small")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _thresholds(search: SearchConfig) -> list[str]:
    """How a search prunes, beside its beam: tokens and prefixes."""
    thresholds = (search.token_log_threshold, search.beam_log_threshold)
    return ["-" if threshold is None else f"{threshold:g}" for threshold in thresholds]
