"""Learning curves as a picture."""

from collections.abc import Sequence
from pathlib import Path

from asr.files import atomic_write


def draw_curves(history: Sequence[dict[str, float]], path: Path) -> None:
    """Draw loss and error rates over epochs as a PNG."""
    from matplotlib.figure import Figure  # slow to import, and only training draws

    epochs = [metrics["epoch"] for metrics in history]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    losses, errors = figure.subplots(1, 2)
    losses.plot(epochs, [m["train_loss"] for m in history], label="training (augmented)")
    losses.plot(epochs, [m["dev_loss"] for m in history], label="validation")
    losses.set(xlabel="epoch", ylabel="CTC loss (nats an utterance)", yscale="log")
    errors.plot(epochs, [100 * m["dev_wer"] for m in history], label="word errors")
    errors.plot(epochs, [100 * m["dev_cer"] for m in history], label="character errors")
    errors.set(xlabel="epoch", ylabel="validation, greedy (%)", ylim=(0, 105))
    for axes in (losses, errors):
        axes.grid(alpha=0.3)
        axes.legend()
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110)
