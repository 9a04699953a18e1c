"""Single words cut out of recordings of sentences, where the transcript says which they are.

    python -m recipes.cut CHECKPOINT MANIFEST... -o data/words

The checkpoint aligns every transcript with its recording. Words of which it is not sure, and of one
letter, which most often are the article, are left out.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

import asr
from asr.corpus.manifest import Utterance, read_manifest, total_hours, write_manifest
from asr.corpus.recordings import read_utterance
from asr.files import make_folder
from asr.inference.alignment import align_emissions
from asr.inference.recognizer import Recognizer
from asr.signal import audio
from asr.text.timed import TimedWord
from recipes.command import run_command

MARGIN_SECONDS = 0.1
"""Audio kept before and after a word, if no other word is closer."""


def extent(words: Sequence[TimedWord], index: int, duration_seconds: float) -> tuple[float, float]:
    """Start and end in seconds of a word with its margins, which reach at most halfway to the next.

    The spikes of CTC do not span a whole word: it may begin earlier and end later.
    """
    word = words[index]
    start, end = word.start_seconds - MARGIN_SECONDS, word.end_seconds + MARGIN_SECONDS
    if index > 0:
        start = max(start, (words[index - 1].end_seconds + word.start_seconds) / 2)
    if index + 1 < len(words):
        end = min(end, (word.end_seconds + words[index + 1].start_seconds) / 2)
    return max(0.0, start), min(duration_seconds, end)


def cut_words(
    recognizer: Recognizer,
    utterance: Utterance,
    folder: Path,
    wanted: Callable[[TimedWord], bool],
) -> Iterator[Utterance]:
    """Write every wanted word of an utterance as `folder/ID_INDEX.flac`, and yield it.

    The sample rate is that of the checkpoint. Characters that its tokens lack are removed from the
    transcript for the alignment. Raises TextError on a transcript longer than the audio allows.
    """
    unknown = recognizer.tokens.unknown(utterance.text)
    text = "".join(c for c in utterance.text if c not in unknown)
    rate = recognizer.sample_rate
    waveform, _ = read_utterance(utterance, rate)
    aligned = align_emissions(
        recognizer.log_probs(waveform),
        recognizer.tokens,
        text,
        recognizer.clock,
        len(waveform) / rate,
    )
    for index, word in enumerate(aligned.words):
        if not wanted(word):
            continue
        start, end = extent(aligned.words, index, aligned.duration_seconds)
        part = waveform[round(start * rate) : round(end * rate)]
        # Lossy formats and a change of the sample rate may take a loud recording above full scale.
        part = part / max(1.0, float(part.abs().max()))
        name = f"{utterance.id}_{index:02}"
        path = folder / f"{name}.flac"
        audio.write(path, part, rate)
        yield Utterance(name, path, len(part) / rate, word.text, utterance.speaker)


def main(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT")],
    manifests: Annotated[list[Path], typer.Argument(metavar="MANIFEST...")],
    output_dir: Annotated[Path, typer.Option("--output_dir", "-o")] = Path("data/words"),
    confidence: Annotated[
        float, typer.Option("--confidence", min=0, max=1, help="The least, of a word.")
    ] = 0.5,
) -> None:
    """Cut words out of recordings and list them in a new manifest."""

    def wanted(word: TimedWord) -> bool:
        return len(word.text) > 1 and (word.confidence or 0.0) >= confidence

    utterances = [u for manifest in manifests for u in read_manifest(manifest)]
    recognizer = asr.load(checkpoint)
    make_folder(output_dir / "audio")
    words: list[Utterance] = []
    for utterance in tqdm(utterances, disable=None):
        words += cut_words(recognizer, utterance, output_dir / "audio", wanted)
    write_manifest(output_dir / "manifest.jsonl", words)
    total = sum(len(word) > 1 for u in utterances for word in u.text.split())
    hours = total_hours(words)
    different = len({word.text for word in words})
    typer.echo(f"{len(words)} of {total} words, {different} different ones, {hours:.2f} hours")


if __name__ == "__main__":
    run_command(main)
