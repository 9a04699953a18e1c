"""The head of a model card, read as a model hub reads it."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from asr.checkpoint.front_matter import render_front_matter


def config_of(**training: Any) -> dict[str, Any]:
    return {"training": training, "encoder": {"cell": "lstm"}}


def read(text: str) -> dict[str, Any]:
    """What stands between the two lines of dashes, which nothing else may look like."""
    assert text.startswith("---\n")
    assert text.endswith("\n---\n")
    assert text.count("\n---\n") == 1
    found = yaml.safe_load(text.removeprefix("---\n").removesuffix("---\n"))
    assert isinstance(found, dict)
    return found


def test_front_matter_of_a_measured_checkpoint() -> None:
    metrics = {
        "AN4 test": {"wer": 0.0285, "wer_interval": [0.017, 0.0414], "cer": 0.01},
        "dev": {"wer": 0.5},
        "decoding": {"none": {"wer": 0.1}},
        "epochs": 7,
    }
    config = config_of(language="en", licence="CC BY-SA 4.0")
    assert read(render_front_matter("english", config, metrics)) == {
        "library_name": "asr",
        "pipeline_tag": "automatic-speech-recognition",
        "language": "en",
        "license": "cc-by-sa-4.0",
        "tags": ["speech", "ctc", "lstm"],
        "model-index": [
            {
                "name": "english",
                "results": [
                    {
                        "task": {"type": "automatic-speech-recognition"},
                        "dataset": {"name": "AN4 test", "type": "an4-test"},
                        "metrics": [
                            {"type": "wer", "name": "WER (%)", "value": 2.85},
                            {"type": "cer", "name": "CER (%)", "value": 1.0},
                        ],
                    }
                ],
            }
        ],
    }


def test_what_is_not_known_is_left_out() -> None:
    found = read(render_front_matter("x", config_of(data="CMU AN4", licence=None), {}))
    assert found.keys() == {"library_name", "pipeline_tag", "tags"}
    found = read(render_front_matter("x", config_of(data={"language": "de", "licence": ""}), {}))
    assert found["language"] == "de"
    assert "license" not in found


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("CC BY 4.0", {"license": "cc-by-4.0"}),
        ("cc-by-4.0", {"license": "cc-by-4.0"}),
        ("Apache 2.0", {"license": "apache-2.0"}),
        ("CC0", {"license": "cc0-1.0"}),
        ("free,\nask first", {"license": "other", "license_name": "free, ask first"}),
        ({"a": 1}, {"license": "other", "license_name": "{'a': 1}"}),
    ],
)
def test_licences(licence: Any, expected: dict[str, str]) -> None:
    found = read(render_front_matter("x", config_of(licence=licence), {}))
    assert {key: found[key] for key in found if key.startswith("license")} == expected


@given(name=st.text(), language=st.text(min_size=1), licence=st.text(min_size=1), test=st.text())
def test_any_text_is_read_back(name: str, language: str, licence: str, test: str) -> None:
    metrics = {test: {"wer": 0.5}}
    config = config_of(language=language, licence=f"x {licence}")
    found = read(render_front_matter(name, config, metrics))
    assert found["language"] == language
    assert found["license_name"] == " ".join(f"x {licence}".split())
    if test not in ("dev", "decoding"):
        index = found["model-index"][0]
        assert index["name"] == name
        assert index["results"][0]["dataset"]["name"] == test


@pytest.mark.parametrize(
    "text",
    [
        *("---", "\n---\n", "a: b", "- x", "!!python/object:os.system", "*a", "&a", "{", "yes"),
        *("1e3", '"', "\\", "'", "#", "\x00", "\x1b", "\x7f", "\x85", "\u2028", "\ufeff"),
        *("\ud800", "\U0001f3a4", "\uffff"),
    ],
)
def test_text_that_means_something_to_yaml(text: str) -> None:
    found = read(render_front_matter(text, config_of(language=text), {text: {"wer": 1}}))
    assert found["language"] == text
    assert found["model-index"][0]["name"] == text


@pytest.mark.parametrize("value", [0, 1, 0.5, 999, 1e-12])
def test_rates_are_numbers(value: float) -> None:
    found = read(render_front_matter("x", config_of(), {"t": {"wer": value}}))
    read_back = found["model-index"][0]["results"][0]["metrics"][0]["value"]
    assert read_back == pytest.approx(100 * value, abs=0.005)


@pytest.mark.parametrize("value", [-1, 1000, "1", None, True, float("nan"), float("inf"), [1]])
def test_what_is_no_rate_is_no_result(value: Any) -> None:
    assert "model-index" not in read(render_front_matter("x", config_of(), {"t": {"wer": value}}))


def test_language_may_be_several() -> None:
    found = read(render_front_matter("x", config_of(language=["en", "fr"]), {}))
    assert found["language"] == ["en", "fr"]
