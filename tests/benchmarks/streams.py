"""Word errors of streams against how late their text is.

    python -m tests.benchmarks.streams CHECKPOINT MANIFEST [--most 60] [--contexts 0.3 0.5 1 2]

By default the contexts are these, and 0 for an encoder that only reads forwards.

The utterances of the manifest follow each other with 2 s of silence between them. They are fed in
blocks of 0.1 s and decoded greedily on one thread, phrase by phrase and in chunks with each right
context. How late a final result is counts from the end of the last word of a phrase, or of each
word in chunks, to the block with which it was final: in seconds of the stream, without the time of
computing, which is in the last column.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import asr
from asr.corpus.manifest import read_manifest
from asr.decode.decoder import Decoder
from asr.inference.events import Final
from asr.inference.recognizer import Recognizer
from asr.scoring.wer import word_errors
from asr.signal import audio

SILENCE_SECONDS = 2.0
BLOCK_SECONDS = 0.1


def listen(
    recognizer: Recognizer, waveform: Tensor, right_context_seconds: float | None
) -> tuple[str, list[float]]:
    """The text of a stream, and how late its phrases, or in chunks its words, were final."""
    rate = recognizer.sample_rate
    stream = recognizer.stream(
        decoder=Decoder(), word_timestamps=True, right_context_seconds=right_context_seconds
    )
    texts, lateness = [], []
    for block in torch.split(waveform, round(BLOCK_SECONDS * rate)):
        for event in stream.feed(block, rate):
            if isinstance(event, Final):
                texts.append(event.text)
                words = event.words[-1:] if right_context_seconds is None else event.words
                lateness += [stream.seconds - word.end_seconds for word in words]
    texts += [event.text for event in stream.finish() if isinstance(event, Final)]
    return " ".join(texts), lateness


def row(name: str, errors: int, words: int, late: list[float], speed: float) -> None:
    """Print a row of the table."""
    median, most, worst = np.quantile(late or [0.0], [0.5, 0.95, 1.0])
    times = f"{median:.2f} | {most:.2f} | {worst:.2f}" if late else "– | – | –"
    print(f"| {name} | {errors} | {100 * errors / words:.2f} | {times} | {speed:.0f} |", flush=True)


def main() -> None:
    """Print the table of one checkpoint and corpus."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("checkpoint")
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--most", type=int, help="utterances; default: all")
    parser.add_argument("--contexts", type=float, nargs="*")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    recognizer = asr.load(arguments.checkpoint)
    utterances = read_manifest(arguments.manifest)[: arguments.most]
    rate, reference = recognizer.sample_rate, " ".join(one.text for one in utterances)
    waveforms = [audio.read(one.audio_filepath, rate)[0] for one in utterances]
    silence = torch.zeros(round(SILENCE_SECONDS * rate))
    waveform = torch.cat([part for one in waveforms for part in (one, silence)])
    seconds, words = len(waveform) / rate, len(reference.split())
    print(f"{len(utterances)} utterances, {words} words, {seconds:.0f} s\n")
    print("| | word errors | % | final after: median (s) | 95 % | worst | × real time |")
    print("|---|---|---|---|---|---|---|")
    started = time.process_time()
    alone = sum(
        word_errors(one.text, recognizer.transcribe(own, rate, decoder=Decoder()).text).errors
        for one, own in zip(utterances, waveforms, strict=True)
    )
    row("each utterance alone", alone, words, [], seconds / (time.process_time() - started))
    contexts = arguments.contexts
    if contexts is None:
        contexts = [0.3, 0.5, 1.0, 2.0] if recognizer.model.config.bidirectional else [0.0]
    for context in [None, *contexts]:
        started = time.process_time()
        text, late = listen(recognizer, waveform, context)
        errors = word_errors(reference, text).errors
        name = "phrases" if context is None else f"chunks, right context {context:g} s"
        row(name, errors, words, late, seconds / (time.process_time() - started))


if __name__ == "__main__":
    main()
