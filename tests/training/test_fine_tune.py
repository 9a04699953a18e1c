"""Fine-tuning: a run that starts from the weights of a checkpoint."""

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from asr.checkpoint.checkpoint import load_checkpoint
from asr.errors import CheckpointError, ConfigError
from asr.model.acoustic import AcousticModel
from asr.text.tokens import TokenTable
from asr.training import Config, fine_tune, loop, setup
from asr.training.config import TextConfig
from asr.training.distributed import Group
from tests.support import Command
from tests.training_support import CPU, early, edited, optim, same

pytest_plugins = ["tests.training_fixtures"]
pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(scope="module")
def finished(micro: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    return loop.train(optim(micro, epochs=1, average=1), folder / "run", CPU)


def test_a_run_starts_from_the_weights_of_a_checkpoint(
    micro: Config, finished: Path, tmp_path: Path
) -> None:
    micro = dataclasses.replace(micro, init_from=str(finished))
    run, _ = setup.prepare(micro, tmp_path / "run", CPU, Group(), resume=False)
    assert same(dict(run.model.state_dict()), load_checkpoint(finished).weights)


def test_tokens_that_both_know_keep_their_weights(
    micro: Config, finished: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def another(entries: list[dict[str, Any]]) -> None:
        entries[0]["text"] += "~"

    micro = edited(micro, tmp_path, another)
    micro = dataclasses.replace(micro, init_from=str(finished))
    with caplog.at_level(logging.INFO, "asr.training"):
        run, _ = setup.prepare(micro, tmp_path / "run", CPU, Group(), resume=False)
    weights, loaded = run.model.state_dict(), load_checkpoint(finished)
    new = run.tokens.encode("~")[0]
    old_characters = loaded.config["tokens"]
    for name, before in loaded.weights.items():
        if not name.startswith("output."):
            assert torch.equal(weights[name], before), name
            continue
        assert torch.equal(weights[name][0], before[0])
        for character in set(run.tokens.characters) - {"~"}:
            place = 1 + old_characters.index(character)
            assert torch.equal(weights[name][run.tokens.encode(character)[0]], before[place])
        assert not any(torch.equal(weights[name][new], row) for row in before)
    assert "of this run's, 0 start from the weights" in caplog.text
    assert "without its marks, 1 from random weights" in caplog.text


def test_new_letters_start_from_the_same_ones_in_another_case_or_without_marks(
    micro: Config, finished: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def lowered(entries: list[dict[str, Any]]) -> None:
        for entry in entries:
            entry["text"] = entry["text"].lower().replace("a", "ā\u0301")  # no composed letter
        entries[0]["text"] += "ёß"

    for split in ("train", "dev"):
        micro = edited(micro, tmp_path, lowered, split)
    for units in ("characters", "graphemes"):
        config = dataclasses.replace(micro, init_from=str(finished), text=TextConfig(units))
        caplog.clear()
        with caplog.at_level(logging.INFO, "asr.training"):
            run, _ = setup.prepare(config, tmp_path / units, CPU, Group(), resume=False)
        weights, before = run.model.state_dict(), load_checkpoint(finished)
        old = ["", *before.tokens.characters]
        for place, character in enumerate(run.tokens.characters, start=1):
            row = weights["output.weight"][place]
            upper = "A" if character.startswith("ā") else character.upper()
            if upper in old:
                assert torch.equal(row, before.weights["output.weight"][old.index(upper)])
            else:
                assert character in "\u0301ёß"
                assert not any(torch.equal(row, other) for other in before.weights["output.weight"])
        assert "'b' from 'B'" in caplog.text
        random = 3 if units == "characters" else 2
        assert f"{random} from random weights" in caplog.text


def test_letters_missing_from_the_data_are_kept(
    micro: Config, finished: Path, tmp_path: Path
) -> None:
    def fewer(entries: list[dict[str, Any]]) -> None:
        del entries[1:]

    for split in ("train", "dev"):
        micro = edited(micro, tmp_path, fewer, split)
    micro = dataclasses.replace(micro, init_from=str(finished))
    run, _ = setup.prepare(micro, tmp_path / "run", CPU, Group(), resume=False)
    loaded = load_checkpoint(finished)
    assert list(run.tokens.characters) == loaded.config["tokens"]
    assert same(dict(run.model.state_dict()), loaded.weights)


def test_weights_can_be_used_at_another_frame_rate(
    micro: Config, finished: Path, tmp_path: Path
) -> None:
    encoder = dataclasses.replace(micro.encoder, subsampling=1, dropout=0.5)
    assert encoder.subsampling != micro.encoder.subsampling
    finer = dataclasses.replace(micro, init_from=str(finished), encoder=encoder)
    run, _ = setup.prepare(finer, tmp_path / "run", CPU, Group(), resume=False)
    assert same(dict(run.model.state_dict()), load_checkpoint(finished).weights)
    assert int(run.model.output_lengths(torch.tensor(9))) == 9


def test_feedback_weights_follow_new_tokens(micro: Config, tmp_path: Path) -> None:
    checkpoint = loop.train(optim(early(micro), epochs=1, average=1), tmp_path / "old", CPU)
    loaded = load_checkpoint(checkpoint)
    tokens = TokenTable.from_texts(["~", *loaded.config["tokens"]])
    config = dataclasses.replace(early(micro), init_from=str(checkpoint))
    model = AcousticModel(config.encoder, config.features.num_features, len(tokens))
    fine_tune.load_initial_weights(model, tokens, loaded, config)
    known = [0, *(tokens.encode(c)[0] for c in loaded.config["tokens"])]
    assert torch.equal(model.feedback.weight[:, known], loaded.weights["feedback.weight"])
    assert torch.equal(model.feedback.bias, loaded.weights["feedback.bias"])


def test_the_command_takes_features_and_encoder_from_the_checkpoint(
    micro: Config, finished: Path, tmp_path: Path, asr_command: Command
) -> None:
    arguments = ["train", "--init_from", str(finished), "--dev", micro.data.dev]
    arguments += ["--train", micro.data.train[0], "-o", str(tmp_path / "run"), "--threads", "1"]
    settings = ["optim.epochs=1", "optim.workers=0", "encoder.dropout=0.1"]
    ran = asr_command(*arguments, *(part for s in settings for part in ("--set", s)))
    assert ran.code == 0, ran.stderr
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert config["encoder"]["hidden"] == micro.encoder.hidden
    assert config["encoder"]["dropout"] == 0.1
    assert config["features"]["num_mels"] == micro.features.num_mels
    again = asr_command(
        "train", "-o", str(tmp_path / "run"), "--resume", "--init_from", str(finished)
    )
    assert again.code != 0
    assert "--init_from cannot be combined with --resume" in again.stderr


def test_weights_that_are_not_of_the_encoder_are_refused(
    micro: Config, finished: Path, tmp_path: Path
) -> None:
    loaded = load_checkpoint(finished)
    del loaded.weights["output.bias"]
    micro = dataclasses.replace(micro, init_from=str(finished))
    run, _ = setup.prepare(micro, tmp_path / "run", CPU, Group(), resume=False)
    with pytest.raises(CheckpointError, match="do not describe the same model"):
        fine_tune.load_initial_weights(run.model, run.tokens, loaded, micro)


def test_a_setting_that_an_older_checkpoint_lacks_is_as_it_was(
    micro: Config, finished: Path, tmp_path: Path
) -> None:
    loaded = load_checkpoint(finished)
    del loaded.config["encoder"]["early_predictions"]
    micro = dataclasses.replace(micro, init_from=str(finished))
    run, _ = setup.prepare(micro, tmp_path / "run", CPU, Group(), resume=False)
    fine_tune.load_initial_weights(run.model, run.tokens, loaded, micro)


def test_a_checkpoint_of_another_shape_is_refused_by_setting(
    micro: Config, finished: Path, tmp_path: Path
) -> None:
    encoder = dataclasses.replace(micro.encoder, hidden=9)
    micro = dataclasses.replace(micro, encoder=encoder, init_from=str(finished))
    with pytest.raises(
        ConfigError, match=r"the checkpoint differs from this run in encoder.hidden; "
    ):
        setup.prepare(micro, tmp_path / "run", CPU, Group(), resume=False)
