"""AN4's cross-validation and its study of WER against compute: folds, plans, tables, plot."""

import dataclasses
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.config import to_dict
from asr.corpus.manifest import Utterance, read_manifest
from asr.errors import AsrError
from asr.model.acoustic import AcousticModel
from recipes.an4 import compute, crossval
from recipes.an4.prepare import person
from recipes.an4.train import CONFIG
from tests.support import run_recipe

pytest_plugins = ["tests.training_fixtures"]


def spoken_by(codes: list[str]) -> list[Utterance]:
    return [Utterance(str(i), Path(f"{i}.wav"), 1.0, "A", code) for i, code in enumerate(codes)]


@given(
    st.lists(st.tuples(st.sampled_from("fm"), st.integers(0, 30)), min_size=1, max_size=60),
    st.integers(2, 5),
)
def test_folds_split_whole_persons_evenly(drawn: list[tuple[str, int]], folds: int) -> None:
    codes = [f"{sex}ab{chr(97 + number)}" for sex, number in drawn]
    parts = crossval.split_speakers(spoken_by(codes), folds)
    assert len(parts) == folds
    assert Counter(code for part in parts for code in part) == Counter(set(codes))
    counts = Counter(codes)
    for sex in "fm":
        sizes = [sum(counts[c] for c in part if c[0] == sex) for part in parts]
        largest = max((counts[c] for c in counts if c[0] == sex), default=0)
        assert max(sizes) - min(sizes) <= largest


def test_a_person_with_two_codes_is_in_one_fold() -> None:
    parts = crossval.split_speakers(spoken_by(["mdcs", "mdcs2", "fxyz", "mabc"]), 2)
    assert sum("mdcs" in part for part in parts) == 1
    assert person("mdcs2") == "mdcs"


def test_every_utterance_is_held_out_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifests = []
    for name, codes in (("train", "mabc mabc fabc mxyz"), ("dev", "fxyz mdcs")):
        lines = [
            {"id": f"{name}{i}", "audio_filepath": "a.wav", "duration": 1.0, "text": "A"}
            | {"speaker": code}
            for i, code in enumerate(codes.split())
        ]
        (tmp_path / "a.wav").touch()
        manifests.append(tmp_path / f"{name}.jsonl")
        manifests[-1].write_text("".join(json.dumps(line) + "\n" for line in lines))
    monkeypatch.setattr(crossval, "MANIFESTS", tuple(manifests))
    crossval.write_folds(tmp_path / "cv", 3)
    held_out = []
    for fold in range(3):
        train, dev = (read_manifest(tmp_path / f"cv/{n}{fold}.jsonl") for n in ("train", "dev"))
        assert len(train) + len(dev) == 6
        assert not {u.speaker for u in train} & {u.speaker for u in dev}
        held_out += [u.id for u in dev]
    assert sorted(held_out) == sorted(u.id for m in manifests for u in read_manifest(m))


def test_the_table_compares_finished_folds(whole: Path, tmp_path: Path) -> None:
    for fold in ("fold0", "fold1"):
        (tmp_path / "study" / fold).mkdir(parents=True)
        (tmp_path / "study" / fold / "checkpoint").symlink_to(whole / "checkpoint")
    metrics = json.loads((whole / "checkpoint/metrics.json").read_text())["dev"]
    ran = run_recipe(crossval.crossval, "--table", tmp_path / "study")
    assert ran.code == 0, ran
    line = ran.stdout.splitlines()[-1]
    wer, cer = f"{metrics['wer']:.2%}", f"{metrics['cer']:.2%}"
    assert line.startswith(f"| study | 2 | {wer} | {wer} to {wer} | {cer} | {cer} to {cer} | ")


def test_a_run_without_folds_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AsrError, match="no finished fold here; expected fold0/checkpoint"):
        crossval.table([tmp_path])


def test_epochs_fill_the_planned_minutes() -> None:
    runs = compute.plan(30.0)
    assert [runs[f"{m}min"][0] for m in compute.MINUTES] == [
        f"optim.epochs={epochs}" for epochs in (10, 30, 60, 360)
    ]
    assert runs["5min"][1] == "optim.warmup_epochs=0.83"


def test_model_sizes_match_their_names() -> None:
    for name, hidden in compute.HIDDEN.items():
        encoder = dataclasses.replace(CONFIG.encoder, hidden=hidden)
        model = AcousticModel(encoder, CONFIG.features.num_features, 28)
        millions = sum(p.numel() for p in model.parameters()) / 1e6
        assert abs(millions - float(name[:-1])) < 0.15 * float(name[:-1]), name


def figures(wer: float) -> compute.Figures:
    return compute.Figures(5.0, 1_000_000, wer, low=wer - 0.02, high=wer + 0.03, cer=wer / 2)


def test_only_missing_runs_are_trained_and_all_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []

    def train_and_score(run: Path, *_: object) -> compute.Figures:
        trained.append(run.name)
        other = {"3M": to_dict(figures(0.15))}  # finished by another call in the meantime
        kept.write_text(json.dumps(json.loads(kept.read_bytes()) | other))
        return figures(0.2)

    monkeypatch.setattr(compute, "train_and_score", train_and_score)
    kept = tmp_path / "compute.json"
    kept.write_text(json.dumps({"5min": to_dict(figures(0.3)), "recipe": to_dict(figures(0.1))}))
    chosen = [part for name in ("5min", "recipe", "1M") for part in ("--only", name)]
    places = ["-o", tmp_path, "--results", kept, "--picture", tmp_path / "compute.png"]
    ran = run_recipe(compute.compute, *places, *chosen)
    assert ran.code == 0, ran
    assert trained == ["1M"]
    assert compute.read_results(kept)["1M"] == figures(0.2)
    assert compute.read_results(kept)["3M"] == figures(0.15)
    assert "| recipe | 5 | 1.0 M | 10.00% (8.00% to 13.00%) | 5.00% |" in ran.stdout
    assert (tmp_path / "compute.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "expected the figures"), ("[1]", "expected the figures"), ('{"1M": {}}', "1M")],
)
def test_invalid_results_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "compute.json").write_text(text)
    with pytest.raises(AsrError, match=rf"compute\.json: {message}"):
        compute.read_results(tmp_path / "compute.json")


def test_an_unknown_run_is_named(tmp_path: Path) -> None:
    refused = run_recipe(compute.compute, "-o", tmp_path, "--only", "7min").error
    assert "expected recipe, 5min, 15min" in refused
    assert "found 7min" in refused
