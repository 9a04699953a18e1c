"""Digits cut out of longer recordings for the FSDD recipe."""

from collections import Counter
from pathlib import Path

import pytest

import asr
from asr.corpus.manifest import Utterance, read_manifest, write_manifest
from asr.decode.beam import SearchConfig
from asr.decode.decoder import build_decoder
from asr.errors import ManifestError
from asr.signal import audio
from recipes.fsdd import borrow
from recipes.fsdd.prepare import SHORTEST, WORDS
from tests.support import REPOSITORY

CHECKPOINT = REPOSITORY / "checkpoints" / "an4-blstm"
SAMPLES = read_manifest(REPOSITORY / "recipes" / "synthetic" / "samples" / "manifest.jsonl")


@pytest.fixture(scope="module")
def borrowed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Utterance]]:
    """The digits of the samples, with a character unknown to the model in the first transcript."""
    folder = tmp_path_factory.mktemp("borrowed")
    odd = Utterance("odd", SAMPLES[0].audio_filepath, SAMPLES[0].duration, f"{SAMPLES[0].text}'")
    write_manifest(folder / "in.jsonl", [odd, *SAMPLES[1:]])
    digits, expected = borrow.extract_digits(CHECKPOINT, [folder / "in.jsonl"], folder / "out")
    assert expected == sum(word in WORDS for u in SAMPLES for word in u.text.split())
    return folder / "out", digits


def test_each_digit_is_a_separate_utterance(borrowed: tuple[Path, list[Utterance]]) -> None:
    folder, digits = borrowed
    assert digits
    assert [u.id for u in read_manifest(folder / "manifest.jsonl")] == [u.id for u in digits]
    texts = {u.id: u.text.split() for u in SAMPLES}
    for digit in digits:
        whole, _, index = digit.id.rpartition("_")
        assert digit.text == texts.get(whole, SAMPLES[0].text.split())[int(index)]
        waveform, rate = audio.read(digit.audio_filepath)
        assert (rate, len(waveform)) == (16000, round(digit.duration * 16000))
        assert 0.1 < digit.duration < 1.5


def test_digits_of_a_speaker_are_joined_in_strings(borrowed: tuple[Path, list[Utterance]]) -> None:
    folder, digits = borrowed
    strings = read_manifest(folder / "strings.jsonl")
    assert strings
    assert all(len(u.text.split()) >= SHORTEST for u in strings)
    for speaker in {u.speaker for u in digits}:
        counts = Counter(u.text for u in digits if u.speaker == speaker)
        joined = Counter(w for u in strings if u.speaker == speaker for w in u.text.split())
        rounds = borrow.STRING_ROUNDS if counts.total() >= SHORTEST else 0
        assert joined == Counter({word: rounds * count for word, count in counts.items()})
    waveform, rate = audio.read(strings[0].audio_filepath)
    assert (rate, len(waveform)) == (16000, round(strings[0].duration * 16000))


def test_most_digits_are_recognised_in_isolation(borrowed: tuple[Path, list[Utterance]]) -> None:
    """Cut in the wrong place, they would be partial or other words."""
    _, digits = borrowed
    recognizer = asr.load(CHECKPOINT)
    grammar = REPOSITORY / "recipes" / "fsdd" / "digit.jsgf"
    decoder = build_decoder(recognizer.tokens, SearchConfig(beam_size=16), grammar=grammar)
    texts = [recognizer.transcribe(d.audio_filepath, decoder=decoder).text for d in digits]
    right = sum(text == digit.text for text, digit in zip(texts, digits, strict=True))
    assert right >= 0.7 * len(digits), texts


def test_a_missing_manifest_is_an_error() -> None:
    with pytest.raises(ManifestError, match=r"^missing\.jsonl: cannot read the manifest"):
        borrow.main(CHECKPOINT, [Path("missing.jsonl")], Path("unused"))
