"""The error rates that a checkpoint's `metrics.json` states."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

RATES = ("wer", "cer", "ser")
"""Keys of error rates, which are fractions; the key of an interval ends in `_interval`."""


@dataclass(frozen=True)
class Figures:
    """Error rates on one set of utterances, with one way of decoding."""

    name: str
    rates: dict[str, float]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    """95 % confidence intervals of those rates that have one."""
    command: str | None = None
    """What prints these figures."""
    rest: dict[str, Any] = field(default_factory=dict)
    """Whatever else is recorded with them."""


def figures_of(name: str, record: Any) -> Figures | None:
    """The figures in one record of the metrics; None if it holds no error rate."""
    if not isinstance(record, Mapping):
        return None
    rates = {key: record[key] for key in RATES if is_rate(record.get(key))}
    if not rates:
        return None
    intervals = {
        key: (record[f"{key}_interval"][0], record[f"{key}_interval"][1])
        for key in rates
        if is_interval(record.get(f"{key}_interval"))
    }
    used = {*rates, *(f"{key}_interval" for key in intervals), "command"}
    return Figures(
        name=name,
        rates=rates,
        intervals=intervals,
        command=str(record["command"]) if "command" in record else None,
        rest={key: value for key, value in record.items() if key not in used},
    )


def is_rate(value: Any) -> bool:
    """Whether a value can be shown as an error rate in per cent."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1000


def is_interval(value: Any) -> bool:
    """Whether a value is a lower and an upper error rate."""
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(map(is_rate, value))


def percent(fraction: float) -> str:
    """A fraction in per cent, without the sign."""
    return f"{100 * fraction:.2f}"
