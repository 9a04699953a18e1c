"""Cached models: used while their text is the same, and never when damaged."""

import math
from pathlib import Path

import numpy as np
import pytest

from asr.language.ngram import model as ngram
from asr.language.ngram.model import read_arpa
from tests.oracles_ngram import (
    GOLDEN,
    SMALL,
    log10_prob,
    written,
)


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model that is cached although it is small."""
    monkeypatch.setattr(ngram, "CACHE_FROM_BYTES", 1)
    return written(tmp_path, SMALL)


def cache_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.compiled.npz")


def never(*_: object) -> None:
    raise AssertionError("the text was read again")


def test_small_models_are_not_cached(tmp_path: Path) -> None:
    read_arpa(written(tmp_path, SMALL))

    assert [path.name for path in tmp_path.iterdir()] == ["lm.arpa"]


def test_large_models_are_parsed_once(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read_arpa(large)
    monkeypatch.setattr(ngram, "parse_arpa", never)
    second = read_arpa(large)

    assert (second.words, second.order) == (first.words, first.order)
    for ours, theirs in zip(first.arrays, second.arrays, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    large.write_text(SMALL.replace("-0.5", "-0.4"))
    with pytest.raises(AssertionError, match="read again"):
        read_arpa(large)


def test_a_cached_model_of_another_text_is_replaced(large: Path) -> None:
    read_arpa(large)
    stale = cache_file(large).read_bytes()
    large.write_text(SMALL.replace("-0.5\tyes", "-0.4\tyes"))

    assert read_arpa(large).log_prob("yes", bos=False, eos=False) == pytest.approx(
        -0.4 * math.log(10)
    )
    assert cache_file(large).read_bytes() != stale


def test_a_damaged_cache_is_not_used(large: Path) -> None:
    read_arpa(large)
    whole = cache_file(large).read_bytes()
    cuts = [whole[:size] for size in range(0, len(whole), 97)]
    flips = []
    for position in range(0, len(whole), 41):
        flipped = bytearray(whole)
        flipped[position] ^= 0x55
        flips.append(bytes(flipped))
    for content in (*cuts, *flips, b"", b"PK\x05\x06" + bytes(18)):
        cache_file(large).write_bytes(content)
        model = read_arpa(large)
        assert log10_prob(model, "yes no yes no") == pytest.approx(GOLDEN["yes no yes no"])


@pytest.mark.parametrize(
    ("name", "position", "value"),
    [
        *(("unigram_state", 0, 6), ("unigram_state", 0, -1), ("next_state", 0, 10**6)),
        *(("backoff_state", 5, 5), ("backoff_state", 5, -1), ("keys", slice(None), 7)),
    ],
)
def test_a_cached_model_never_leads_out_of_bounds(
    large: Path, name: str, position: int | slice, value: int
) -> None:
    read_arpa(large)
    with np.load(cache_file(large)) as file:
        arrays = dict(file)
    arrays[name][position] = value
    np.savez(cache_file(large), **arrays)

    assert log10_prob(read_arpa(large), "yes") == pytest.approx(GOLDEN["yes"])


@pytest.mark.parametrize("name", ["keys", "log_prob", "backoff_state", "unigram_state", "words"])
def test_a_cached_model_of_another_shape_is_not_used(large: Path, name: str) -> None:
    read_arpa(large)
    with np.load(cache_file(large)) as file:
        arrays = dict(file)
    for strange in (
        arrays[name][:-1],
        arrays[name].astype(np.float32),
        arrays[name][None],
        np.array(1),
    ):
        np.savez(cache_file(large), **{**arrays, name: strange})
        assert log10_prob(read_arpa(large), "yes") == pytest.approx(GOLDEN["yes"])
    del arrays[name]
    np.savez(cache_file(large), **arrays)
    assert log10_prob(read_arpa(large), "yes") == pytest.approx(GOLDEN["yes"])


def test_a_cache_that_cannot_be_written_is_no_error(large: Path) -> None:
    cache_file(large).mkdir()

    assert log10_prob(read_arpa(large), "yes") == pytest.approx(GOLDEN["yes"])
    assert sorted(path.name for path in large.parent.iterdir()) == [
        "lm.arpa",
        "lm.arpa.compiled.npz",
    ]
