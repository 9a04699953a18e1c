"""Strict conversion between frozen dataclasses and plain JSON values.

Each package defines its configuration dataclass beside the code that uses it; this module converts
them to dictionaries and back, and refuses unknown keys and invalid values by name.
"""

import dataclasses
import difflib
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from asr.errors import ConfigError
from asr.files import parse_json
from asr.printing import shown

T = TypeVar("T")

_INTEGERS = 2**63
"""Whole numbers from minus this to below it have 64 bits."""


def to_dict(config: Any) -> dict[str, Any]:
    """The JSON form of a configuration dataclass; tuples become lists."""
    return {
        field.name: _to_json(getattr(config, field.name)) for field in dataclasses.fields(config)
    }


def _to_json(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_dict(value)
    if isinstance(value, tuple):
        return [_to_json(item) for item in value]
    return value


def from_dict(kind: type[T], values: Mapping[str, Any], where: str = "config") -> T:
    """Build the dataclass `kind` from a dictionary.

    Raises ConfigError on an unknown key, a missing required key, or a value of another type.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: expected an object, found {shown(values)}")
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            raise ConfigError(f"{where}: unknown key {shown(key)}; {_suggest(key, fields)}")
    for name, field in fields.items():
        required = (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        if required and name not in values:
            raise ConfigError(f"{where}: the key {name!r} is missing")
    arguments = {
        key: _convert(hints[key], value, f"{where}.{key}") for key, value in values.items()
    }
    return kind(**arguments)


def _suggest(key: str, known: typing.Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(key, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(names)}"


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return from_dict(typing.cast(type[Any], hint), value, where)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        inner = [argument for argument in arguments if argument is not type(None)]
        return _convert(inner[0], value, where)
    if origin is typing.Literal:
        if not any(value == known and type(value) is type(known) for known in arguments):
            expected = ", ".join(repr(argument) for argument in arguments)
            raise ConfigError(f"{where}: expected one of {expected}, found {shown(value)}")
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{where}: expected a list, found {shown(value)}")
        kinds = [arguments[0]] * len(value) if arguments[-1] is ... else list(arguments)
        if len(kinds) != len(value):
            raise ConfigError(f"{where}: expected {len(kinds)} values, found {shown(value)}")
        items = zip(kinds, value, strict=True)
        return tuple(_convert(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(items))
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        if not abs(value) <= sys.float_info.max:
            raise ConfigError(f"{where}: expected a finite number, found {shown(value)}")
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ConfigError(f"{where}: expected {hint.__name__}, found {shown(value)}")
    if hint is int and not -_INTEGERS <= value < _INTEGERS:
        raise ConfigError(f"{where}: expected a whole number of 64 bits, found {shown(value)}")
    return value


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one dictionary by dotted names, e.g. `encoder.hidden`, in order."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Settings whose values differ, by their dotted names; a missing value counts as None."""
    one, other = flatten(before), flatten(now)
    return {
        name: (one.get(name), other.get(name))
        for name in dict.fromkeys([*one, *other])
        if one.get(name) != other.get(name)
    }


def override(config: T, assignments: Sequence[str]) -> T:
    """Apply `section.key=value` settings to a configuration, values written as JSON or plain text.

    Raises ConfigError on an unknown key or a value that does not fit.
    """
    values = to_dict(config)
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigError(
                f"--set {assignment[:80]}: expected KEY=VALUE, e.g. encoder.hidden=320"
            )
        *parents, leaf = path.strip().split(".")
        section = values
        for parent in parents:
            if not isinstance(section.get(parent), dict):
                raise ConfigError(
                    f"--set {path}: no section {parent!r}; {_suggest(parent, section)}"
                )
            section = section[parent]
        if leaf not in section:
            raise ConfigError(f"--set {path}: unknown key {shown(leaf)}; {_suggest(leaf, section)}")
        section[leaf] = _parse(text.strip())
    return from_dict(type(config), values, "--set")


def _parse(text: str) -> Any:
    try:
        return parse_json(text)
    except ValueError:  # not JSON, or a number of thousands of digits
        return text
