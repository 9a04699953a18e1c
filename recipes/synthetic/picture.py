"""Plot the features, emissions, greedy path and text of a recording.

`python -m recipes.synthetic.picture CHECKPOINT AUDIO -o emissions.png`
"""

from pathlib import Path
from typing import Annotated

import torch
import typer
from matplotlib import colormaps
from matplotlib.figure import Figure

import asr
from asr.decode.greedy import greedy_search
from asr.files import atomic_write
from asr.signal import audio
from recipes.command import run_command


@torch.inference_mode()
def draw(
    checkpoint: Path,
    recording: Path,
    output: Annotated[Path, typer.Option("--output", "-o")] = Path("emissions.png"),
) -> None:
    """Write a PNG of a recording's features, the model's emissions and the recognised text."""
    recognizer = asr.load(checkpoint)
    waveform, rate = audio.read(recording, recognizer.sample_rate)
    features = recognizer.extractor.frames(waveform)
    log_probs = recognizer.log_probs(waveform)
    best = greedy_search(log_probs)
    names = ["blank", *("space" if c == " " else c for c in recognizer.tokens.characters)]
    used = [0, *sorted(set(best.tokens))]
    seconds = len(waveform) / rate
    figure = Figure(figsize=(10, 6), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True)
    top.imshow(features.T, origin="lower", aspect="auto", extent=(0, seconds, 0, features.shape[1]))
    top.set(ylabel="mel band", title="features: normalised log-mel energies")
    step = seconds / len(log_probs)
    time = (torch.arange(len(log_probs)) + 0.5) * step
    for number, token in enumerate(used):
        colour = "0.75" if token == 0 else colormaps["tab20"](number % 20)
        bottom.plot(time, log_probs[:, token].exp(), label=names[token], color=colour)
    for token, frame in zip(best.tokens, best.frames or (), strict=True):
        label = "␣" if names[token] == "space" else names[token]
        bottom.text((frame + 0.5) * step, 1.03, label, ha="center", family="DejaVu Sans")
    bottom.set(xlabel="seconds", ylabel="probability", ylim=(0, 1.12), xlim=(0, seconds))
    bottom.set_title("emissions of the bidirectional LSTM; the letters above are the greedy path")
    bottom.legend(ncols=1, fontsize="x-small", loc="center left", bbox_to_anchor=(1, 0.5))
    figure.suptitle(f"“{recognizer.tokens.decode(best.tokens)}”")
    with atomic_write(output) as temporary:
        figure.savefig(temporary, dpi=110)


if __name__ == "__main__":
    run_command(draw)
