"""Prepare the tones corpus and train its recipe in a folder: what the fixture `tones` starts."""

import json
import sys
from pathlib import Path

from asr.training import main
from recipes.tones.prepare import prepare
from recipes.tones.train import CONFIG
from tests.support import Tones


def train(tones: Tones) -> None:
    """Make the corpus and the run as the recipe's own commands do."""
    prepare(tones.corpus)
    train_set, dev_set = (tones.corpus / f"{split}.jsonl" for split in ("train", "dev"))
    settings = f"data.train={json.dumps([str(train_set)])}", f"data.dev={dev_set}"
    options = ["--output_dir", str(tones.run), "--threads", "1"]
    main(CONFIG, options + [part for setting in settings for part in ("--set", setting)])


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    try:
        train(Tones.under(folder))
    finally:
        (folder / "ended").touch()
