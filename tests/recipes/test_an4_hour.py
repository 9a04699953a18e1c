"""AN4's two stages: the second starts from the weights of the first; finished stages are kept."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from asr.checkpoint.checkpoint import load_checkpoint
from asr.corpus.manifest import Utterance, read_manifest, write_manifest
from asr.inference.recognizer import Recognizer
from asr.model.acoustic import AcousticModel
from asr.training import Config
from recipes.an4 import hour
from tests.training_support import optim

pytest_plugins = ["tests.training_fixtures"]


def test_the_second_stage_starts_from_the_first(tmp_path: Path) -> None:
    stages = hour.stages(tmp_path)
    first, final = stages["first"], stages["final"]
    assert final.init_from == str(tmp_path / "first" / "checkpoint")
    assert final.features == first.features
    first_weights, final_weights = (
        AcousticModel(config.encoder, config.features.num_features, 28).state_dict()
        for config in (first, final)
    )
    assert {k: v.shape for k, v in first_weights.items()} == {
        k: v.shape for k, v in final_weights.items()
    }
    assert first.encoder.subsampling == final.subsampling_in(0) == 4
    assert final.subsampling_in(final.optim.epochs - 1) == final.encoder.subsampling == 2
    assert str(tmp_path / "spliced" / "manifest.jsonl") in final.data.train
    assert str(tmp_path) not in "".join(first.data.train)


def test_stages_are_trained_in_order_and_kept(
    micro: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = tmp_path / "spliced" / "manifest.jsonl"
    spliced = []

    def splice(
        recognizer: Recognizer, old: Sequence[Utterance], count: int, seed: int, folder: Path
    ) -> None:
        spliced.append((recognizer.tokens.characters, len(old), count, seed))
        write_manifest(folder / "manifest.jsonl", old)

    monkeypatch.setattr(hour, "splice", splice)
    monkeypatch.setattr(hour, "MANIFESTS", micro.data.train)
    first = optim(micro, epochs=1, average=1)
    final = dataclasses.replace(
        first,
        init_from=str(tmp_path / "first" / "checkpoint"),
        data=dataclasses.replace(first.data, train=(str(manifest),)),
        encoder=dataclasses.replace(first.encoder, subsampling=1),
    )
    stages = {"first": first, "final": final}
    minutes = hour.train(tmp_path, stages, seed=3, threads=1)
    assert list(minutes) == ["first", "spliced", "final"]
    config = load_checkpoint(tmp_path / "final" / "checkpoint").config
    assert (config["seed"], config["encoder"]["subsampling"]) == (3, 1)
    old = [u for path in micro.data.train for u in read_manifest(path)]
    assert [call[1:] for call in spliced] == [(len(old), hour.UTTERANCES, 3)]
    again = hour.train(tmp_path, stages, seed=3, threads=1)
    assert again == {name: minutes[name] for name in ("first", "final")}
    assert len(spliced) == 1
