"""One face for all decoders: ours and its peers, each with the input that it takes by itself.

A `Contender` says how to build its decoder over a token table (and a language model); building it
may load files and takes as long as it takes. What comes out is a function of beam size and settings
that gives a function of one utterance's emissions, and only that last call is timed. Peers are
imported when they are built: one that is not installed raises ImportError.
"""

import contextlib
import importlib
import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asr.decode.beam import SearchConfig, search
from asr.decode.decoder import Decoder
from asr.decode.fusion import Fusion, FusionConfig
from asr.language.ngram.model import read_arpa
from asr.text.tokens import BLANK, TokenTable
from asr.tuning.choice import tune
from asr.tuning.dev_set import DevEvaluator, DevSet
from tests.benchmarks.emissions import Emissions
from tests.benchmarks.speech import Speech

Settings = Mapping[str, float]
"""The weights that are tuned, by the decoder's own names."""
Decode = Callable[[Any], str]
"""From emissions as `Contender.native` makes them to text."""
Configure = Callable[[int, Settings], Decode]


@dataclass(frozen=True)
class Contender:
    """A decoder under a set of options."""

    name: str
    build: Callable[[TokenTable, Path | None], Configure]
    native: Callable[[Emissions, TokenTable], Any] = lambda emissions, _: emissions
    tuned: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Where the search for each setting begins, and its first step."""
    install: str = ""
    ours: bool = False
    choose: Callable[[Speech, Path], tuple[Configure, Settings]] | None = None
    """A tuning procedure of the decoder's own, used in place of the benchmark's: from the tuning
    set and the language model to the decoder as tuned and its settings, "beam_size" among them."""


def _ours(**options: Any) -> Callable[[TokenTable, Path | None], Configure]:
    def build(table: TokenTable, arpa: Path | None) -> Configure:
        fusion = None if arpa is None else Fusion(table, word_model=read_arpa(arpa))

        def configure(beam: int, settings: Settings) -> Decode:
            config = SearchConfig(beam_size=beam, **options)
            weights: dict[str, Any] = dict(settings)
            weighted = fusion and fusion.with_config(FusionConfig(**weights))

            def decode(log_probs: torch.Tensor) -> str:
                best = search(log_probs, config, weighted)
                return table.decode(best[0].tokens) if best else ""

            return decode

        return configure

    return build


def _as_tuned(tuning: Speech, arpa: Path) -> tuple[Configure, Settings]:
    """With the weights, the pruning and the beam that `asr tune` chooses, by its own code."""
    emissions = tuple(map(torch.from_numpy, tuning.emissions))
    dev = DevSet(tuple(tuning.references), emissions, tuning.seconds)
    untuned = Decoder(fusion=Fusion(tuning.table, word_model=read_arpa(arpa)))
    decoder = tune(DevEvaluator(dev, tuning.table, os.cpu_count() or 1), untuned).choice.decoder
    assert decoder.fusion is not None
    chosen = {**asdict(decoder.search), **asdict(decoder.fusion.config)}

    def decode(log_probs: torch.Tensor) -> str:
        best = search(log_probs, decoder.search, decoder.fusion)
        return tuning.table.decode(best[0].tokens) if best else ""

    numbers = {name: value for name, value in chosen.items() if value is not None}
    return lambda beam, settings: decode, numbers


def _fast_ctc_decode(cut: float) -> Callable[[TokenTable, Path | None], Configure]:
    def build(table: TokenTable, arpa: Path | None) -> Configure:
        library = importlib.import_module("fast_ctc_decode")
        alphabet = "_" + "".join(table.characters)

        def configure(beam: int, settings: Settings) -> Decode:
            return lambda probabilities: " ".join(
                library.beam_search(probabilities, alphabet, beam, cut)[0].split()
            )

        return configure

    return build


def _pyctcdecode(table: TokenTable, arpa: Path | None) -> Configure:
    logging.getLogger("pyctcdecode").setLevel(logging.ERROR)
    library = importlib.import_module("pyctcdecode")
    if arpa is not None:
        importlib.import_module("kenlm")
    with _quiet():
        decoder = library.build_ctcdecoder(["", *table.characters], arpa and str(arpa))

    def configure(beam: int, settings: Settings) -> Decode:
        def decode(log_probs: Emissions) -> str:
            if arpa is not None:
                # The settings belong to the decoder, which is shared.
                decoder.reset_params(**settings)
            return " ".join(decoder.decode(log_probs, beam_width=beam).split())

        return decode

    return configure


def _parlance(
    most_tokens: int, most_probability: float
) -> Callable[[TokenTable, Path | None], Configure]:
    def build(table: TokenTable, arpa: Path | None) -> Configure:
        library = importlib.import_module("ctcdecode")

        @cache
        def decoder_of(beam: int) -> Any:
            return library.CTCBeamDecoder(
                ["_", *table.characters],
                model_path=arpa and str(arpa),
                cutoff_top_n=most_tokens,
                cutoff_prob=most_probability,
                beam_width=beam,
                num_processes=1,
                blank_id=BLANK,
                log_probs_input=True,
            )

        def configure(beam: int, settings: Settings) -> Decode:
            decoder = decoder_of(beam)

            def decode(log_probs: torch.Tensor) -> str:
                if arpa is not None:
                    decoder.reset_params(**settings)
                tokens, _, _, lengths = decoder.decode(log_probs.unsqueeze(0))
                return table.decode(tokens[0, 0, : int(lengths[0, 0])].tolist())

            return decode

        return configure

    return build


@dataclass(frozen=True)
class _Pruning:
    """Of flashlight; the defaults are those of its wrapper in torchaudio."""

    tokens_per_frame: int | None = None
    threshold: float = 50.0
    log_add: bool = False


_HARD = _Pruning(tokens_per_frame=8, threshold=15.0, log_add=True)


def _flashlight_options(beam: int, table: TokenTable, pruning: _Pruning) -> dict[str, Any]:
    library = importlib.import_module("flashlight.lib.text.decoder")
    return {
        "beam_size": beam,
        "beam_size_token": pruning.tokens_per_frame or len(table),
        "beam_threshold": pruning.threshold,
        "sil_score": 0.0,
        "log_add": pruning.log_add,
        "criterion_type": library.CriterionType.CTC,
    }


def _flashlight_free(pruning: _Pruning) -> Callable[[TokenTable, Path | None], Configure]:
    """Without lexicon and language model."""

    def build(table: TokenTable, arpa: Path | None) -> Configure:
        library = importlib.import_module("flashlight.lib.text.decoder")
        space = table.encode(" ")[0]

        def configure(beam: int, settings: Settings) -> Decode:
            options = _flashlight_options(beam, table, pruning)
            decoder = library.LexiconFreeDecoder(
                library.LexiconFreeDecoderOptions(lm_weight=0.0, **options),
                library.ZeroLM(),
                space,
                BLANK,
                [],
            )

            def decode(log_probs: Emissions) -> str:
                path = decoder.decode(log_probs.ctypes.data, *log_probs.shape)[0].tokens
                changes = [b for a, b in zip([BLANK, *path[:-1]], path, strict=True) if a != b]
                return table.decode([token for token in changes if token != BLANK])

            return decode

        return configure

    return build


def _flashlight_lexicon(pruning: _Pruning) -> Callable[[TokenTable, Path | None], Configure]:
    """Over the words of the language model; each is spelled with the space behind it."""

    def build(table: TokenTable, arpa: Path | None) -> Configure:
        assert arpa is not None
        library = importlib.import_module("flashlight.lib.text.decoder")
        dictionary = importlib.import_module("flashlight.lib.text.dictionary")
        space = table.encode(" ")[0]
        spelled = [word for word in read_arpa(arpa).words if not table.unknown(word)]
        words = dictionary.Dictionary([*spelled, "<unk>"])
        words.set_default_index(words.get_index("<unk>"))
        with _quiet():
            model = library.KenLM(str(arpa), words)
        start = model.start(False)
        trie = library.Trie(len(table), space)
        for word in spelled:
            number = words.get_index(word)
            trie.insert([*table.encode(word), space], number, model.score(start, number)[1])
        trie.smear(library.SmearingMode.MAX)

        def configure(beam: int, settings: Settings) -> Decode:
            options = _flashlight_options(beam, table, pruning)
            decoder = library.LexiconDecoder(
                library.LexiconDecoderOptions(unk_score=-math.inf, **options, **settings),
                trie,
                model,
                space,
                BLANK,
                words.get_index("<unk>"),
                [],
                False,
            )

            def decode(log_probs: Emissions) -> str:
                found = decoder.decode(log_probs.ctypes.data, *log_probs.shape)
                best = found[0].words if found else []
                return " ".join(words.get_entry(word) for word in best if word >= 0)

            return decode

        return configure

    return build


def _tensor(emissions: Emissions, _: TokenTable) -> torch.Tensor:
    return torch.from_numpy(emissions)


def _probabilities(emissions: Emissions, _: TokenTable) -> Emissions:
    return np.exp(emissions)


def _with_final_space(emissions: Emissions, table: TokenTable) -> Emissions:
    """A frame of space added: flashlight's lexicon decoder ends no word without one."""
    frame = np.full((1, len(table)), math.log(1e-6), np.float32)
    frame[0, table.encode(" ")] = 0.0
    return np.concatenate([emissions, frame])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what libraries write to stderr while they load a model off the screen."""
    kept = os.dup(2)
    with Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


_FAST, _PYCTC, _FLASHLIGHT, _PARLANCE = (
    f"pip install {package}"
    for package in (
        "fast-ctc-decode",
        "pyctcdecode --no-deps pygtrie kenlm",
        "flashlight-text",
        "git+https://github.com/parlance/ctcdecode",
    )
)
_CUT = math.log(1e-3)
_PRUNING = {"token_log_threshold": math.log(3e-4), "beam_log_threshold": 16.0}
# All begin at about the same weights: flashlight counts language scores to the base of 10.
_OUR_WEIGHTS = {
    "lm_weight": (0.8, 0.4),
    "word_bonus": (2.0, 2.0),
    "unknown_log_penalty": (-10.0, 8.0),
}
_PYCTC_WEIGHTS = {"alpha": (0.8, 0.4), "beta": (2.0, 2.0), "unk_score_offset": (-10.0, 8.0)}
_FLASHLIGHT_WEIGHTS = {"lm_weight": (1.8, 0.9), "word_score": (2.0, 2.0)}
_PARLANCE_WEIGHTS = {"alpha": (0.8, 0.4), "beta": (2.0, 2.0)}

WITHOUT_MODEL = [
    Contender("asr, cut 1e-3", _ours(token_log_threshold=_CUT), _tensor, ours=True),
    Contender("asr, cut 0", _ours(), _tensor, ours=True),
    Contender("fast-ctc-decode, cut 1e-3", _fast_ctc_decode(1e-3), _probabilities, install=_FAST),
    Contender("fast-ctc-decode, cut 0", _fast_ctc_decode(0.0), _probabilities, install=_FAST),
    Contender("pyctcdecode", _pyctcdecode, install=_PYCTC),
    Contender("parlance ctcdecode", _parlance(40, 1.0), _tensor, install=_PARLANCE),
    Contender("flashlight lexicon-free", _flashlight_free(_Pruning()), install=_FLASHLIGHT),
    Contender("flashlight lexicon-free, hard", _flashlight_free(_HARD), install=_FLASHLIGHT),
]
"""Decoders without a language model; ratios are to the first."""
WITH_WORD_MODEL = [
    Contender("asr, cut 3e-4, threshold 16", _ours(**_PRUNING), _tensor, _OUR_WEIGHTS, ours=True),
    Contender("asr, as tuned", _ours(), _tensor, ours=True, choose=_as_tuned),
    Contender("asr, cut 0", _ours(), _tensor, _OUR_WEIGHTS, ours=True),
    Contender("pyctcdecode", _pyctcdecode, tuned=_PYCTC_WEIGHTS, install=_PYCTC),
    Contender(
        "flashlight lexicon",
        _flashlight_lexicon(_Pruning()),
        _with_final_space,
        _FLASHLIGHT_WEIGHTS,
        _FLASHLIGHT,
    ),
    Contender(
        "flashlight lexicon, hard",
        _flashlight_lexicon(_HARD),
        _with_final_space,
        _FLASHLIGHT_WEIGHTS,
        _FLASHLIGHT,
    ),
    Contender(
        "parlance ctcdecode", _parlance(40, 1.0), _tensor, _PARLANCE_WEIGHTS, install=_PARLANCE
    ),
    Contender(
        "parlance ctcdecode, top 10, 0.99",
        _parlance(10, 0.99),
        _tensor,
        _PARLANCE_WEIGHTS,
        _PARLANCE,
    ),
]
"""Decoders with a 3-gram of words; ratios are to the first."""
