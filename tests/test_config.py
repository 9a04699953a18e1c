"""Settings to JSON and back, strictly."""

import json
import math
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.config import differences, flatten, from_dict, override, to_dict
from asr.errors import ConfigError
from asr.model.acoustic import EncoderConfig
from asr.signal.augment import AugmentConfig
from asr.signal.features import FeatureConfig


@dataclass(frozen=True)
class Inner:
    hidden: int = 320
    rate: float = 0.5
    kind: Literal["lstm", "gru"] = "lstm"
    factor: Literal[1, 2, 4] = 1
    fast: bool = False


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner = field(default_factory=Inner)
    limit: float | None = None
    speeds: tuple[float, ...] = (0.9, 1.0)
    span: tuple[float, float] = (10.0, 30.0)
    files: tuple[str, ...] = ()


numbers = st.floats(allow_nan=False, allow_infinity=False)
inners = st.builds(
    Inner,
    hidden=st.integers(),
    rate=numbers,
    kind=st.sampled_from(["lstm", "gru"]),
    factor=st.sampled_from([1, 2, 4]),
    fast=st.booleans(),
)
outers = st.builds(
    Outer,
    name=st.text(),
    inner=inners,
    limit=st.none() | numbers,
    speeds=st.lists(numbers, max_size=3).map(tuple),
    span=st.tuples(numbers, numbers),
    files=st.lists(st.text(), max_size=3).map(tuple),
)


@given(outers)
def test_json_and_back_is_the_same(config: Outer) -> None:
    assert from_dict(Outer, json.loads(json.dumps(to_dict(config)))) == config


@pytest.mark.parametrize("kind", [FeatureConfig, AugmentConfig, EncoderConfig])
def test_defaults_of_every_room_survive_json(kind: type[Any]) -> None:
    assert from_dict(kind, json.loads(json.dumps(to_dict(kind())))) == kind()
    assert from_dict(kind, {}) == kind()


def test_json_form_is_plain() -> None:
    assert to_dict(Outer(name="a")) == {
        "name": "a",
        "inner": {"hidden": 320, "rate": 0.5, "kind": "lstm", "factor": 1, "fast": False},
        "limit": None,
        "speeds": [0.9, 1.0],
        "span": [10.0, 30.0],
        "files": [],
    }


def test_whole_numbers_stand_for_floats() -> None:
    config = from_dict(Outer, {"name": "a", "limit": 3, "inner": {"rate": 1}})

    assert config.limit == 3.0
    assert isinstance(config.limit, float)
    assert isinstance(config.inner.rate, float)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "a", "inner": {"hiden": 1}}, r"config\.inner: unknown key 'hiden'.*'hidden'"),
        ({"name": "a", "zzz": 1}, "config: unknown key 'zzz'; expected one of files, inner,"),
        ({}, "config: the key 'name' is missing"),
        ({"name": 3}, r"config\.name: expected str, found 3"),
        ({"name": None}, r"config\.name: expected str, found None"),
        ({"name": "a", "inner": 3}, r"config\.inner: expected an object, found 3"),
        ({"name": "a", "inner": []}, r"config\.inner: expected an object"),
        ({"name": "a", "inner": {"hidden": 1.0}}, r"inner\.hidden: expected int, found 1\.0"),
        ({"name": "a", "inner": {"hidden": True}}, r"inner\.hidden: expected int, found True"),
        ({"name": "a", "inner": {"hidden": "1"}}, r"inner\.hidden: expected int, found '1'"),
        ({"name": "a", "inner": {"rate": True}}, r"inner\.rate: expected float, found True"),
        ({"name": "a", "inner": {"rate": "0.5"}}, r"inner\.rate: expected float"),
        ({"name": "a", "inner": {"rate": math.nan}}, r"inner\.rate: expected a finite number"),
        ({"name": "a", "inner": {"rate": math.inf}}, r"inner\.rate: expected a finite number"),
        ({"name": "a", "inner": {"rate": 10**400}}, r"inner\.rate: expected a finite number"),
        ({"name": "a", "inner": {"fast": 1}}, r"inner\.fast: expected bool, found 1"),
        ({"name": "a", "inner": {"kind": "rnn"}}, "kind: expected one of 'lstm', 'gru', found 'r"),
        ({"name": "a", "inner": {"kind": ["gru"]}}, r"kind: expected one of .*found \['gru'\]"),
        ({"name": "a", "inner": {"factor": True}}, "factor: expected one of 1, 2, 4, found True"),
        ({"name": "a", "inner": {"factor": 2.0}}, r"factor: expected one of 1, 2, 4, found 2\.0"),
        ({"name": "a", "speeds": 1.0}, r"speeds: expected a list, found 1\.0"),
        ({"name": "a", "speeds": [1.0, "x"]}, r"config\.speeds\[1\]: expected float, found 'x'"),
        ({"name": "a", "span": [1.0]}, r"config\.span: expected 2 values, found \[1\.0\]"),
        ({"name": "a", "files": "abc"}, r"config\.files: expected a list, found 'abc'"),
        ({"name": "a", "limit": "x"}, r"config\.limit: expected float"),
        ([], r"config: expected an object, found \[\]"),
        (None, "config: expected an object, found None"),
    ],
)
def test_what_does_not_fit_is_refused(values: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict(Outer, values)


def test_message_begins_with_the_place_that_the_caller_names() -> None:
    with pytest.raises(ConfigError, match=r"^model/config\.json\.inner\.rate: "):
        from_dict(Outer, {"name": "a", "inner": {"rate": "x"}}, "model/config.json")


def test_a_room_s_own_check_is_asked() -> None:
    with pytest.raises(ConfigError, match=r"encoder\.dropout"):
        from_dict(EncoderConfig, {"dropout": 1.0})


def test_overrides_reach_into_sections() -> None:
    config = override(
        Outer(name="a"),
        ["inner.hidden=64", " inner.kind = gru", "limit=2", "speeds=[1.0, 1.1]", "name=x=y"],
    )

    assert config == Outer(
        name="x=y", inner=Inner(hidden=64, kind="gru"), limit=2.0, speeds=(1.0, 1.1)
    )


def test_override_can_empty_a_value() -> None:
    config = override(Outer(name="a", limit=3.0), ["limit=null", "speeds=[]", "name="])

    assert config == Outer(name="", limit=None, speeds=())


def test_later_overrides_win_and_the_original_stays() -> None:
    original = Outer(name="a")

    assert override(original, ["inner.hidden=1", "inner.hidden=2"]).inner.hidden == 2
    assert original == Outer(name="a")
    assert override(original, []) == original


@given(outers, outers)
def test_overriding_everything_gives_the_other_configuration(config: Outer, other: Outer) -> None:
    values = to_dict(other)
    sections = {f"inner.{key}": value for key, value in values.pop("inner").items()}
    settings = [f"{key}={json.dumps(value)}" for key, value in (values | sections).items()]

    assert override(config, settings) == other


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("inner.hidden", "--set inner.hidden: expected KEY=VALUE, e.g. "),
        ("hidden=3", "--set hidden: unknown key 'hidden'; expected one of"),
        ("inner.hiden=3", "--set inner.hiden: unknown key 'hiden'; did you mean 'hidden'"),
        ("iner.hidden=3", "--set iner.hidden: no section 'iner'; did you mean 'inner'"),
        ("inner.hidden.x=3", "no section 'hidden'"),
        ("name.x=3", "no section 'name'"),
        ("limit.x=3", "no section 'limit'"),
        ("inner=3", r"--set\.inner: expected an object, found 3"),
        ("inner.hidden=many", r"--set\.inner\.hidden: expected int, found 'many'"),
        ("inner.rate=NaN", "expected a finite number"),
        ("=3", "unknown key ''"),
        ("", "expected KEY=VALUE"),
    ],
)
def test_wrong_overrides_are_refused(setting: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        override(Outer(name="a"), [setting])


@pytest.mark.parametrize("text", ["9" * 5000, "[" * 100_000], ids=["digits", "brackets"])
def test_override_that_overtaxes_json_is_plain_text(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--set\.inner\.hidden: expected int, found '"):
        override(Outer(name="a"), [f"inner.hidden={text}"])


def test_differences_go_by_dotted_names() -> None:
    before = {"a": {"b": 1, "c": 2}, "gone": 0, "list": [1]}
    now = {"a": {"b": 1, "c": 3, "d": 4}, "list": [1], "new": 5}
    assert differences(before, now) == {
        "a.c": (2, 3),
        "a.d": (None, 4),
        "gone": (0, None),
        "new": (None, 5),
    }
    assert differences(now, json.loads(json.dumps(now))) == {}


def test_flattened_settings_have_dotted_names() -> None:
    assert flatten({"a": {"b": {"c": 1}, "d": [2]}, "e": None}) == {
        "a.b.c": 1,
        "a.d": [2],
        "e": None,
    }
    assert flatten({"empty": {}}) == {}


def deep(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize("value", [2**63, -(10**399), 10**5000, deep(5000), "x" * 10**6], ids=type)
def test_a_monstrous_value_is_one_short_message(value: Any) -> None:
    @dataclass(frozen=True)
    class Numbers:
        whole: int = 0
        fraction: float = 0.0

    for name in ("whole", "fraction"):
        if isinstance(value, int) and abs(value) == 2**63 and name == "fraction":
            continue  # a float can be as large
        with pytest.raises(ConfigError) as error:
            from_dict(Numbers, {name: value})
        assert len(str(error.value)) < 200
