"""Model cards and descriptions: what they say, and that no value can break them."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from asr.checkpoint import checkpoint as checkpoint_module
from asr.checkpoint import registry
from asr.checkpoint.checkpoint import CARD, WEIGHTS, describe, load_checkpoint, update_metrics
from asr.checkpoint.registry import shipped_checkpoints
from asr.errors import CheckpointError
from tests.checkpoint.support import save_small
from tests.conftest import REPOSITORY


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(checkpoint_module, "source_commit", lambda: "v1-3-gabc")
    return tmp_path / "an4-blstm"


def card_of(folder: Path) -> str:
    return (folder / CARD).read_text(encoding="utf-8")


def test_card_and_description(folder: Path) -> None:
    save_small(folder, notes="Trained on synthesised speech too.")
    card, text = card_of(folder), describe(load_checkpoint(folder))
    assert "\n# an4-blstm\n" in card
    assert "A CTC speech recogniser of 16 parameters, trained by the recipe `an4`." in card
    assert "Trained on: CMU AN4\n" in card
    assert "Licence of the training data: free for any purpose\n" in card
    assert "| an4-test | **8.25**, 6.50 to 10.10 |" in card
    assert "WER 8.25 %, 95 % interval 6.50 to 10.10" in text
    for found in (card, text):
        assert "Trained on synthesised speech too." in found
        assert "optim.rate" in found
        assert "0.003" in found
        assert "subsampling" in found
        assert "2, 1" in found
        assert "3 and the blank" in found
        assert "' ' 'A' 'É'" in found
        assert hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest() in found
        assert "v1-3-gabc" in found


def test_card_is_in_the_order_in_which_people_ask(folder: Path) -> None:
    save_small(folder)
    titles = [line[3:] for line in card_of(folder).splitlines() if line.startswith("## ")]
    assert titles[:5] == [
        "What it is for",
        "How well it does",
        "How to use it",
        "Limits",
        "Training data and licence",
    ]
    assert titles[-1] == "Files"


def test_figures_of_a_card(folder: Path) -> None:
    save_small(folder)
    record = {"wer": 0.0285, "wer_interval": [0.017, 0.0414], "command": "asr evaluate a|b"}
    update_metrics(
        folder, {"AN4 test": record, "FSDD": {"wer": 0.1, "cer": 0.2, "words": 3}, "epochs": 7}
    )
    card = card_of(folder)
    assert "|  | WER %, 95 % interval | CER %, 95 % interval | command | further |\n" in card
    assert "| AN4 test | **2.85**, 1.70 to 4.14 |  | `asr evaluate a\\|b` |  |\n" in card
    assert "| FSDD | **10.00** | **20.00** |  | words 3 |\n" in card
    assert "| epochs | 7 |" in card
    update_metrics(folder, {})
    assert "It has not been measured." in card_of(folder)


def test_command_of_a_card_decodes_with_the_language_model_of_the_checkpoint(folder: Path) -> None:
    save_small(folder)
    assert "    asr transcribe PATH_TO_THIS_FOLDER recording.wav\n" in card_of(folder)
    assert '    recognizer = asr.load("PATH_TO_THIS_FOLDER")\n' in card_of(folder)
    assert "--lm none" not in card_of(folder)
    update_metrics(folder, {"decoding": {"lm.arpa.gz": {"lm_sha256": "0"}}})
    assert "its own language model, `lm.arpa.gz` in this folder" in card_of(folder)
    assert "--lm none" in card_of(folder)


def test_card_of_a_shipped_checkpoint_loads_it_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_PACKAGE", tmp_path)
    save_small(tmp_path / "shipped" / "mine")
    update_metrics(tmp_path / "shipped" / "mine", {})
    assert "    asr transcribe mine recording.wav\n" in card_of(tmp_path / "shipped" / "mine")


def test_how_it_was_made(folder: Path) -> None:
    commands = ["python -m recipes.an4.prepare", "asr train \\\n    --seed 3"]
    training = {"commands": commands, "language": "en", "history": "The mean\n# of two."}
    save_small(folder, training=training)
    lines = "    python -m recipes.an4.prepare\n    asr train \\\n        --seed 3\n"
    for found in (card_of(folder), describe(load_checkpoint(folder))):
        assert "How it was made\n" in found
        assert "\nThe mean # of two.\n" in found
        assert (
            f"\nFrom the raw data, by these commands in a checkout of the source:\n\n{lines}"
            in found
        )
    assert "for the language `en`" in card_of(folder)
    save_small(folder, training={"commands": "not a list", "history": ["nor text"]})
    assert "How it was made" not in card_of(folder)


def test_card_cannot_be_broken_by_its_values(folder: Path) -> None:
    odd = {"a|b\n# c": "x\n| y", "flag": True, "off": False, "nothing": None, "many": [1, [2]]}
    metrics = {"set": {"wer": "?", "wer_interval": [1], "cer": 10**400}}
    save_small(folder, training=odd, metrics=metrics, recipe="x`\n# y")
    card = card_of(folder)
    assert "| a\\|b # c | x \\| y |" in card
    assert "| flag | yes |" in card
    assert "| nothing | none |" in card
    assert "wer ?, wer_interval 1, cer 1000" in card
    assert "\n# y" not in card


def test_description_of_a_hostile_checkpoint(folder: Path) -> None:
    save_small(folder)
    loaded = load_checkpoint(folder)
    loaded.config.update(notes="\x1b[2J\ud800", commit=None)
    text = describe(loaded)
    assert "\x1b" not in text
    assert "\\x1b[2J\\ud800" in text
    assert "not from a git checkout" in text
    settings: dict[str, Any] = {}
    for _ in range(5000):
        settings = {"a": settings}
    loaded.config["training"] = settings
    with pytest.raises(CheckpointError, match="nested too deeply"):
        describe(loaded)


@pytest.mark.parametrize("name", ["an4-blstm", "english"])
def test_cards_of_the_shipped_checkpoints_are_up_to_date(name: str, tmp_path: Path) -> None:
    """They are rendered anew by `update_metrics` whenever the form of a card changes."""
    committed = card_of(REPOSITORY / "checkpoints" / name)
    copy = shutil.copytree(REPOSITORY / "checkpoints" / name, tmp_path / name)
    update_metrics(copy, load_checkpoint(copy).metrics)
    assert card_of(copy).replace("PATH_TO_THIS_FOLDER", name) == committed
    assert shipped_checkpoints().keys() == {"an4-blstm", "english"}
