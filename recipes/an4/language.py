r"""A language model of AN4: `python -m recipes.an4.language -o data/an4`, after prepare.py.

Writes to the folder of the manifests, without using test:

- `train.txt`, the sentences of train, one per line;
- `lm.arpa.gz`, a 3-gram of them (another order: `--order`);
- `words.txt`, the 99 words of the official training set (train and dev), one per line.

Then tune the weights on dev, and evaluate with them:

    asr tune runs/an4-s0/checkpoint data/an4/dev.jsonl --lm data/an4/lm.arpa.gz
    asr evaluate runs/an4-s0/checkpoint data/an4/test.jsonl
    asr evaluate runs/an4-s0/checkpoint data/an4/test.jsonl --lm data/an4/lm.arpa.gz \
        --lexicon data/an4/words.txt
    asr evaluate runs/an4-s0/checkpoint data/an4/test.jsonl --lexicon data/an4/words.txt
"""

from pathlib import Path
from typing import Annotated

import typer

from asr.corpus.manifest import read_manifest
from asr.files import write_text_atomic
from asr.language.ngram.arpa import write_arpa
from asr.language.ngram.kneser_ney import Estimate, estimate
from recipes.command import run_command


def prepare_language(folder: Path, order: int = 3) -> Estimate:
    """Write train.txt, lm.arpa.gz and words.txt next to the manifests; return the estimate.

    Raises AsrError (ManifestError, TextError) if a manifest cannot be read or a file not written.
    """
    texts, dev_texts = (
        [u.text for u in read_manifest(folder / f"{split}.jsonl", require_audio=False)]
        for split in ("train", "dev")
    )
    words = sorted({word for text in texts + dev_texts for word in text.split()})
    result = estimate([text.split() for text in texts], order)
    write_text_atomic(folder / "train.txt", "".join(f"{text}\n" for text in texts))
    write_text_atomic(folder / "words.txt", "".join(f"{word}\n" for word in words))
    write_arpa(folder / "lm.arpa.gz", result.table)
    return result


def main(
    output_dir: Annotated[
        Path, typer.Option("--output_dir", "-o", help="Folder of the manifests.")
    ] = Path("data/an4"),
    order: Annotated[int, typer.Option("--order", min=1, help="Order of the n-grams.")] = 3,
) -> None:
    """Write the sentences of AN4's train, the list of words and an n-gram model."""
    result = prepare_language(output_dir, order)
    counts = ", ".join(f"{len(grams)} {k}-grams" for k, grams in enumerate(result.table.grams, 1))
    typer.echo(f"{result.sentences} sentences, {result.running_words} words; {counts}")


if __name__ == "__main__":
    run_command(main)
