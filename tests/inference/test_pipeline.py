"""Many recordings at once give what each gives alone."""

import itertools
import random
from pathlib import Path

import pytest
import torch

import asr
from asr.corpus.manifest import Utterance, read_manifest
from asr.decode.beam import SearchConfig
from asr.decode.decoder import Decoder, build_decoder
from asr.errors import AsrError, AudioError, ConfigError
from asr.inference import pipeline, windows
from asr.inference.recognizer import Recognizer, Vad
from asr.inference.transcript import Transcript
from asr.signal import audio
from recipes.tones.prepare import SAMPLE_RATE
from tests.support import Tones


@pytest.fixture(scope="module")
def utterances(tones: Tones) -> list[Utterance]:
    return read_manifest(tones.test)[:24]


@pytest.fixture(scope="module")
def recognizer(tones: Tones) -> Recognizer:
    return asr.load(tones.checkpoint)


@pytest.fixture(scope="module")
def recordings(utterances: list[Utterance], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Single utterances, and some joined with pauses into longer recordings."""
    folder = tmp_path_factory.mktemp("joined")
    paths = [utterance.audio_filepath for utterance in utterances]
    pause = torch.zeros(SAMPLE_RATE // 2)
    rng = random.Random(0)
    for number in range(4):
        parts = [audio.read(path)[0] for path in rng.sample(paths, 3 * number + 2)]
        joined = torch.cat([piece for part in parts for piece in (part, pause)])
        audio.write(folder / f"{number}.wav", joined, SAMPLE_RATE)
        paths.insert(5 * number, folder / f"{number}.wav")
    return paths


def all_of(recognizer: Recognizer, recordings: list[Path], decoder: Decoder) -> list[Transcript]:
    found = dict(recognizer.transcribe_all(iter(recordings), decoder=decoder, word_timestamps=True))
    assert sorted(found) == list(range(len(recordings)))
    transcripts = [found[number] for number in range(len(recordings))]
    assert all(isinstance(one, Transcript) for one in transcripts)
    return transcripts  # type: ignore[return-value]


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("kind", ["greedy", "beam", "lexicon"])
def test_as_each_alone(
    recognizer: Recognizer,
    recordings: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    threads: int,
) -> None:
    decoder = Decoder(SearchConfig(beam_size=1 if kind == "greedy" else 8, nbest=1))
    if kind == "lexicon":
        words = {word for path in recordings for word in recognizer.transcribe(path).text.split()}
        (tmp_path / "words.txt").write_text("\n".join(sorted(words)))
        decoder = build_decoder(recognizer.tokens, decoder.search, lexicon=tmp_path / "words.txt")
    expected = [
        recognizer.transcribe(path, decoder=decoder, word_timestamps=True) for path in recordings
    ]
    assert len({one.text for one in expected}) > len(recordings) // 2
    monkeypatch.setattr(recognizer, "threads", threads)
    # Few windows at a time, so that recordings are read on while others are decoded.
    monkeypatch.setattr(pipeline, "BATCH_SECONDS", 6.0)
    monkeypatch.setattr(pipeline, "_AHEAD_SECONDS", 12.0)
    for one, other in zip(all_of(recognizer, recordings, decoder), expected, strict=True):
        assert one.text == other.text
        assert one.duration_seconds == other.duration_seconds
        assert one.log_score == pytest.approx(other.log_score, rel=1e-5, abs=1e-4)
        assert one.log_ratio == pytest.approx(other.log_ratio, abs=1e-4)
        assert [word.text for word in one.words] == [word.text for word in other.words]
        for mine, its in zip(one.words, other.words, strict=True):
            assert mine.start_seconds == pytest.approx(its.start_seconds, abs=1e-5)
            assert mine.confidence == pytest.approx(its.confidence, abs=1e-4)


def test_segments_of_several_windows_are_put_together(
    recognizer: Recognizer, recordings: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    longest = max(recordings, key=lambda path: audio.probe(path).frames)
    expected = recognizer.transcribe(longest, decoder=Decoder())
    monkeypatch.setattr(windows, "cuts_in", lambda *_: [])
    monkeypatch.setattr(windows, "WINDOW_SECONDS", 2.0)
    monkeypatch.setattr(windows, "PASSAGE_SECONDS", 4.0)
    monkeypatch.setattr(windows, "CONTEXT_SECONDS", 1.0)
    (found, again) = all_of(recognizer, [longest, longest], Decoder())
    assert found.text == again.text
    assert found.duration_seconds == expected.duration_seconds
    own, known = found.text.split(), expected.text.split()
    assert abs(len(own) - len(known)) <= len(known) // 4


def test_what_cannot_be_read_costs_the_others_nothing(
    recognizer: Recognizer, recordings: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "empty.wav").touch()
    content = recordings[0].read_bytes()
    (tmp_path / "torn.wav").write_bytes(content[: len(content) // 2])
    given = [recordings[0], tmp_path / "none.wav", tmp_path / "empty.wav", tmp_path / "torn.wav"]
    found = dict(recognizer.transcribe_all([*given, recordings[1]], decoder=Decoder()))
    assert [isinstance(found[number], AsrError) for number in range(5)] == [0, 1, 1, 1, 0]
    for number in (1, 2, 3):
        with pytest.raises(AudioError) as error:
            recognizer.transcribe(given[number], decoder=Decoder())
        assert str(error.value) == str(found[number])
    ((_, left),) = recognizer.transcribe_all([given[3]], decoder=Decoder(), damaged="read")
    assert isinstance(left, Transcript)
    assert left.damage


def test_utterances_of_a_manifest(recognizer: Recognizer, utterances: list[Utterance]) -> None:
    found = dict(recognizer.transcribe_all(utterances, decoder=Decoder()))
    for number, utterance in enumerate(utterances):
        transcript = found[number]
        assert isinstance(transcript, Transcript)
        alone = recognizer.transcribe(utterance.audio_filepath, decoder=Decoder())
        assert transcript.text == alone.text


def test_no_more_is_read_than_there_is_room_for(
    recognizer: Recognizer, recordings: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recognizer, "threads", 1)
    monkeypatch.setattr(pipeline, "_AHEAD_SECONDS", 5.0)
    opened = []

    def listed() -> object:
        for path in recordings:
            opened.append(path)
            yield path

    found = recognizer.transcribe_all(listed(), decoder=Decoder())  # type: ignore[arg-type]
    next(found)
    assert len(opened) < len(recordings) // 2
    found.close()  # type: ignore[attr-defined]


def test_threads_of_torch_are_as_before(recognizer: Recognizer, recordings: list[Path]) -> None:
    before = torch.get_num_threads()
    recognizer.transcribe(recordings[0])
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("vad", ["energy", "voice"])
def test_with_voice_activity_detection(
    recognizer: Recognizer, recordings: list[Path], vad: Vad
) -> None:
    """What lies between the stretches of speech is not transcribed; times are the recording's."""
    if vad == "voice":
        pytest.importorskip("silero_vad")
    pause = torch.zeros(5 * SAMPLE_RATE)
    parts = [audio.read(path)[0] for path in recordings[1:4]]
    waveform = torch.cat([pause, *(piece for part in parts for piece in (part, pause))])
    found = recognizer.transcribe(
        waveform, SAMPLE_RATE, decoder=Decoder(), word_timestamps=True, vad=vad
    )
    assert found.duration_seconds == len(waveform) / SAMPLE_RATE
    if vad == "voice":  # tones are no voice
        assert found.text == ""
        return
    alone = [recognizer.transcribe(path, decoder=Decoder()).text for path in recordings[1:4]]
    assert found.text == " ".join(alone)
    starts = [word.start_seconds for word in found.words]
    assert 4.8 < starts[0] < 6.0
    assert sum(later - earlier > 4.5 for earlier, later in itertools.pairwise(starts)) == 2
    silence = recognizer.transcribe(pause, SAMPLE_RATE, decoder=Decoder(), vad=vad)
    assert (silence.text, silence.duration_seconds) == ("", 5.0)


def test_with_voice_activity_detection_a_lexicon_holds_for_each_stretch(
    recognizer: Recognizer, recordings: list[Path], tmp_path: Path
) -> None:
    first, second = (
        recognizer.transcribe(path, decoder=Decoder()).text for path in recordings[1:3]
    )
    (tmp_path / "words.txt").write_text("\n".join({*first.split(), *second.split()}))
    decoder = build_decoder(
        recognizer.tokens, SearchConfig(beam_size=8), lexicon=tmp_path / "words.txt"
    )
    pause = torch.zeros(3 * SAMPLE_RATE)
    waveform = torch.cat([audio.read(recordings[1])[0], pause, audio.read(recordings[2])[0]])
    found = recognizer.transcribe(waveform, SAMPLE_RATE, decoder=decoder, vad="energy")
    assert found.text == f"{first} {second}"


def test_an_unknown_kind_of_detection_is_refused(recognizer: Recognizer) -> None:
    with pytest.raises(ConfigError, match="vad: expected one of off, energy, voice, found True"):
        recognizer.transcribe(torch.zeros(SAMPLE_RATE), SAMPLE_RATE, vad=True)  # type: ignore[arg-type]
