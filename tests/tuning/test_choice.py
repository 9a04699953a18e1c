"""The choice of decoding settings: made once, whatever the threads and the luck."""

import dataclasses
from functools import partial

import numpy as np
import pytest

from asr.decode.beam import SearchConfig
from asr.decode.decoder import Decoder
from asr.decode.fusion import Fusion, FusionConfig
from asr.decode.priors import measure_log_priors
from asr.language.ngram.kneser_ney import estimate
from asr.language.ngram.model import compile_model
from asr.language.word_list import parse_word_list
from asr.tuning import choice
from asr.tuning.choice import (
    BEAM_LOG_THRESHOLDS,
    BEAM_SIZES,
    BEAM_SIZES_ALONE,
    TOKEN_LOG_THRESHOLDS,
    Tuning,
    passes,
    tune,
)
from asr.tuning.dev_set import DecodingTrial, DevEvaluator, DevSet
from tests.tuning.synthetic import SENTENCES, TABLE, dev_set_of

PRUNINGS = len(TOKEN_LOG_THRESHOLDS) * len(BEAM_LOG_THRESHOLDS)


def settings(tuning: Tuning) -> tuple[SearchConfig, FusionConfig]:
    assert tuning.choice.decoder.fusion is not None
    return tuning.choice.decoder.search, tuning.choice.decoder.fusion.config


def test_the_choice_corrects_the_errors_of_greedy_search(dev: DevSet, tuning: Tuning) -> None:
    greedy = DevEvaluator(dev, TABLE).trial(Decoder())
    assert tuning.choice.word_errors < greedy.word_errors / 2
    assert settings(tuning)[1].lm_weight > 0


@pytest.mark.usefixtures("few_trials")
def test_the_choice_does_not_depend_on_threads(dev: DevSet, decoder: Decoder) -> None:
    once, again = (tune(DevEvaluator(dev, TABLE, threads), decoder) for threads in (1, 3))
    assert settings(again) == settings(once)
    assert [t.texts for t in again.trials] == [t.texts for t in once.trials]
    assert again.edges == once.edges


@pytest.mark.usefixtures("few_trials")
def test_every_pass_is_announced(dev: DevSet, decoder: Decoder) -> None:
    short = DevSet(dev.references[:1], dev.emissions[:1], 1.0)
    assert decoder.fusion is not None
    closed = decoder.fusion.with_config(FusionConfig(closed_vocabulary=True))
    listed = Fusion(TABLE, automaton=parse_word_list("BAD\nBED", TABLE))
    for fusion in (None, decoder.fusion, closed, listed):
        done: list[None] = []
        evaluator = DevEvaluator(short, TABLE, advance=partial(done.append, None))
        found = tune(evaluator, Decoder(fusion=fusion))
        assert len(done) == passes(Decoder(fusion=fusion))
        if fusion is closed:
            assert settings(found)[1].closed_vocabulary


def test_the_trials_are_the_prunings_and_then_the_beams(tuning: Tuning) -> None:
    searches = [trial.decoder.search for trial in tuning.trials]
    pruned, beams = searches[:PRUNINGS], searches[PRUNINGS:]
    assert [(s.token_log_threshold, s.beam_log_threshold) for s in pruned] == [
        (token, beam) for token in TOKEN_LOG_THRESHOLDS for beam in BEAM_LOG_THRESHOLDS
    ]
    assert [search.beam_size for search in beams] == list(BEAM_SIZES)
    assert tuning.choice.decoder.search in beams
    configs = [t.decoder.fusion.config for t in tuning.trials if t.decoder.fusion]
    assert set(configs) == {settings(tuning)[1]}


def test_without_a_language_model_greedy_search_is_tried(dev: DevSet) -> None:
    found = tune(DevEvaluator(dev, TABLE), Decoder())
    assert found.trials[-1].decoder.is_greedy
    assert found.choice.decoder.fusion is None
    assert len(found.trials) == PRUNINGS + len(BEAM_SIZES_ALONE)


@pytest.mark.usefixtures("few_trials")
def test_a_model_of_characters_is_weighed_as_one_of_words(dev: DevSet) -> None:
    spelled = [list(" ".join(s).replace(" ", "_")) for s in SENTENCES]
    table = estimate([[c.replace("_", "<space>") for c in s] for s in spelled], 3).table
    fusion = Fusion(TABLE, FusionConfig(), character_model=compile_model(table))
    _, config = settings(tune(DevEvaluator(dev, TABLE), Decoder(fusion=fusion)))
    assert config.character_weight == config.lm_weight > 0


def test_thresholds_go_from_wide_to_narrow() -> None:
    assert list(TOKEN_LOG_THRESHOLDS) == sorted(set(TOKEN_LOG_THRESHOLDS))
    for narrowing in (BEAM_LOG_THRESHOLDS, BEAM_SIZES, BEAM_SIZES_ALONE):
        assert list(narrowing) == sorted(set(narrowing), reverse=True)


class Valley(DevEvaluator):
    """Errors that rise with the distance of the settings from given ones."""

    lowest = FusionConfig()
    pruning = SearchConfig(token_log_threshold=-6.0, beam_log_threshold=12.0)
    merges = 0
    """Errors that recombining saves."""

    def word_errors(self, decoder: Decoder) -> int:
        assert decoder.fusion is not None
        found, best = decoder.fusion.config, self.lowest
        away = 100 * abs(found.lm_weight - best.lm_weight)
        away += 100 * abs(found.word_bonus - best.word_bonus)
        away += abs(found.unknown_log_penalty - best.unknown_log_penalty)
        return round(away + abs(found.empty_word_log_penalty - best.empty_word_log_penalty))

    def trial(self, decoder: Decoder) -> DecodingTrial:
        search, best = decoder.search, self.pruning
        assert search.token_log_threshold is not None
        assert best.token_log_threshold is not None
        assert search.beam_log_threshold is not None
        assert best.beam_log_threshold is not None
        away = 20 * abs(search.token_log_threshold - best.token_log_threshold)
        away += 5 * abs(search.beam_log_threshold - best.beam_log_threshold)
        errors = round(away) + max(0, 16 - search.beam_size) + 100 - self.merges * search.recombine
        return DecodingTrial(decoder, (), errors, errors / 500, errors / 2000, 1.0)


@pytest.mark.parametrize(("weight", "bonus"), [(0.6, 1.5), (0.3, -0.2), (1.4, 4.5)])
def test_the_grids_lead_to_the_lowest_place(
    dev: DevSet, decoder: Decoder, weight: float, bonus: float
) -> None:
    evaluator = Valley(dev, TABLE)
    evaluator.lowest = FusionConfig(weight, bonus, unknown_log_penalty=-8.0)
    found = tune(evaluator, decoder)
    search, config = settings(found)
    assert config.lm_weight == pytest.approx(weight, abs=0.11)
    assert config.word_bonus == pytest.approx(bonus, abs=0.26)
    assert config.unknown_log_penalty == -8.0
    assert config.empty_word_log_penalty == -10.0
    assert (search.token_log_threshold, search.beam_log_threshold) == (-6.0, 12.0)
    assert search.beam_size == 64  # two steps wider than the 16 that would do
    assert not found.edges


def test_recombination_is_taken_where_it_makes_fewer_errors(dev: DevSet, decoder: Decoder) -> None:
    for merges, taken in ((0, False), (20, True)):
        evaluator = Valley(dev, TABLE)
        evaluator.merges = merges
        search, _ = settings(tune(evaluator, decoder))
        assert search.recombine == taken


def reluctant(dev: DevSet, nats: float) -> DevSet:
    """The emissions of a model that prefers the blank."""
    emissions = []
    for log_probs in dev.emissions:
        moved = log_probs.clone()
        moved[:, 0] += nats
        emissions.append(moved.log_softmax(dim=1))
    return dataclasses.replace(dev, emissions=tuple(emissions))


@pytest.mark.usefixtures("few_trials")
def test_a_model_that_leaves_out_letters_is_divided_by_its_priors(
    dev: DevSet, decoder: Decoder
) -> None:
    dev = reluctant(dev, 4.0)
    decoder = dataclasses.replace(decoder, log_priors=measure_log_priors(dev.emissions, len(TABLE)))
    search, _ = settings(tune(DevEvaluator(dev, TABLE), decoder))
    assert search.prior_weight >= 0.2


def test_edges_are_named(dev: DevSet, decoder: Decoder) -> None:
    evaluator = Valley(dev, TABLE)
    evaluator.lowest = FusionConfig(2.5, -2.5, unknown_log_penalty=-40.0)
    evaluator.pruning = SearchConfig(token_log_threshold=-20.0, beam_log_threshold=50.0)
    lm_weight, word_bonus, *others = tune(evaluator, decoder).edges
    assert lm_weight.startswith("lm_weight 2")
    assert word_bonus == "word_bonus -3"
    assert others == [
        "unknown_log_penalty -16",
        "token_log_threshold -12",
        "beam_log_threshold 20",
    ]


def test_a_word_bonus_that_was_tried_together_with_the_priors_is_no_edge(
    dev: DevSet, decoder: Decoder
) -> None:
    evaluator = Valley(dev, TABLE)
    evaluator.lowest = FusionConfig(1.0, -3.5, unknown_log_penalty=-8.0)
    priors = measure_log_priors(dev.emissions, len(TABLE))
    for log_priors, edges in ((None, ["word_bonus"]), (priors, [])):
        tuning = tune(evaluator, dataclasses.replace(decoder, log_priors=log_priors))
        _, config = settings(tuning)
        assert config.word_bonus <= -3
        assert [edge.split()[0] for edge in tuning.edges] == edges


def test_pruning_leaves_room_for_an_unknown_word(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dev set has none, so that its errors do not speak against pruning one."""
    monkeypatch.setattr(choice, "UNKNOWN_LOG_PENALTIES", (-16.0,))
    clear = dev_set_of(["A BED"], clarity=90.0)

    search, config = settings(tune(DevEvaluator(clear, TABLE), decoder))

    assert config.unknown_log_penalty == -16
    assert search.beam_log_threshold == 20


def test_prunings_of_unknown_words_are_judged_by_errors_where_there_are_enough(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def allowed(given: Decoder, texts: list[str]) -> list[bool]:
        grid = choice._allowed_prunings(DevEvaluator(dev_set_of(texts, 5.0), TABLE), given)
        assert np.array_equal(grid, np.broadcast_to(grid[0], grid.shape))
        return [bool(column) for column in grid[0]]

    monkeypatch.setattr(choice, "ENOUGH_UNKNOWN_WORDS", 2)
    assert decoder.fusion is not None
    closed = decoder.fusion.with_config(FusionConfig(closed_vocabulary=True))
    everything = [True] * len(BEAM_LOG_THRESHOLDS)
    # The price of an unknown word is 10.
    above = [threshold > 10 for threshold in BEAM_LOG_THRESHOLDS]
    assert allowed(decoder, ["A BED"]) == allowed(decoder, ["A DAD"]) == above
    assert allowed(decoder, ["DAB DAD"]) == everything
    assert allowed(dataclasses.replace(decoder, fusion=closed), ["A BED"]) == everything
    assert allowed(Decoder(), ["A BED"]) == everything
    assert allowed(Decoder(fusion=Fusion(TABLE)), ["A BED"]) == everything


def test_with_a_word_list_the_word_bonus_is_chosen(dev: DevSet, decoder: Decoder) -> None:
    evaluator = Valley(dev, TABLE)
    evaluator.lowest = FusionConfig(word_bonus=-2.5)
    fusion = Fusion(TABLE, automaton=parse_word_list("BAD\nBED", TABLE))
    search, config = settings(tune(evaluator, Decoder(fusion=fusion)))
    assert config == FusionConfig(word_bonus=-2.5)
    assert (search.token_log_threshold, search.beam_log_threshold) == (-6.0, 12.0)
