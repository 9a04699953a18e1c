"""Decoders built from files, and settings that a checkpoint remembers."""

import dataclasses
import json
import math
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from asr.decode.align import viterbi_align
from asr.decode.beam import SearchConfig, search
from asr.decode.confidence import Calibration, mean_log_ratio
from asr.decode.decoder import (
    Decoder,
    TunedSettings,
    build_decoder,
    is_of_characters,
    tuned_settings,
    with_tuned_settings,
)
from asr.decode.fusion import FusionConfig
from asr.decode.greedy import greedy_search
from asr.decode.priors import measure_log_priors
from asr.errors import AsrError, ConfigError, TextError
from asr.files import sha256_of
from asr.language.ngram.arpa import write_arpa
from asr.language.ngram.kneser_ney import estimate
from asr.language.ngram.model import read_arpa
from asr.language.ngram.text import split_characters
from asr.text.tokens import TokenTable

TABLE = TokenTable(tuple(" ABEFINSX"))
SENTENCES = [["SIX", "NINE"], ["NINE", "FIBS"], ["SIX", "SIX", "NINE"]]
WIDE = SearchConfig(beam_size=64, nbest=8)


def emissions(spelling: str, sure: float = 0.9) -> Tensor:
    """Emissions in which each token of a text has a frame, and a blank follows it.

    `(XY)` stands for a frame in which X is a little likelier than Y.
    """
    frames = []
    position = 0
    while position < len(spelling):
        group = spelling[position]
        if group == "(":
            group = spelling[position + 1 : position + 3]
            position += 3
        row = torch.full((len(TABLE),), 1e-4)
        for rank, character in enumerate(group):
            row[TABLE.encode(character)[0]] = sure - 0.1 * rank
        blank = torch.full((len(TABLE),), 1e-4)
        blank[0] = 1.0
        frames += [row, blank]
        position += 1
    table = torch.stack(frames).double()
    return (table / table.sum(dim=1, keepdim=True)).log()


MISHEARD = emissions("S(EI)X NINE")


@pytest.fixture
def words_file(tmp_path: Path) -> Path:
    path = tmp_path / "words.arpa.gz"
    write_arpa(path, estimate(SENTENCES, 2).table)
    return path


@pytest.fixture
def characters_file(tmp_path: Path) -> Path:
    path = tmp_path / "characters.arpa"
    write_arpa(path, estimate([split_characters(words) for words in SENTENCES], 3).table)
    return path


def text_of(decoder: Decoder, log_probs: Tensor = MISHEARD) -> str:
    return TABLE.decode(decoder(log_probs)[0].tokens)


def test_without_knowledge_nothing_but_the_emissions_counts() -> None:
    greedy = build_decoder(TABLE)
    assert greedy.is_greedy
    assert greedy(MISHEARD) == [greedy_search(MISHEARD)]
    assert text_of(greedy) == "SEX NINE"
    beam = build_decoder(TABLE, WIDE)
    assert not beam.is_greedy
    assert beam(MISHEARD) == search(MISHEARD, WIDE)


def test_a_beam_of_one_with_knowledge_is_no_greedy_search(words_file: Path) -> None:
    decoder = build_decoder(TABLE, SearchConfig(beam_size=1), lm=words_file)
    assert not decoder.is_greedy
    assert decoder(MISHEARD)[0].log_language < 0


def test_division_by_priors_is_no_greedy_search() -> None:
    priors = measure_log_priors([MISHEARD], len(TABLE))
    decoder = Decoder(SearchConfig(beam_size=1, prior_weight=0.75), log_priors=priors)
    assert not decoder.is_greedy
    assert decoder(MISHEARD) == search(MISHEARD, decoder.search, log_priors=priors)
    running = decoder.start(TABLE, 0.04)
    running.feed(MISHEARD)
    assert running.finish().tokens == decoder(MISHEARD)[0].tokens


def test_more_hypotheses_on_demand() -> None:
    narrow = Decoder(SearchConfig(beam_size=4, nbest=2))
    assert len(narrow(MISHEARD)) == 2
    assert len(narrow(MISHEARD, at_least=3)) == 3
    assert len(narrow(MISHEARD, at_least=16)) == 4
    assert narrow(MISHEARD, at_least=3)[:2] == narrow(MISHEARD)
    assert len(Decoder()(MISHEARD, at_least=16)) == 1


@pytest.mark.parametrize("source", ["lm", "characters", "lexicon", "grammar", "hotwords", "bonus"])
def test_each_source_is_heard(
    tmp_path: Path, words_file: Path, characters_file: Path, source: str
) -> None:
    lexicon = tmp_path / "lexicon.txt"
    lexicon.write_text("SIX\nNINE\nFIBS\n")
    grammar = tmp_path / "grammar.jsgf"
    grammar.write_text("public <numbers> = (SIX | NINE)+;")
    decoder = {
        "lm": lambda: build_decoder(TABLE, WIDE, lm=words_file),
        "characters": lambda: build_decoder(TABLE, WIDE, lm=characters_file),
        "lexicon": lambda: build_decoder(TABLE, WIDE, lexicon=lexicon),
        "grammar": lambda: build_decoder(TABLE, WIDE, grammar=grammar),
        "hotwords": lambda: build_decoder(TABLE, WIDE, hotwords={"SIX": 3.0}),
        "bonus": lambda: build_decoder(TABLE, WIDE, FusionConfig(word_bonus=20.0)),
    }[source]()
    if source == "bonus":
        assert len(text_of(decoder).split()) > 2
    else:
        assert text_of(decoder) == "SIX NINE"
    assert decoder.is_constrained == (source in ("lexicon", "grammar"))


def test_sources_go_together(tmp_path: Path, words_file: Path) -> None:
    grammar = tmp_path / "grammar.jsgf"
    grammar.write_text("public <numbers> = NINE NINE | SIX FIBS;")
    decoder = build_decoder(TABLE, WIDE, lm=words_file, grammar=grammar, hotwords={"FIBS": 1.0})
    texts = {TABLE.decode(h.tokens) for h in decoder(MISHEARD)}
    assert texts <= {"NINE NINE", "SIX FIBS"}
    assert decoder(MISHEARD)[0].log_language != 0


def test_weight_of_a_character_model_is_that_of_any(characters_file: Path) -> None:
    def best(weight: float) -> float:
        config = FusionConfig(lm_weight=weight, word_bonus=1e-9)
        return build_decoder(TABLE, WIDE, config, lm=characters_file)(MISHEARD)[0].log_language

    model = read_arpa(characters_file)
    log_prob = model.log_prob(split_characters(["SIX", "NINE"]))
    assert best(0.5) == pytest.approx(0.5 * log_prob, abs=1e-6)
    assert best(0.9) == pytest.approx(0.9 * log_prob, abs=1e-6)


def test_kind_of_a_model(words_file: Path, characters_file: Path) -> None:
    words, characters = read_arpa(words_file), read_arpa(characters_file)
    assert is_of_characters(characters, TABLE)
    assert not is_of_characters(words, TABLE)
    without_space = TokenTable(tuple("EINSX"))
    assert not is_of_characters(words, without_space)


def test_one_word_at_most_where_there_is_no_space(tmp_path: Path) -> None:
    path = tmp_path / "characters.arpa"
    write_arpa(path, estimate([list("SIX"), list("NINE")], 2).table)
    assert is_of_characters(read_arpa(path), TokenTable(tuple("EINSX")))
    assert not is_of_characters(read_arpa(path), TABLE)


def test_wrong_files_are_one_message(tmp_path: Path, words_file: Path) -> None:
    missing = tmp_path / "gone"
    for build in (
        partial(build_decoder, lm=missing),
        partial(build_decoder, lexicon=missing),
        partial(build_decoder, grammar=missing),
    ):
        with pytest.raises(AsrError, match=r"gone: cannot read"):
            build(TABLE, WIDE)
    with pytest.raises(ConfigError, match="expected one of them"):
        build_decoder(TABLE, WIDE, lexicon=missing, grammar=missing)
    other = TokenTable(tuple(" еинсфх"))
    with pytest.raises(TextError, match=r"words\.arpa\.gz: language model: none of its 3 words"):
        build_decoder(other, WIDE, lm=words_file)
    for lm in (None, words_file):  # that of the model is another's mistake
        with pytest.raises(TextError, match=r"^hot word 'ONE'"):
            build_decoder(other, WIDE, lm=lm, hotwords={"ONE": 1.0})
    grammar = tmp_path / "grammar.jsgf"
    grammar.write_text("public <numbers> = SIX NINE;")
    with pytest.raises(AsrError, match=r"grammar\.jsgf"):
        build_decoder(TokenTable(tuple("EINSX")), WIDE, grammar=grammar)


# What a checkpoint remembers


def settings_for(lm: Path | None, **search_settings: object) -> TunedSettings:
    return TunedSettings(
        lm_sha256=sha256_of(lm) if lm else None,
        search=SearchConfig(**{"beam_size": 32, "token_log_threshold": -8.0, **search_settings}),  # type: ignore[arg-type]
        fusion=FusionConfig(lm_weight=0.75, closed_vocabulary=True),
        calibration=Calibration(0.8, 0.25),
    )


def test_settings_survive_json(words_file: Path) -> None:
    settings = settings_for(words_file)
    metrics = with_tuned_settings({"dev": {"wer": 0.1}}, words_file.name, settings)
    read = json.loads(json.dumps(metrics, allow_nan=False))
    assert read["dev"] == {"wer": 0.1}
    assert tuned_settings(read, words_file) == settings
    assert tuned_settings(read) is None


def test_a_model_is_known_by_its_content(words_file: Path, characters_file: Path) -> None:
    metrics = with_tuned_settings({}, "a", settings_for(words_file))
    moved = words_file.rename(words_file.with_name("moved.arpa.gz"))
    assert tuned_settings(metrics, moved) is not None
    assert tuned_settings(metrics, characters_file) is None
    assert tuned_settings({}, moved) is None


def test_new_settings_replace_those_of_the_same_model_and_name(
    words_file: Path, characters_file: Path
) -> None:
    metrics = with_tuned_settings({}, "none", settings_for(None))
    metrics = with_tuned_settings(metrics, "a", settings_for(words_file))
    metrics = with_tuned_settings(metrics, "b", settings_for(words_file, beam_size=8))
    assert set(metrics["decoding"]) == {"none", "b"}
    metrics = with_tuned_settings(metrics, "b", settings_for(characters_file))
    assert set(metrics["decoding"]) == {"none", "b"}
    assert tuned_settings(metrics, words_file) is None
    assert tuned_settings(metrics) == settings_for(None)


def test_settings_agree_whatever_is_returned() -> None:
    settings = settings_for(None)
    assert settings.agrees_with(dataclasses.replace(settings.search, nbest=5), settings.fusion)
    wider = dataclasses.replace(settings.search, beam_size=33)
    assert not settings.agrees_with(wider, settings.fusion)
    assert not settings.agrees_with(settings.search, FusionConfig())


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([], r"metrics: decoding: expected an object, found \[\]"),
        ({"a": 1}, r"metrics: decoding\.a: expected an object, found 1"),
        ({"a": {"beam": 1}}, r"metrics: decoding\.a: unknown key 'beam'"),
        ({"a": {"search": {"beam_size": 0}}}, "beam_size: expected at least 1"),
        ({"a": {"calibration": {"slope": math.inf}}}, "slope: expected a finite number"),
    ],
)
def test_malformed_records_are_refused(record: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tuned_settings({"decoding": record})


def test_keys_that_have_gone_are_ignored_with_a_message(
    words_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = with_tuned_settings({}, "words", settings_for(words_file))
    metrics["decoding"]["words"]["rescoring"] = None
    assert tuned_settings(metrics, words_file) == settings_for(words_file)
    assert caplog.text == ""
    metrics["decoding"]["words"]["rescoring"] = {"lm_sha256": "0", "weight": 0.1}
    assert tuned_settings(metrics, words_file) == settings_for(words_file)
    assert "decoding.words: rescoring was tuned by an earlier version" in caplog.text
    metrics["decoding"]["words"]["search"]["blank_penalty"] = 2.0
    assert tuned_settings(metrics, words_file) == settings_for(words_file)
    assert "decoding.words: rescoring, blank_penalty was tuned by an earlier" in caplog.text


def test_a_tuned_beam_beyond_what_tuning_tries_is_refused() -> None:
    metrics = {"decoding": {"x": {"search": {"beam_size": 100_000}}}}
    with pytest.raises(ConfigError, match=r"expected at most 1000, .*found 100000"):
        tuned_settings(metrics)


def test_what_is_rejected_is_compared_as_the_search_compares() -> None:
    tokens = greedy_search(MISHEARD).tokens[:-1]
    assert Decoder().log_ratio(MISHEARD, tokens) == pytest.approx(
        mean_log_ratio(MISHEARD, viterbi_align(MISHEARD, tokens))
    )
    priors = (-0.1, *[-4.0] * (len(TABLE) - 1))
    decoder = Decoder(SearchConfig(prior_weight=0.75), log_priors=priors)
    divided = (MISHEARD - 0.75 * torch.tensor(priors)).log_softmax(dim=1)
    assert decoder.log_ratio(MISHEARD, tokens) == pytest.approx(
        mean_log_ratio(divided, viterbi_align(divided, tokens))
    )
    assert decoder.log_ratio(MISHEARD, tokens) != Decoder().log_ratio(MISHEARD, tokens)
