"""The head of a model card that model hubs read: YAML between two lines of three dashes.

The keys are those of the Hugging Face Hub's model cards; `model-index` is its form of results,
which follows Papers with Code.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from asr.checkpoint.figures import figures_of
from asr.decode.decoder import TUNED

_LICENCES = {
    "apache-2-0": "apache-2.0",
    "cc-by-4-0": "cc-by-4.0",
    "cc-by-sa-4-0": "cc-by-sa-4.0",
    "cc0": "cc0-1.0",
    "mit": "mit",
}
"""Identifiers that hubs know for licences as people write them (`_slug`); any other is `other`."""
_TASK = "automatic-speech-recognition"
_DEV = "dev"
"""The figures by which training chose its weights: no result for a hub."""


def render_front_matter(name: str, config: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """The YAML head of the card of the checkpoint called `name`, dashes included."""
    lines = _lines(
        {
            "library_name": "asr",
            "pipeline_tag": _TASK,
            "language": language_of(config),
            **_licence(licence_of(config)),
            "tags": ["speech", "ctc", *_cell(config)],
            "model-index": _model_index(name, metrics),
        }
    )
    return "\n".join(("---", *lines, "---", ""))


def language_of(config: Mapping[str, Any]) -> Any:
    """The language that a checkpoint was trained for, as its settings have it; None: not stated."""
    training = config["training"]
    data = training.get("data")
    stated = training.get("language") or (isinstance(data, Mapping) and data.get("language"))
    return stated or None


def licence_of(config: Mapping[str, Any]) -> Any:
    """The licence of a checkpoint's training data, as its settings have it; None: not stated."""
    training = config["training"]
    return training.get("licence", training.get("license")) or None


def _licence(licence: Any) -> dict[str, Any]:
    if licence is None:
        return {}
    known = _LICENCES.get(_slug(str(licence)))
    if known:
        return {"license": known}
    return {"license": "other", "license_name": " ".join(str(licence).split())}


def _cell(config: Mapping[str, Any]) -> list[str]:
    cell = config["encoder"].get("cell")
    return [cell] if isinstance(cell, str) else []


def _model_index(name: str, metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each test set's error rates in per cent."""
    results = []
    for test, record in metrics.items():
        figures = None if test in (TUNED, _DEV) else figures_of(test, record)
        if figures is None:
            continue
        results.append(
            {
                "task": {"type": _TASK},
                "dataset": {"name": test, "type": _slug(test)},
                "metrics": [
                    {
                        "type": rate,
                        "name": f"{rate.upper()} (%)",
                        "value": round(100 * value, 2),
                    }
                    for rate, value in figures.rates.items()
                ],
            }
        )
    return [{"name": name, "results": results}] if results else []


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "test"


def _lines(mapping: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """A mapping as lines of YAML; what is empty or None is left out."""
    for key, value in mapping.items():
        if value is None or value in ([], {}):
            continue
        if isinstance(value, Mapping):
            yield f"{indent}{key}:"
            yield from _lines(value, f"{indent}  ")
        elif isinstance(value, (list, tuple)):
            yield f"{indent}{key}:"
            yield from _items(value, indent)
        else:
            yield f"{indent}{key}: {_scalar(value)}"


def _items(values: Any, indent: str) -> Iterator[str]:
    """The items of a list; the first line of a mapping stands beside its dash."""
    for value in values:
        if isinstance(value, Mapping):
            first, *others = _lines(value, f"{indent}  ")
            yield f"{indent}- {first.lstrip()}"
            yield from others
        else:
            yield f"{indent}- {_scalar(value)}"


def _scalar(value: Any) -> str:
    """A number, or text in double quotes, in which no character means anything to YAML."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{value}"
    return '"' + "".join(map(_escaped, str(value))) + '"'


def _escaped(character: str) -> str:
    if character in ('"', "\\"):
        return f"\\{character}"
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
