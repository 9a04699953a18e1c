"""What a checkpoint says of itself: its model card (Markdown) and its description (plain text).

Both are rendered from the checkpoint's `config.json` and `metrics.json` alone. The card begins with
what model hubs read (`front_matter`), then answers in the order in which people ask: what is it
for, how good is it, how is it used, where does it fail, what was it made from.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from asr.checkpoint.figures import RATES, Figures, figures_of, percent
from asr.checkpoint.front_matter import language_of, licence_of, render_front_matter
from asr.config import flatten
from asr.decode.decoder import TUNED
from asr.decode.priors import LOG_PRIORS
from asr.language.confusable import LETTER_COSTS
from asr.printing import printable

Rows = list[tuple[str, str]]

COMMANDS, HISTORY = "commands", "history"
"""Keys of the training settings: the commands that make the checkpoint, and remarks on them."""

_USE = """\
On the command line:

    asr transcribe {reference} recording.wav

In Python:

    import asr

    recognizer = asr.load("{reference}")
    print(recognizer.transcribe("recording.wav").text)
"""

_WITH_LM = """
It decodes with its own language model, `{lm}` in this folder, and with the settings that were
tuned for it. `--lm none`, in Python `lm="none"`, decodes without it.
"""

_LIMITS = """\
It transcribes speech that resembles its training data: the same language and words, and similar
voices, microphones and noise. On other speech it is often wrong and does not say so. Check before
acting on a transcript, and measure the error rate on recordings of your own with `asr evaluate`.
It writes the {tokens} tokens listed below and nothing else, and it does not tell speakers apart.
"""


def sections(config: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, Rows]:
    """Titles, each with its (name, value) rows; how the checkpoint was made is left out."""
    training: Rows = [("recipe", config["recipe"]), ("seed", str(config["seed"]))]
    weights = config["weights"]
    tokens = " ".join(repr(token) for token in config["tokens"])
    tuned = metrics.get(TUNED)
    decoding = {"Decoding": _results(tuned)} if isinstance(tuned, Mapping) else {}
    told = {LETTER_COSTS, LOG_PRIORS, *([TUNED] if decoding else [])}
    results = {name: value for name, value in metrics.items() if name not in told}
    prose = (COMMANDS, HISTORY)
    settings = {key: value for key, value in config["training"].items() if key not in prose}
    return {
        "Results": _results(results),
        **decoding,
        "Encoder": [
            ("parameters", f"{weights['parameters']:,}"),
            ("stored as", weights["dtype"]),
            *_flat(config["encoder"]),
        ],
        "Features": _flat(config["features"]),
        "Tokens": [
            ("count", f"{len(config['tokens'])} and the blank"),
            *([("units", config["units"])] if "units" in config else []),
            ("tokens", tokens),
        ],
        "Training": training + _flat(settings),
        "Made with": [
            ("source", config["commit"] or "not from a git checkout"),
            *_flat(config["packages"]),
        ],
        "Files": [
            (name, f"{entry['bytes']:,} bytes, SHA-256 {entry['sha256']}")
            for name, entry in config["files"].items()
        ],
    }


def render_card(
    name: str,
    config: Mapping[str, Any],
    metrics: Mapping[str, Any],
    *,
    reference: str,
    lm: str | None = None,
) -> str:
    """The Markdown model card of the checkpoint called `name`.

    `reference` is what loads it, a path or the name of a shipped checkpoint. `lm` is the file name
    of its own language model, if it has one that it was tuned with.
    """
    tests = [figures for key, value in metrics.items() if (figures := figures_of(key, value))]
    told = {figures.name for figures in tests}
    rest = {key: value for key, value in metrics.items() if key not in told}
    use = _USE.format(reference=reference) + (_WITH_LM.format(lm=lm) if lm else "")
    parts = {
        "What it is for": _purpose(config),
        "How well it does": _test_table(tests) if tests else "It has not been measured.\n",
        "How to use it": use,
        "Limits": _LIMITS.format(tokens=len(config["tokens"])),
        "Training data and licence": _data(config),
        "How it was made": _history(config),
        **{title: _table(rows) for title, rows in sections(config, rest).items() if rows},
    }
    text = "\n".join(f"## {title}\n\n{part}" for title, part in parts.items() if part)
    return printable(f"{render_front_matter(name, config, metrics)}\n# {_line(name)}\n\n{text}")


def render_text(name: str, config: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """The same facts in plain text, for a terminal."""
    lines = [name]
    if config["notes"]:
        lines.append(config["notes"])
    for title, rows in sections(config, metrics).items():
        width = max((len(key) for key, _ in rows), default=0)
        lines += ["", title, *(f"  {key:<{width}}  {value}" for key, value in rows)]
    history = _history(config)
    if history:
        lines += ["", "How it was made", history.rstrip()]
    return printable("\n".join(lines) + "\n")


def _purpose(config: Mapping[str, Any]) -> str:
    language = language_of(config)
    spoken = f" for the language `{_line(_value(language))}`" if language else ""
    head = (
        f"A CTC speech recogniser of {config['weights']['parameters']:,} parameters{spoken}, "
        f"trained by the recipe `{_line(config['recipe'])}`."
    )
    notes = config["notes"].strip()
    return f"{head}\n\n{notes}\n" if notes else f"{head}\n"


def _data(config: Mapping[str, Any]) -> str:
    """What it learnt from, and on what terms."""
    data = config["training"].get("data")
    description = data.get("description") if isinstance(data, Mapping) else data
    licence = licence_of(config)
    lines = []
    if description:
        lines.append(f"Trained on: {_line(_value(description))}\n")
    if licence is not None:
        lines.append(f"Licence of the training data: {_line(_value(licence))}\n")
    return "\n".join(lines)


def _history(config: Mapping[str, Any]) -> str:
    """How to make it from the raw data."""
    history = config["training"].get(HISTORY)
    text = f"{_line(history)}\n" if isinstance(history, str) else ""
    lines = _command_lines(config)
    if lines:
        code = "\n".join(f"    {line}" for line in lines)
        text += f"\nFrom the raw data, by these commands in a checkout of the source:\n\n{code}\n"
    return text.lstrip()


def _command_lines(config: Mapping[str, Any]) -> list[str]:
    commands = config["training"].get(COMMANDS)
    if not isinstance(commands, (list, tuple)):
        return []
    return [line for command in commands for line in str(command).splitlines()]


def _test_table(tests: Sequence[Figures]) -> str:
    """One line for each set of figures, with the rates that any of them has as columns."""
    rates = [rate for rate in RATES if any(rate in figures.rates for figures in tests)]
    has_rest = any(figures.rest for figures in tests)
    titles = ["", *(f"{rate.upper()} %, 95 % interval" for rate in rates), "command"]
    if has_rest:
        titles.append("further")
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for figures in tests:
        cells = [figures.name, *(_rate(figures, rate) for rate in rates)]
        cells.append(f"`{_value(figures.command)}`" if figures.command else "")
        if has_rest:
            cells.append(", ".join(f"{key} {value}" for key, value in _flat(figures.rest)))
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    return "\n".join(lines) + "\n"


def _rate(figures: Figures, rate: str) -> str:
    if rate not in figures.rates:
        return ""
    text = f"**{percent(figures.rates[rate])}**"
    if rate in figures.intervals:
        low, high = map(percent, figures.intervals[rate])
        text += f", {low} to {high}"
    return text


def _table(rows: Rows) -> str:
    lines = ["| | |", "|---|---|"]
    lines += [f"| {_cell(key)} | {_cell(value)} |" for key, value in rows]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Text that cannot break out of its cell of a Markdown table."""
    return _line(text.replace("\\", "\\\\").replace("|", "\\|"))


def _line(text: str) -> str:
    """Text in one line."""
    return " ".join(text.split())


def _flat(values: Mapping[str, Any]) -> Rows:
    return [(key, _value(value)) for key, value in flatten(values).items()]


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_value(item) for item in value)
    return _line(str(value))


def _results(results: Mapping[str, Any]) -> Rows:
    return [(name, _result(name, result)) for name, result in results.items()]


def _result(name: str, result: Any) -> str:
    """A set of metrics in one line; error rates, kept as fractions, are shown in per cent."""
    if not isinstance(result, Mapping):
        return _value(result)
    figures = figures_of(name, result) or Figures(name, {}, rest=dict(result))
    parts = []
    for rate, value in figures.rates.items():
        parts.append(f"{rate.upper()} {percent(value)} %")
        if rate in figures.intervals:
            low, high = map(percent, figures.intervals[rate])
            parts.append(f"95 % interval {low} to {high}")
    parts += [f"{key} {value}" for key, value in _flat(figures.rest)]
    command = f"; command: `{_value(figures.command)}`" if figures.command else ""
    return ", ".join(parts) + command
