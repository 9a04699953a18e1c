"""The search with language knowledge against enumeration and against its plain twin."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asr.config import from_dict, to_dict
from asr.decode.beam import LARGEST_BEAM, SearchConfig, beam_search, search, search_batch
from asr.decode.fusion import Fusion, FusionConfig
from asr.decode.hypothesis import Hypothesis
from asr.decode.priors import divided_by_priors, measure_log_priors
from asr.errors import ConfigError, TextError
from asr.text.tokens import TokenTable
from tests.oracles import Emissions, random_emissions
from tests.oracles_automata import word_list
from tests.oracles_search import (
    Sources,
    best_hypotheses,
    emissions_over,
    guided_beam,
    sources,
    tiny_model,
)

UNBOUNDED = LARGEST_BEAM
LETTERS = TokenTable(tuple(" ab"))
TEXT = [["a", "b"], ["ab", "a"], ["b", "ab", "ab"], ["a"]]


def scores_of(hypotheses: list[Hypothesis]) -> dict[tuple[int, ...], float]:
    return {hypothesis.tokens: hypothesis.log_score for hypothesis in hypotheses}


def best_of_each_text(scores: dict[tuple[int, ...], float], table: TokenTable) -> dict[str, float]:
    best: dict[str, float] = {}
    for tokens, score in scores.items():
        text = table.decode(tokens)
        best[text] = max(score, best.get(text, -math.inf))
    return best


# Exactness


@settings(deadline=None)
@given(sources(), st.lists(st.integers(1, 3), max_size=6))
def test_a_given_transcript_scores_as_the_formula_says(world: Sources, letters: list[int]) -> None:
    tokens = tuple(min(letter, len(world.table) - 1) for letter in letters)
    assert world.fusion().score(tokens) == pytest.approx(world.score(tokens), abs=1e-9)


@settings(deadline=None)
@given(sources(), st.integers(0, 10**6), st.integers(0, 5), st.sampled_from([0.5, 2.0, 6.0]))
def test_unbounded_search_equals_enumeration(
    world: Sources, seed: int, frames: int, peakiness: float
) -> None:
    log_probs = emissions_over(seed, frames, world.table, peakiness)
    expected = best_hypotheses(log_probs, world)
    config = SearchConfig(UNBOUNDED, nbest=UNBOUNDED)
    found = search(torch.from_numpy(log_probs), config, world.fusion())
    texts = {world.table.decode(h.tokens): h.log_score for h in found}
    assert len(texts) == len(found)
    assert texts == pytest.approx(best_of_each_text(expected, world.table), abs=1e-9)
    for hypothesis in found:
        assert expected[hypothesis.tokens] == pytest.approx(hypothesis.log_score, abs=1e-9)
        assert world.score(hypothesis.tokens) == pytest.approx(hypothesis.log_language, abs=1e-9)
    scores = [h.log_score for h in found]
    assert scores == sorted(scores, reverse=True)


@settings(deadline=None)
@given(
    sources(),
    st.integers(0, 10**6),
    st.integers(1, 12),
    st.sampled_from([1, 2, 5, 12]),
    st.sampled_from([math.inf, 3.0]),
    st.booleans(),
)
def test_bounded_search_equals_its_plain_twin(
    world: Sources, seed: int, frames: int, beam_size: int, threshold: float, recombine: bool
) -> None:
    log_probs = random_emissions(seed, frames, len(world.table), peakiness=3)
    twin = guided_beam(log_probs, world, beam_size, threshold, recombine)
    twin = twin or guided_beam(log_probs, world, beam_size, math.inf, recombine)
    config = SearchConfig(
        beam_size,
        nbest=beam_size,
        beam_log_threshold=None if threshold == math.inf else threshold,
        recombine=recombine,
    )
    found = search(torch.from_numpy(log_probs), config, world.fusion())
    texts = {world.table.decode(h.tokens): h.log_score for h in found}
    assert texts == pytest.approx(best_of_each_text(twin, world.table), abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_zero_weights_equal_no_knowledge(seed: int) -> None:
    log_probs = torch.from_numpy(random_emissions(seed, 20, 4, peakiness=3))
    silent = FusionConfig(
        lm_weight=0, unknown_log_penalty=0, empty_word_log_penalty=0, character_weight=0
    )
    world = Sources(
        LETTERS,
        silent,
        word_model=tiny_model(TEXT, 3),
        character_model=tiny_model([["a", "b", "<space>"]], 2),
        hotwords={"a": 0.0},
    )
    [plain] = search(log_probs, SearchConfig(16))
    [guided] = search(log_probs, SearchConfig(16), world.fusion())
    assert guided.tokens == plain.tokens
    assert guided.log_score == pytest.approx(plain.log_score, abs=1e-12)
    assert guided.log_language == 0.0


def test_a_grammar_can_force_what_is_next_to_impossible() -> None:
    # Each frame all but rules out what the grammar asks for; e^-2400 is no float64.
    table = TokenTable(tuple("ab"))
    log_probs = torch.tensor([[-800.0, -800.0, 0.0]] * 3, dtype=torch.float64)
    fusion = Fusion(table, automaton=word_list(["aa"], table))
    for threshold in (None, 5.0):  # the latter leaves only the blanks, which are no sentence
        config = SearchConfig(8, nbest=8, beam_log_threshold=threshold)
        [best] = [h for h in search(log_probs, config, fusion) if h.tokens]
        assert best.tokens == (1, 1)
        assert best.log_score == pytest.approx(-2400)


@pytest.mark.parametrize("weight", [0.3, 1.0, 50.0])
def test_emissions_are_divided_by_the_priors(weight: float) -> None:
    log_probs = random_emissions(1, 12, 4, peakiness=3)
    log_priors = (-0.5, -1.5, -2.5, -4.0)
    divided = torch.from_numpy(divided_by_priors(log_probs, log_priors, weight))
    world = Sources(LETTERS, word_model=tiny_model(TEXT, 2))
    for fusion in (None, world.fusion()):
        config = SearchConfig(8, nbest=4, token_log_threshold=-4, beam_log_threshold=9)
        expected = search(divided, config, fusion)
        config = replace(config, prior_weight=weight)
        assert search(torch.from_numpy(log_probs), config, fusion, log_priors) == expected
    with pytest.raises(ConfigError, match="prior_weight: expected the priors of 4 tokens, found n"):
        search(torch.from_numpy(log_probs), config)


def test_the_priors_of_a_reluctant_model_bring_letters_back() -> None:
    log_probs = random_emissions(2, 60, 4, peakiness=2)
    log_probs[:, 0] += 2.0  # a model that is reluctant to write
    emissions = torch.from_numpy(log_probs).log_softmax(dim=1)
    log_priors = measure_log_priors([emissions], 4)
    lengths = [
        len(search(emissions, SearchConfig(50, prior_weight=weight), None, log_priors)[0].tokens)
        for weight in (0.0, 1.0, 2.0)
    ]
    assert lengths == sorted(set(lengths))


@pytest.mark.parametrize("weight", [-0.1, math.inf, math.nan])
def test_a_weight_of_the_priors_out_of_range_is_refused(weight: float) -> None:
    with pytest.raises(ConfigError, match="prior_weight: expected a finite number, 0 or more"):
        SearchConfig(prior_weight=weight)


def test_enumeration_over_a_word_model_by_hand() -> None:
    model = tiny_model(TEXT, 2)
    log_probs = torch.tensor([[0.0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]).log()
    fusion = Fusion(LETTERS, FusionConfig(lm_weight=0.7, word_bonus=0.25), word_model=model)
    [only] = search(log_probs, SearchConfig(8, nbest=8), fusion)
    assert LETTERS.decode(only.tokens) == "a b"
    assert only.log_score == pytest.approx(0.7 * model.log_prob("a b") + 0.5)
    assert only.log_acoustic == pytest.approx(0.0, abs=1e-12)


# Spaces and words


@pytest.mark.parametrize(
    ("text", "empty"), [(" a b", 1), ("a b ", 1), ("a  b", 1), ("  a  b  ", 5), (" ", 2)]
)
def test_spaces_around_words_are_empty_words(text: str, empty: int) -> None:
    price = FusionConfig(empty_word_log_penalty=-3.0)
    world = Sources(LETTERS, price, word_model=tiny_model(TEXT, 2), hotwords={"a b": 2.0})
    tokens = tuple(LETTERS.encode(text))
    certain = np.full((2 * len(tokens), 4), -np.inf)
    certain[np.arange(2 * len(tokens)), [t for token in tokens for t in (token, 0)]] = 0.0
    [only] = search(torch.from_numpy(certain), SearchConfig(4), world.fusion())
    assert only.tokens == tokens
    words = tuple(LETTERS.encode(" ".join(text.split())))
    assert only.log_score == pytest.approx(world.score(words) - 3.0 * empty)


def test_an_unknown_word_has_its_price_or_is_impossible() -> None:
    model = tiny_model(TEXT, 2)
    certain = torch.tensor([[0.0, 0, 0, 1], [0, 0, 1, 0]]).log()  # "ba"
    open_ = FusionConfig(lm_weight=0.5, unknown_log_penalty=-4)
    [found] = search(certain, SearchConfig(4), Fusion(LETTERS, open_, word_model=model))
    assert LETTERS.decode(found.tokens) == "ba"
    assert found.log_score == pytest.approx(0.5 * model.log_prob("ba") - 4)
    closed = replace(open_, closed_vocabulary=True)
    assert search(certain, SearchConfig(4), Fusion(LETTERS, closed, word_model=model)) == []


def test_nbest_has_distinct_texts() -> None:
    log_probs = torch.from_numpy(random_emissions(2, 8, 4, peakiness=1))
    config = SearchConfig(200, nbest=20)
    plain, guided = search(log_probs, config), search(log_probs, config, Fusion(LETTERS))
    assert len({LETTERS.decode(h.tokens) for h in plain}) < 20
    assert len({LETTERS.decode(h.tokens) for h in guided}) == 20
    assert guided[0] == plain[0]


def test_an_automaton_and_closed_vocabulary_keep_their_word() -> None:
    model = tiny_model(TEXT, 3)
    automaton = word_list(["ab", "b"], LETTERS)
    fusion = Fusion(
        LETTERS, FusionConfig(closed_vocabulary=True), word_model=model, automaton=automaton
    )
    for seed in range(20):
        log_probs = torch.from_numpy(random_emissions(seed, 30, 4, peakiness=2))
        for hypothesis in search(log_probs, SearchConfig(50, nbest=10), fusion):
            assert set(LETTERS.decode(hypothesis.tokens).split()) <= {"ab", "b"}


# Batches


def test_batches_do_not_depend_on_threads_or_order() -> None:
    world = Sources(LETTERS, word_model=tiny_model(TEXT, 3), hotwords={"ab a": 3.0})
    fusion, config = world.fusion(), SearchConfig(8, nbest=4)
    batch = [torch.from_numpy(random_emissions(s, 5 * s, 4, peakiness=2)) for s in range(12)]
    alone = [search(log_probs, config, fusion) for log_probs in batch]
    assert search_batch(batch, config, fusion, threads=1) == alone
    assert search_batch(batch, config, fusion, threads=3) == alone
    assert search_batch(batch[::-1], config, fusion, threads=2) == alone[::-1]
    assert search_batch([], config) == []
    with pytest.raises(ConfigError, match="threads: expected at least 1, found 0"):
        search_batch(batch, config, threads=0)


def test_searching_again_gives_the_same_bytes() -> None:
    ties = torch.full((9, 4), 0.25, dtype=torch.float64).log()
    fusion = Sources(LETTERS, word_model=tiny_model(TEXT, 2)).fusion()
    assert len({repr(search(ties, SearchConfig(5, nbest=5), fusion)) for _ in range(3)}) == 1


# Inputs


def test_emissions_over_other_tokens_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"expected 4 tokens, .* found 3"):
        search(torch.zeros(2, 3).log_softmax(1), SearchConfig(4), Fusion(LETTERS))


def test_without_frames_only_the_empty_text_remains() -> None:
    world = Sources(LETTERS, word_model=tiny_model(TEXT, 2))
    [found] = search(torch.zeros(0, 4), SearchConfig(4, nbest=4), world.fusion())
    assert found == Hypothesis((), world.score(()), log_language=world.score(()))


def test_a_model_without_unknown_word_wants_a_closed_vocabulary() -> None:
    model = replace(tiny_model(TEXT, 2), words=("zzz", "<s>", "</s>", "a", "ab", "b"))
    assert model.unknown_word == -1
    with pytest.raises(ConfigError, match=r"has no <unk>.*closed_vocabulary"):
        Fusion(LETTERS, word_model=model)
    assert Fusion(LETTERS, FusionConfig(closed_vocabulary=True), word_model=model)


def test_an_automaton_over_other_tokens_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected tokens below 3, found 3"):
        Fusion(TokenTable(tuple("ab")), automaton=word_list(["abc"], TokenTable(tuple("abc"))))


def test_a_model_of_words_is_no_character_model() -> None:
    with pytest.raises(ConfigError, match="is it a model of words"):
        Fusion(LETTERS, character_model=tiny_model([["hello", "world"]], 2))


@pytest.mark.parametrize("kind", ["word_model", "character_model"])
def test_language_models_may_be_in_another_case(kind: str) -> None:
    text = TEXT if kind == "word_model" else [["a", "<space>", "b"], ["a", "b"]]
    upper = [[word if word == "<space>" else word.upper() for word in line] for line in text]
    models = [tiny_model(lines, 2) for lines in (text, upper)]
    if kind == "word_model":
        fusions = [Fusion(LETTERS, word_model=model) for model in models]
    else:
        fusions = [Fusion(LETTERS, character_model=model) for model in models]
    scores = [
        [fusion.score(tokens) for fusion in fusions]
        for tokens in ([2], [2, 3], [2, 1, 3], [3, 3, 1, 2])
    ]
    assert all(own == pytest.approx(other) for own, other in scores)
    assert len({own for own, _ in scores}) == len(scores)


def test_a_hot_word_outside_the_alphabet_is_named() -> None:
    with pytest.raises(TextError, match=r"hot word 'naïve'.*found 'e', 'n', 'v', 'ï'"):
        Fusion(TokenTable(tuple(" a")), hotwords={"naïve": 1.0})


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("lm_weight", -0.1),
        ("lm_weight", math.inf),
        ("character_weight", math.nan),
        ("word_bonus", math.inf),
        ("unknown_log_penalty", 1.0),
        ("unknown_log_penalty", -math.inf),
        ("lm_weight", 2e6),
        ("word_bonus", -2e6),
        ("unknown_log_penalty", -2e6),
    ],
)
def test_a_weight_out_of_range_is_refused(setting: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"{setting}: expected .* found {value}"):
        from_dict(FusionConfig, {setting: value})


@pytest.mark.parametrize("size", [LARGEST_BEAM + 1, 2**70])
def test_a_beam_beyond_all_memory_is_refused(size: int) -> None:
    with pytest.raises(ConfigError, match=f"beam_size: expected at most 100000, found {size}"):
        SearchConfig(size)


def test_a_search_that_outgrows_memory_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def kernel(*_: object) -> None:
        raise MemoryError("Allocation failed (probably too large).")

    monkeypatch.setattr("asr.decode.beam.search_kernel_alone", kernel)
    with pytest.raises(ConfigError, match=r"search of 7 frames .* a beam of 9 prefixes; take a sm"):
        beam_search(torch.zeros(7, 2).log_softmax(1), 9)


def test_more_tokens_a_frame_than_there_are_is_all_of_them() -> None:
    log_probs = torch.from_numpy(random_emissions(1, 6, 4))
    everything = search(log_probs, SearchConfig(8, nbest=8))
    assert search(log_probs, SearchConfig(8, nbest=8, tokens_per_frame=2**70)) == everything


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan])
def test_a_beam_threshold_out_of_range_is_refused(value: float) -> None:
    with pytest.raises(ConfigError, match=rf"beam_log_threshold: expected .* found {value}"):
        SearchConfig(beam_log_threshold=value)


def test_configurations_survive_json() -> None:
    for config in (SearchConfig.fast(beam_size=9), FusionConfig(lm_weight=0.3)):
        assert from_dict(type(config), to_dict(config)) == config


def test_recombination_frees_the_beam_for_what_differs() -> None:
    world = Sources(LETTERS, FusionConfig(lm_weight=0.8), word_model=tiny_model(TEXT, 2))
    fusion, better, worse = world.fusion(), 0, 0
    for seed in range(40):
        log_probs = torch.from_numpy(random_emissions(seed, 60, 4, peakiness=2))
        [kept] = search(log_probs, SearchConfig(4), fusion)
        [recombined] = search(log_probs, SearchConfig(4, recombine=True), fusion)
        better += recombined.log_score > kept.log_score + 1e-9
        worse += recombined.log_score < kept.log_score - 1e-9
    assert better > 2 * worse


def test_pruned_emissions_and_beam_agree_with_the_twin() -> None:
    world = Sources(LETTERS, word_model=tiny_model(TEXT, 3), hotwords={"ab": 1.5})
    for seed in range(10):
        log_probs: Emissions = random_emissions(seed, 25, 4, peakiness=4)
        cut = np.where(log_probs < -3, -np.inf, log_probs)
        config = SearchConfig(6, nbest=6, token_log_threshold=-3, beam_log_threshold=6)
        found = search(torch.from_numpy(log_probs), config, world.fusion())
        twin = best_of_each_text(guided_beam(cut, world, 6, 6), LETTERS)
        texts = {LETTERS.decode(h.tokens): h.log_score for h in found}
        assert texts == pytest.approx(twin, abs=1e-9)
