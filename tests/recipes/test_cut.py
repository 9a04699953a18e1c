"""Words cut out of sentences."""

from pathlib import Path

import pytest

from asr.corpus.manifest import read_manifest, write_manifest
from asr.errors import ManifestError
from asr.signal import audio
from asr.text.timed import TimedWord
from recipes import cut
from tests.support import REPOSITORY

CHECKPOINT = REPOSITORY / "checkpoints" / "an4-blstm"
SAMPLES = read_manifest(REPOSITORY / "recipes" / "synthetic" / "samples" / "manifest.jsonl")


def test_margins_end_halfway_to_the_next_word() -> None:
    words = [TimedWord("SIX", 0.05, 0.3), TimedWord("TO", 0.34, 0.5), TimedWord("ONE", 0.9, 1.0)]
    assert cut.extent(words, 0, 1.05) == pytest.approx((0.0, 0.32))
    assert cut.extent(words, 1, 1.05) == pytest.approx((0.32, 0.6))
    assert cut.extent(words, 2, 1.05) == pytest.approx((0.8, 1.05))


def test_words_are_utterances(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_manifest(tmp_path / "in.jsonl", SAMPLES[-4:])
    cut.main(CHECKPOINT, [tmp_path / "in.jsonl"], tmp_path / "out", confidence=0.05)
    words = read_manifest(tmp_path / "out" / "manifest.jsonl")
    texts = {one.id: one.text.split() for one in SAMPLES}
    assert f"{len(words)} of " in capsys.readouterr().out
    assert words
    for word in words:
        whole, _, index = word.id.rpartition("_")
        assert word.text == texts[whole][int(index)]
        assert len(word.text) > 1
        waveform, rate = audio.read(word.audio_filepath)
        assert (rate, len(waveform)) == (16_000, round(word.duration * 16_000))
    cut.main(CHECKPOINT, [tmp_path / "in.jsonl"], tmp_path / "sure", confidence=0.9)
    assert len(read_manifest(tmp_path / "sure" / "manifest.jsonl")) < len(words)


def test_a_missing_manifest_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"missing\.jsonl: cannot read the manifest"):
        cut.main(CHECKPOINT, [tmp_path / "missing.jsonl"], tmp_path / "unused")
