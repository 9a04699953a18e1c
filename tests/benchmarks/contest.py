"""Decoders side by side: tuned on one set of emissions, timed in turns on another."""

import math
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from asr.errors import ConfigError
from tests.benchmarks.peers import Configure, Contender, Settings
from tests.benchmarks.speech import Speech

TUNED_AT_BEAM = 50
_SWEEPS = 4


@dataclass(frozen=True)
class Entrant:
    """A contender that could be built, with the settings that it does best with."""

    contender: Contender
    configure: Configure
    settings: Settings
    beam: int | None = None
    """The one beam that it runs at, where its own tuning chose that."""


@dataclass(frozen=True)
class Result:
    """What a decoder needs and errs at one beam."""

    name: str
    beam: int
    settings: Mapping[str, float]
    milliseconds: float
    """CPU time of one thread for each second of audio, median of the runs."""
    fastest: float
    slowest: float
    runs: int
    word_error_rate: float
    character_error_rate: float
    ours: bool
    own_beam: bool = False
    """Whether the beam was chosen by the decoder's own tuning."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def enter(
    contenders: Sequence[Contender], tuning: Speech, arpa: Path | None, say: Callable[[str], None]
) -> list[Entrant]:
    """Build and tune what is installed; `say` hears what is not and what was chosen."""
    entrants = []
    for contender in contenders:
        try:
            configure = contender.build(tuning.table, arpa)
        except ImportError as error:
            say(f"{contender.name}: not here ({error}); {contender.install}")
            continue
        if contender.choose and arpa:
            configure, settings = contender.choose(tuning, arpa)
            beam = int(settings["beam_size"])
        else:
            settings, beam = tune(contender, configure, tuning), None
        if settings:
            say(f"{contender.name}: " + ", ".join(f"{k} {v:.4g}" for k, v in settings.items()))
        entrants.append(Entrant(contender, configure, settings, beam))
    return entrants


def tune(contender: Contender, configure: Configure, tuning: Speech) -> Settings:
    """The settings of fewest word errors, by trying one step either way in each in turn.

    The steps halve from sweep to sweep. Settings that a decoder refuses are left alone.
    """
    inputs = [contender.native(emissions, tuning.table) for emissions in tuning.emissions]

    def cost(settings: Settings) -> float:
        try:
            decode = configure(TUNED_AT_BEAM, settings)
            return tuning.word_error_rate([decode(emissions) for emissions in inputs])
        except ConfigError:
            return math.inf

    best = {name: start for name, (start, _) in contender.tuned.items()}
    least = cost(best) if best else 0.0
    for sweep in range(_SWEEPS):
        for name, (_, first_step) in contender.tuned.items():
            for direction in (1, -1):
                moved = True
                while moved:
                    step = direction * first_step / 2**sweep
                    candidate = {**best, name: best[name] + step}
                    errors = cost(candidate)
                    moved = errors < least
                    if moved:
                        best, least = candidate, errors
    return best


def hold(
    entrants: Sequence[Entrant],
    test: Speech,
    beams: Sequence[int],
    runs: int,
    patience_seconds: float,
    say: Callable[[str], None],
) -> list[Result]:
    """Decode `test` by every entrant at every beam, `runs` times in turns.

    So that a busy moment of the machine meets all of them, the runs are the outer loop; a decoder
    whose runs at a beam have taken longer than `patience_seconds` gets no more of them. CPU time
    is counted, and each decoder warms up on one utterance that is not.
    """
    costs: defaultdict[tuple[int, int], list[float]] = defaultdict(list)
    texts: dict[tuple[int, int], list[str]] = {}
    for run in range(runs):
        for number, entrant in enumerate(entrants):
            native = entrant.contender.native
            inputs = [native(emissions, test.table) for emissions in test.emissions]
            for beam in [entrant.beam] if entrant.beam else beams:
                cost = costs[number, beam]
                if sum(cost) > patience_seconds:
                    continue
                decode = entrant.configure(beam, entrant.settings)
                decode(inputs[0])
                began = time.process_time()
                found = [decode(emissions) for emissions in inputs]
                cost.append(time.process_time() - began)
                assert texts.setdefault((number, beam), found) == found
        say(f"run {run + 1} of {runs} done")
    return [
        Result(
            name=entrants[number].contender.name,
            beam=beam,
            settings=entrants[number].settings,
            milliseconds=1e3 * statistics.median(cost) / test.seconds,
            fastest=1e3 * min(cost) / test.seconds,
            slowest=1e3 * max(cost) / test.seconds,
            runs=len(cost),
            word_error_rate=test.word_error_rate(texts[number, beam]),
            character_error_rate=test.character_error_rate(texts[number, beam]),
            ours=entrants[number].contender.ours,
            own_beam=entrants[number].beam is not None,
        )
        for (number, beam), cost in costs.items()
    ]
