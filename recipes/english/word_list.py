"""A list of 200 words, recordings of them, and recordings of anything else, to test models with.

    python -m recipes.cut CHECKPOINT data/english/held_out.jsonl -o data/words-held-out
    python -m recipes.english.word_list data/words-held-out/manifest.jsonl -o data/english/list

`words.txt` has the words, `words.jsonl` a recording of each, `others.jsonl` recordings of as many
other words and of noise.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Annotated

import typer

from asr.corpus.manifest import Utterance, read_manifest, write_manifest
from asr.errors import ManifestError
from asr.files import make_folder, write_text_atomic
from recipes.command import run_command

LISTED = 200
_SHORTEST = 3
"""Letters of a word."""


def draw(
    words: Sequence[Utterance], noise: Sequence[Utterance], seed: int
) -> tuple[list[str], list[Utterance], list[Utterance]]:
    """A list of words, a recording of each, and recordings of other words and noise.

    Raises ManifestError where there are too few different words.
    """
    by_text = defaultdict(list)
    for word in words:
        by_text[word.text].append(word)
    random = Random(seed)
    usual = sorted(text for text in by_text if len(text) >= _SHORTEST)
    if len(usual) < 2 * LISTED:
        raise ManifestError(
            f"expected {2 * LISTED} different words of the held-out speakers, found {len(usual)}"
        )
    listed = random.sample(usual, LISTED)
    rest = random.sample(sorted(set(usual) - set(listed)), LISTED)
    others = [random.choice(by_text[text]) for text in rest]
    return sorted(listed), [random.choice(by_text[text]) for text in listed], [*others, *noise]


def main(
    words: Annotated[Path, typer.Argument(metavar="WORDS.jsonl")],
    output_dir: Annotated[Path, typer.Option("--output_dir", "-o")] = Path("data/english/list"),
    noise: Annotated[Path, typer.Option("--noise", metavar="MANIFEST")] = Path(
        "data/alphanumeric/test/nothing.jsonl"
    ),
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
) -> None:
    """Write the list and the manifests."""
    listed, said, others = draw(read_manifest(words), read_manifest(noise), seed)
    make_folder(output_dir)
    write_text_atomic(output_dir / "words.txt", "".join(f"{text}\n" for text in listed))
    write_manifest(output_dir / "words.jsonl", said)
    write_manifest(output_dir / "others.jsonl", others)
    typer.echo(f"{output_dir}: {len(said)} words, {len(others)} other recordings")


if __name__ == "__main__":
    run_command(main)
