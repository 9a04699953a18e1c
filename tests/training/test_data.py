"""The data of a run: manifests opened, checked and batched."""

import dataclasses
import logging
from pathlib import Path

import pytest

from asr.corpus.manifest import read_manifest, write_manifest
from asr.training import Config, setup
from asr.training.distributed import Group
from tests.training_support import CPU, Change, edited

pytest_plugins = ["tests.training_fixtures"]
pytestmark = pytest.mark.usefixtures("quick")


def set_text(text: str) -> Change:
    return lambda entries: entries[1].update(text=text)


def test_a_manifest_with_bom_crlf_and_decomposed_letters_trains(
    micro: Config, tmp_path: Path
) -> None:
    changed = edited(micro, tmp_path, set_text("E\u0301A"), "train")
    manifest = Path(changed.data.train[0])
    text = "\ufeff" + manifest.read_text().replace("\n", "\r\n")
    manifest.write_bytes(text.encode())
    run, _ = setup.prepare(changed, tmp_path / "run", CPU, Group(), resume=False)
    assert "É" in run.tokens.characters
    assert "\u0301" not in run.tokens.characters


def test_several_manifests_are_one_training_set(micro: Config, tmp_path: Path) -> None:
    utterances = read_manifest(micro.data.train[0])
    for name, part in (("a", utterances[:5]), ("b", utterances[5:])):
        write_manifest(tmp_path / f"{name}.jsonl", part)
    paths = (str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl"))
    data = dataclasses.replace(micro.data, train=paths)
    run, _ = setup.prepare(
        dataclasses.replace(micro, data=data), tmp_path / "run", CPU, Group(), False
    )
    assert sorted(i for batch in run.train_loader for i in batch.ids) == [u.id for u in utterances]


def test_with_minutes_of_speech_a_new_run_says_what_to_expect(
    micro: Config, whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    setup.prepare(micro, tmp_path / "run", CPU, Group(), resume=False)
    assert "0.3 minutes of training data are little to start from random weights" in caplog.text
    assert "--init_from CHECKPOINT, such as an4-blstm or english" in caplog.text

    caplog.clear()
    setup.prepare(micro, whole, CPU, Group(), resume=True)
    tuned = dataclasses.replace(micro, init_from=str(whole / "checkpoint"))
    setup.prepare(tuned, tmp_path / "tuned", CPU, Group(), resume=False)
    assert "are little" not in caplog.text


def test_overlap_of_training_and_validation_data_is_logged(
    micro: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = dataclasses.replace(micro.data, dev=micro.data.train[0])
    with caplog.at_level(logging.WARNING, "asr.training"):
        setup.prepare(
            dataclasses.replace(micro, data=data), tmp_path / "run", CPU, Group(), resume=False
        )
    assert "12 of the 12 validation recordings are also trained on" in caplog.text
