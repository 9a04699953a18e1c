"""AN4's three stages: each goes on from the one before, and what is finished is kept."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from asr.checkpoint.bundle import load_bundle
from asr.corpus.manifest import Utterance, read_manifest, write_manifest
from asr.model.acoustic import AcousticModel
from asr.recognizer import Recognizer
from asr.training import Config
from recipes.an4 import hour
from tests.training_support import optim

pytest_plugins = ["tests.training_fixtures"]


def test_each_stage_goes_on_from_the_one_before(tmp_path: Path) -> None:
    stages = hour.stages(tmp_path)
    weights = {
        name: AcousticModel(config.encoder, config.features.num_features, 28).state_dict()
        for name, config in stages.items()
    }
    for before, after in (("first", "coarse"), ("coarse", "fine")):
        assert stages[after].init_from == str(tmp_path / before / "checkpoint")
        assert stages[after].features == stages[before].features
        assert {k: v.shape for k, v in weights[before].items()} == {
            k: v.shape for k, v in weights[after].items()
        }
        assert str(tmp_path / "spliced" / "manifest.jsonl") in stages[after].data.train
    assert [config.encoder.subsampling for config in stages.values()] == [4, 4, 2]
    assert str(tmp_path) not in "".join(stages["first"].data.train)


def test_stages_are_trained_in_turn_and_kept(
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
    fine = dataclasses.replace(
        first,
        init_from=str(tmp_path / "first" / "checkpoint"),
        data=dataclasses.replace(first.data, train=(str(manifest),)),
        encoder=dataclasses.replace(first.encoder, subsampling=1),
    )
    stages = {"first": first, "fine": fine}
    minutes = hour.train(tmp_path, stages, seed=3, threads=1)
    assert list(minutes) == ["first", "spliced", "fine"]
    learnt = load_bundle(tmp_path / "fine" / "checkpoint").config
    assert (learnt["seed"], learnt["encoder"]["subsampling"]) == (3, 1)
    old = [u for path in micro.data.train for u in read_manifest(path)]
    assert [call[1:] for call in spliced] == [(len(old), hour.UTTERANCES, 3)]
    again = hour.train(tmp_path, stages, seed=3, threads=1)
    assert again == {name: minutes[name] for name in ("first", "fine")}
    assert len(spliced) == 1
