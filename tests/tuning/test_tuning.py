"""The choice of decoding settings: made once, whatever the threads and the luck."""

import dataclasses
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from asr.cli.options import PICTURES
from asr.corpus.manifest import Utterance
from asr.decode.beam import SearchConfig
from asr.decode.decoder import Decoder
from asr.decode.fusion import Fusion, FusionConfig
from asr.errors import ManifestError
from asr.files import sha256_of
from asr.inference.recognizer import Recognizer
from asr.language.ngram.kneser_ney import estimate
from asr.language.ngram.model import compile_model
from asr.scoring.wer import score
from asr.text.tokens import TokenTable
from asr.tuning.bench import Bench, DevSet, Trial, emissions_of, was_trained_on
from asr.tuning.choice import (
    BEAM_SIZES,
    LM_WEIGHTS,
    PRUNINGS,
    WORD_BONUSES,
    Tuning,
    around,
    drops_unknown_words,
    narrowest,
    passes,
    plateau_middle,
    tune,
)
from asr.tuning.report import draw_trials, frontier, render_trials
from tests.oracles import log_softmax

TABLE = TokenTable(tuple(" ABCDEN"))
SENTENCES = [words.split() for words in ["BAD BED", "A BED", "DEAN CAN", "CAN A BEAD", "BAD"]]


def heard(text: str, seed: int, clarity: float = 5.0) -> torch.Tensor:
    """Emissions of a text, two frames a character: one speaks, one is blank, both are noisy."""
    generator = np.random.default_rng(seed)
    tokens = TABLE.encode(text)
    logits = generator.normal(scale=1.5, size=(2 * len(tokens), len(TABLE)))
    logits[np.arange(0, len(logits), 2), tokens] += clarity
    logits[1::2, 0] += clarity
    return torch.from_numpy(log_softmax(logits))


@pytest.fixture(scope="module")
def dev() -> DevSet:
    texts = [" ".join(sentence) for sentence in SENTENCES * 3]
    emissions = tuple(heard(text, seed, clarity=2.5) for seed, text in enumerate(texts))
    return DevSet(tuple(texts), emissions, audio_seconds=0.04 * sum(map(len, emissions)))


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    model = compile_model(estimate(SENTENCES, 2).table)
    return Decoder(fusion=Fusion(TABLE, FusionConfig(), word_model=model))


@pytest.fixture(scope="module")
def tuning(dev: DevSet, decoder: Decoder) -> Tuning:
    return tune(Bench(dev, TABLE), decoder)


def settings(tuning: Tuning) -> tuple[SearchConfig, FusionConfig]:
    assert tuning.choice.decoder.fusion is not None
    return tuning.choice.decoder.search, tuning.choice.decoder.fusion.config


def test_the_choice_mends_what_greedy_search_mishears(dev: DevSet, tuning: Tuning) -> None:
    greedy = Bench(dev, TABLE).trial(Decoder())
    assert tuning.choice.word_errors < greedy.word_errors / 2
    assert settings(tuning)[1].lm_weight > 0


def test_the_choice_does_not_depend_on_threads(
    dev: DevSet, decoder: Decoder, tuning: Tuning
) -> None:
    again = tune(Bench(dev, TABLE, threads=3), decoder)
    assert settings(again) == settings(tuning)
    assert [t.texts for t in again.trials] == [t.texts for t in tuning.trials]
    assert (again.changed, again.edges) == (tuning.changed, tuning.edges)


def test_every_pass_is_announced(dev: DevSet, decoder: Decoder) -> None:
    short = DevSet(dev.references[:1], dev.emissions[:1], 1.0)
    assert decoder.fusion is not None
    closed = decoder.fusion.with_config(FusionConfig(closed_vocabulary=True))
    for given in (Decoder(), decoder, dataclasses.replace(decoder, fusion=closed)):
        done: list[None] = []
        found = tune(Bench(short, TABLE, advance=partial(done.append, None)), given)
        assert len(done) == passes(given)
        if given.fusion is closed:
            assert settings(found)[1].closed_vocabulary


def test_without_a_language_model_greedy_search_is_tried(dev: DevSet) -> None:
    found = tune(Bench(dev, TABLE), Decoder())
    assert found.trials[0].decoder.is_greedy
    assert found.choice.decoder.fusion is None
    assert len(found.trials) == (len(BEAM_SIZES) + 1) * len(PRUNINGS)


def test_a_model_of_characters_is_weighed_as_one_of_words(dev: DevSet) -> None:
    spelled = [list(" ".join(s).replace(" ", "_")) for s in SENTENCES]
    table = estimate([[c.replace("_", "<space>") for c in s] for s in spelled], 3).table
    fusion = Fusion(TABLE, FusionConfig(), character_model=compile_model(table))
    _, config = settings(tune(Bench(dev, TABLE), Decoder(fusion=fusion)))
    assert config.character_weight == config.lm_weight > 0


def test_trials_are_scored_as_anything_else(dev: DevSet, tuning: Tuning) -> None:
    for trial in (tuning.trials[0], tuning.choice):
        truth = score(
            *({str(i): t for i, t in enumerate(x)} for x in (dev.references, trial.texts))
        )
        assert (trial.wer, trial.cer) == (truth.wer, truth.cer)


def test_what_nothing_allows_counts_as_deleted(dev: DevSet) -> None:
    silent = DevSet(("A BED",), (torch.zeros(0, len(TABLE)),), 1.0)
    model = compile_model(estimate([["CAB"]], 1).table)
    fusion = Fusion(TABLE, FusionConfig(closed_vocabulary=True), word_model=model)
    noise = DevSet(("A BED",), (heard("A", 0, clarity=90.0),), 1.0)
    for one, bench_decoder in ((silent, Decoder()), (noise, Decoder(fusion=fusion))):
        bench = Bench(one, TABLE)
        trial = bench.trial(bench_decoder)
        assert (trial.texts, trial.wer) == (("",), 1.0)
        assert bench.raw_confidences(bench_decoder) == ([], [])


def test_confidences_stand_beside_the_words(dev: DevSet, tuning: Tuning) -> None:
    confidences, correct = Bench(dev, TABLE).raw_confidences(tuning.choice.decoder)
    words = sum(len(text.split()) for text in tuning.choice.texts)
    assert len(confidences) == len(correct) == words
    assert np.mean(confidences) > 0.3
    assert all(0 <= confidence <= 1 for confidence in confidences)


# --- The grid


def test_the_middle_of_a_plateau_is_taken() -> None:
    errors = np.full((7, 9), 30)
    errors[2:5, 1:8] = 10
    assert plateau_middle(errors) == (3, 4)
    assert plateau_middle(np.array([5, 5, 5, 5, 5])) == (2,)


def test_one_lucky_place_is_passed_over() -> None:
    errors = np.array([[20, 20, 20, 12, 12], [20, 8, 20, 12, 12], [20, 20, 20, 12, 12]])
    assert plateau_middle(errors) == (1, 4)


def test_beyond_the_edge_errors_go_on() -> None:
    assert plateau_middle(np.array([[9, 40, 80, 120]])) == (0, 0)
    assert plateau_middle(np.array([[120], [80], [40], [9]])) == (3, 0)


def test_a_finer_grid_lies_between_the_neighbours() -> None:
    assert around((0.0, 1.0, 3.0), 1.0) == (0.0, 0.75, 1.5, 2.25, 3.0)
    assert around((0.0, 1.0, 3.0), 0.0) == (0.0, 0.25, 0.5, 0.75, 1.0)
    for values in (LM_WEIGHTS, WORD_BONUSES):
        assert list(values) == sorted(values)


def test_the_narrowest_search_that_finds_the_same() -> None:
    changed = np.array([[0.2, 0.3, 0.0], [0.001, 0.004, 0.2], [0.0, 0.0, 0.0]])
    assert narrowest(changed) == (1, 1)
    changed[1, 0] = 0.1  # what is pruned more is good by luck
    assert narrowest(changed) == (2, 2)
    assert narrowest(np.array([[0.5, 0.5], [0.0, 0.5]])) == (1, 0)
    assert narrowest(np.zeros((3, 4))) == (0, 3)


def test_pruning_leaves_room_for_an_unknown_word(decoder: Decoder) -> None:
    def dropped(given: Decoder, **weights: object) -> list[bool]:
        assert given.fusion is not None
        fusion = given.fusion.with_config(FusionConfig(**weights))  # type: ignore[arg-type]
        weighted = dataclasses.replace(given, fusion=fusion)
        return [drops_unknown_words(pruning, weighted) for pruning in PRUNINGS]

    assert [p.beam_log_threshold for p in PRUNINGS] == [None, 20, 12, 8, 5]
    assert dropped(decoder, unknown_log_penalty=-10.0) == [False, False, False, True, True]
    assert dropped(decoder, unknown_log_penalty=-20.0) == [False, True, True, True, True]
    assert not any(dropped(decoder, closed_vocabulary=True))
    assert not any(drops_unknown_words(pruning, Decoder()) for pruning in PRUNINGS)
    assert not any(dropped(Decoder(fusion=Fusion(TABLE))))


def test_the_choice_leaves_room_for_an_unknown_word(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asr.tuning.choice.UNKNOWN_LOG_PENALTIES", (-20.0,))
    clear = DevSet(("A BED",), (heard("A BED", 0, clarity=90.0),), 1.0)

    search, config = settings(tune(Bench(clear, TABLE), decoder))

    assert config.unknown_log_penalty == -20
    assert search.beam_log_threshold is None


def test_prunings_go_from_none_to_tight() -> None:
    assert PRUNINGS[0] == SearchConfig()
    token_logs = [p.token_log_threshold or -math.inf for p in PRUNINGS]
    beam_logs = [p.beam_log_threshold or math.inf for p in PRUNINGS]
    tokens = [p.tokens_per_frame or math.inf for p in PRUNINGS]
    assert token_logs == sorted(set(token_logs))
    assert beam_logs == sorted(set(beam_logs), reverse=True)
    assert tokens == sorted(tokens, reverse=True)


class Valley(Bench):
    """Errors that rise with the distance of the weights from given ones."""

    lowest = FusionConfig()

    def word_errors(self, decoder: Decoder) -> int:
        assert decoder.fusion is not None
        found, best = decoder.fusion.config, self.lowest
        away = abs(found.lm_weight - best.lm_weight) + abs(found.word_bonus - best.word_bonus)
        return round(100 * away) + round(abs(found.unknown_log_penalty - best.unknown_log_penalty))


@pytest.mark.parametrize(("weight", "bonus"), [(0.6, 1.5), (0.3, -0.2), (1.4, 4.0)])
def test_the_grids_lead_to_the_lowest_place(
    dev: DevSet, decoder: Decoder, weight: float, bonus: float
) -> None:
    bench = Valley(dev, TABLE)
    bench.lowest = FusionConfig(weight, bonus, unknown_log_penalty=-8.0)
    found = tune(bench, decoder)
    _, config = settings(found)
    assert config.lm_weight == pytest.approx(weight, abs=0.26)
    assert config.word_bonus == pytest.approx(bonus, abs=0.51)
    assert config.unknown_log_penalty == -8.0
    assert not [edge for edge in found.edges if not edge.startswith("beam_size")]


def test_edges_are_named(dev: DevSet, decoder: Decoder) -> None:
    bench = Valley(dev, TABLE)
    bench.lowest = FusionConfig(2.5, -1.5, unknown_log_penalty=-40.0)
    edges = [edge for edge in tune(bench, decoder).edges if not edge.startswith("beam_size")]
    assert edges == ["lm_weight 2", "word_bonus -1", "unknown_log_penalty -20"]


# --- The report


def trial(milliseconds: float, errors: int) -> Trial:
    return Trial(Decoder(), (), errors, errors / 100, errors / 300, milliseconds)


def test_the_frontier_has_no_slower_and_worse() -> None:
    slow, fast, beaten, equal = trial(9.0, 10), trial(1.0, 20), trial(5.0, 25), trial(2.0, 20)
    assert frontier([slow, beaten, equal, fast]) == [fast, slow]


def test_the_table_has_every_search(tuning: Tuning) -> None:
    heading, *lines = render_trials(tuning).splitlines()
    assert heading.split()[-5:] == ["beam", "log", "WER", "CER", "changed", "ms/s"][-5:]
    assert len(lines) == len(tuning.trials)
    (chosen,) = [line for line in lines if line.endswith("<-")]
    assert chosen.split()[0] == str(tuning.choice.decoder.search.beam_size)
    assert any(" *" in line for line in lines)


@pytest.mark.parametrize(
    ("suffix", "magic"), list(zip(PICTURES, [b"%PDF", b"\x89PNG", b"<?xml"], strict=True))
)
def test_the_plot_is_drawn(tuning: Tuning, tmp_path: Path, suffix: str, magic: bytes) -> None:
    draw_trials(tuning, tmp_path / f"frontier{suffix}")
    assert (tmp_path / f"frontier{suffix}").read_bytes().startswith(magic)


# --- What to tune on


def test_a_manifest_that_was_trained_on_is_known_by_its_content(tmp_path: Path) -> None:
    for name in ("train", "dev"):
        (tmp_path / f"{name}.jsonl").write_text(name)
    hashes = {
        f"old/{name}.jsonl": sha256_of(tmp_path / f"{name}.jsonl") for name in ("train", "dev")
    }
    data = {"train": ["old/train.jsonl"], "dev": "old/dev.jsonl"}
    config = {"training": {"data": data, "manifest_sha256": hashes}}
    assert was_trained_on(config, tmp_path / "train.jsonl")
    assert not was_trained_on(config, tmp_path / "dev.jsonl")
    assert not was_trained_on({"training": {}}, tmp_path / "train.jsonl")


def test_a_dev_set_without_words_is_refused(tmp_path: Path) -> None:
    silence = Utterance("a", tmp_path / "a.wav", 1.0, "")
    nobody = Recognizer.__new__(Recognizer)
    with pytest.raises(ManifestError, match="none of the 1 dev utterances has a word"):
        emissions_of(nobody, [silence])
