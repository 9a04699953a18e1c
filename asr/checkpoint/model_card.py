"""What a checkpoint says of itself: its model card (Markdown) and its description (plain text).

Both are rendered from the checkpoint's `config.json` and `metrics.json` alone.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Rows = list[tuple[str, str]]

_TUNED = "decoding"  # the key of the metrics that holds no figures: asr/decode/decoder.py
_RATES = {"wer", "cer", "ser"}
_INTERVALS = {f"{rate}_interval" for rate in _RATES}

_CARD = """\
# {name}

A CTC speech recogniser of {parameters} parameters, trained by the recipe `{recipe}`.
This page is rendered from `config.json` and `metrics.json`.

    asr transcribe PATH_TO_THIS_FOLDER recording.wav

## Intended use and limits

It writes down speech that resembles its training data: the same language and words, and like
voices, microphones and noise. On other speech it is wrong often and does not say so, so check
before acting on a transcript, and measure it on recordings of your own with `asr evaluate`.
It spells with the {tokens} tokens below and nothing else; it does not tell speakers apart.
{notes}
"""


def sections(config: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, Rows]:
    """Titles, each with its (name, value) rows."""
    training: Rows = [("recipe", config["recipe"]), ("seed", str(config["seed"]))]
    weights = config["weights"]
    tokens = " ".join(repr(token) for token in config["tokens"])
    tuned = metrics.get(_TUNED)
    decoding = {"Decoding": _results(tuned)} if isinstance(tuned, Mapping) else {}
    results = {name: value for name, value in metrics.items() if name != _TUNED or not decoding}
    return {
        "Results": _results(results),
        **decoding,
        "Encoder": [
            ("parameters", f"{weights['parameters']:,}"),
            ("stored as", weights["dtype"]),
            *_flat(config["encoder"]),
        ],
        "Features": _flat(config["features"]),
        "Tokens": [("count", f"{len(config['tokens'])} and the blank"), ("tokens", tokens)],
        "Training": training + _flat(config["training"]),
        "Made with": [
            ("source", config["commit"] or "not from a git checkout"),
            *_flat(config["packages"]),
        ],
        "Files": [
            (name, f"{entry['bytes']:,} bytes, SHA-256 {entry['sha256']}")
            for name, entry in config["files"].items()
        ],
    }


def render_card(name: str, config: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """The Markdown model card of the checkpoint called `name`."""
    licence = config["training"].get("licence", config["training"].get("license"))
    notes = [f"\n{config['notes']}\n"] if config["notes"] else []
    if licence is not None:
        notes.append(f"\nLicence of the training data: {_value(licence)}\n")
    head = _CARD.format(
        name=name,
        parameters=f"{config['weights']['parameters']:,}",
        recipe=config["recipe"],
        tokens=len(config["tokens"]),
        notes="".join(notes),
    )
    tables = [
        f"## {title}\n\n{_table(rows)}" for title, rows in sections(config, metrics).items() if rows
    ]
    return head.rstrip("\n") + "\n\n" + "\n".join(tables)


def render_text(name: str, config: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """The same facts in plain text, for a terminal."""
    lines = [name]
    if config["notes"]:
        lines.append(config["notes"])
    for title, rows in sections(config, metrics).items():
        width = max((len(key) for key, _ in rows), default=0)
        lines += ["", title, *(f"  {key:<{width}}  {value}" for key, value in rows)]
    text = "\n".join(lines) + "\n"
    # A checkpoint from elsewhere must not send control codes to the terminal.
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)


def _table(rows: Rows) -> str:
    lines = ["| | |", "|---|---|"]
    lines += [f"| {_cell(key)} | {_cell(value)} |" for key, value in rows]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Text that cannot break out of its cell of a Markdown table."""
    return " ".join(text.replace("\\", "\\\\").replace("|", "\\|").split())


def _flat(values: Mapping[str, Any]) -> Rows:
    return [(key, _value(value)) for key, value in _flat_values(values)]


def _flat_values(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested settings, with dotted names."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat_values(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_value(item) for item in value)
    return " ".join(str(value).split())


def _results(results: Mapping[str, Any]) -> Rows:
    return [(name, _result(result)) for name, result in results.items()]


def _result(result: Any) -> str:
    """A set of metrics in one line; error rates, kept as fractions, are shown in per cent."""
    if not isinstance(result, Mapping):
        return _value(result)
    parts = []
    for key, value in _flat_values(result):
        if key in _RATES and _is_rate(value):
            parts.append(f"{key.upper()} {_percent(value)} %")
        elif key in _INTERVALS and _is_pair(value):
            parts.append(f"95 % interval {_percent(value[0])} to {_percent(value[1])}")
        elif key != "command":
            parts.append(f"{key} {_value(value)}")
    command = f"; command: `{_value(result['command'])}`" if "command" in result else ""
    return ", ".join(parts) + command


def _is_rate(value: Any) -> bool:
    return isinstance(value, (int, float)) and 0 <= value < 1000


def _is_pair(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(map(_is_rate, value))


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f}"
