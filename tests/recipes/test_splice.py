"""Utterances spliced from recordings of a speaker that share a word."""

import itertools
from pathlib import Path
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import asr
from asr.corpus.manifest import Utterance, read_manifest
from asr.errors import ManifestError
from asr.inference.recognizer import Recognizer
from asr.signal import audio
from asr.text.timed import TimedWord
from recipes.an4.splice import (
    FADE_SECONDS,
    MAX_WORDS,
    Piece,
    Recording,
    crossing_points,
    draw_pieces,
    joined,
    kind,
    quietest,
    read,
    splice,
)
from tests.support import REPOSITORY

AN4 = REPOSITORY.parent / "shared/data/an4/wav/an4_clstk/fash"
TEXTS = {
    "an251-fash-b": "YES",
    "cen1-fash-b": "H I N I C H",
    "cen4-fash-b": "M O R E W O O D",
    "cen5-fash-b": "P I T T S B U R G H",
}
RATE = 1000


def recording(text: str, level: float = 1.0) -> Recording:
    words = tuple(text.split())
    return Recording(
        torch.full((100 * len(words),), level), words, tuple(range(0, 100 * len(words) + 1, 100))
    )


@given(
    st.lists(
        st.lists(st.sampled_from("A B ONE TWO TEN".split()), min_size=1, max_size=6),
        min_size=1,
        max_size=5,
    ),
    st.integers(0, 1000),
)
def test_every_switch_follows_a_word_of_the_same_kind(texts: list[list[str]], seed: int) -> None:
    recordings = [recording(" ".join(words)) for words in texts]
    pieces = draw_pieces(Random(seed), recordings, crossing_points(recordings))
    assert pieces[0].first == 0
    assert pieces[-1].end == len(recordings[pieces[-1].recording].words)
    for left, right in itertools.pairwise(pieces):
        assert left.first < left.end
        assert right.first < right.end
        assert left.recording != right.recording
        left_word = recordings[left.recording].words[left.end - 1]
        assert kind(left_word) == kind(recordings[right.recording].words[right.first - 1])
        assert right.first >= 1


def test_kinds_are_words_and_any_letter() -> None:
    assert kind("A") == kind("Z") != kind("ONE") != kind("TWO")


def test_originals_and_combinations_are_drawn() -> None:
    recordings = [recording("ONE TWO TEN"), recording("SIX TWO B")]
    texts = set()
    for seed in range(200):
        pieces = draw_pieces(Random(seed), recordings, crossing_points(recordings))
        texts.add(" ".join(w for n, a, b in pieces for w in recordings[n].words[a:b]))
    assert texts == {"ONE TWO TEN", "SIX TWO B", "ONE TWO B", "SIX TWO TEN"}


def test_pieces_are_cross_faded() -> None:
    recordings = [recording("ONE TWO", 1.0), recording("SIX TWO", 3.0)]
    whole = joined(recordings, [Piece(0, 0, 1), Piece(1, 1, 2)], RATE)
    fade = round(FADE_SECONDS * RATE)
    assert len(whole) == 200 - fade
    assert whole[: 100 - fade].eq(1.0).all()
    assert whole[100:].eq(3.0).all()
    seam = whole[100 - fade : 100]
    assert seam.diff().gt(0).all()
    assert seam.min() >= 1.0
    assert seam.max() <= 3.0


def test_one_piece_is_the_recording() -> None:
    assert joined([recording("ONE TWO")], [Piece(0, 0, 2)], RATE).equal(torch.ones(200))


@given(st.integers(20, 60), st.integers(0, 100))
def test_the_cut_lies_in_the_silence_between_words(quiet: int, seed: int) -> None:
    noise = torch.randn(300, generator=torch.Generator().manual_seed(seed))
    noise[100 + quiet : 130 + quiet] *= 0.001
    words = (TimedWord("ONE", 0.0, 0.1), TimedWord("TWO", 0.2, 0.3))
    assert 100 + quiet <= quietest(noise, *words, RATE) <= 130 + quiet


def test_words_without_a_gap_are_cut_at_their_boundary() -> None:
    words = (TimedWord("ONE", 0.0, 0.15), TimedWord("TWO", 0.15, 0.3))
    assert abs(quietest(torch.randn(300), *words, RATE) - 150) <= 10


@pytest.fixture(scope="module")
def spoken() -> list[Utterance]:
    if not AN4.is_dir():
        pytest.skip("needs AN4, which is not part of the product")
    paths = {key: AN4 / f"{key}.wav" for key in TEXTS}
    return [
        Utterance(key, path, audio.probe(path).duration_seconds, TEXTS[key], "fash")
        for key, path in paths.items()
    ]


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return asr.load(REPOSITORY / "checkpoints/an4-blstm")


def test_real_spelled_letters_are_recombined(
    spoken: list[Utterance], recognizer: Recognizer, tmp_path: Path
) -> None:
    made = splice(recognizer, spoken, 8, 0, tmp_path / "one")
    assert read_manifest(tmp_path / "one/manifest.jsonl") == made
    assert {u.speaker for u in made} == {"fash"}
    spelled = {w for text in TEXTS.values() for w in text.split() if len(w) == 1}
    for utterance in made:
        words = utterance.text.split()
        assert 2 <= len(words) <= MAX_WORDS
        assert set(words) <= spelled
        assert utterance.text not in TEXTS.values()
    # The audio matches the transcript.
    transcripts = [recognizer.transcribe(u.audio_filepath).text.split() for u in made]
    words_right = sum(
        a == b
        for u, h in zip(made, transcripts, strict=True)
        for a, b in zip(u.text.split(), h, strict=False)
    )
    assert words_right >= 0.8 * sum(len(u.text.split()) for u in made)
    again = splice(recognizer, spoken, 8, 0, tmp_path / "two")
    assert [u.text for u in again] == [u.text for u in made]
    assert all(
        a.audio_filepath.read_bytes() == b.audio_filepath.read_bytes()
        for a, b in zip(made, again, strict=True)
    )


def test_there_is_one_cut_more_than_words(spoken: list[Utterance], recognizer: Recognizer) -> None:
    found = read(recognizer, spoken[2])
    assert found.words == tuple("MOREWOOD")
    assert found.cuts[0] == 0
    assert found.cuts[-1] == len(found.waveform)
    assert list(found.cuts) == sorted(set(found.cuts))
    assert len(found.cuts) == 9


def test_more_utterances_than_possible_are_refused(
    spoken: list[Utterance], recognizer: Recognizer, tmp_path: Path
) -> None:
    with pytest.raises(ManifestError, match="2 utterances gave 0 new ones, not 1; request fewer"):
        splice(recognizer, spoken[:2], 1, 0, tmp_path)
