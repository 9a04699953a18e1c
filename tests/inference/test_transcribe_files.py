"""Files to files of transcripts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import asr
from asr.corpus.manifest import read_manifest
from asr.decode.decoder import Decoder
from asr.errors import AsrError
from asr.inference.inputs import Input
from asr.inference.output_folder import OutputFolder
from asr.inference.recognizer import Recognizer
from asr.inference.transcribe_files import FileResult, FileTranscriber
from asr.inference.transcript import Transcript
from asr.inference.writers import OutputFormat
from tests.support import Tones

TXT = [OutputFormat.TXT]


@pytest.fixture(scope="module")
def recognizer(tones: Tones) -> Recognizer:
    return asr.load(tones.checkpoint)


@pytest.fixture
def inputs(tones: Tones, tmp_path: Path) -> list[Input]:
    found = []
    for utterance in read_manifest(tones.test)[:5]:
        path = tmp_path / "audio" / utterance.audio_filepath.name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(utterance.audio_filepath.read_bytes())
        found.append(Input(path, path.stem, path.stem))
    return found


def transcribed(
    recognizer: Recognizer, inputs: list[Input], folder: Path, **options: Any
) -> list[FileResult]:
    output = OutputFolder(folder, [".txt"], {})
    transcriber = FileTranscriber(recognizer, TXT, {}, folder=output, decoder=Decoder(), **options)
    return sorted(transcriber(inputs), key=lambda result: result.number)


def test_what_is_there_is_left_out(
    recognizer: Recognizer, inputs: list[Input], tmp_path: Path
) -> None:
    first = transcribed(recognizer, inputs[:3], tmp_path / "out")
    assert all(result.transcript for result in first)
    (tmp_path / "out" / f"{inputs[0].name}.txt").write_text("corrected by hand\n")
    inputs[1].path.write_bytes(inputs[4].path.read_bytes())
    second = transcribed(recognizer, inputs, tmp_path / "out", skip_existing=True)
    assert not any(result.error for result in second)
    assert [result.number for result in second if not result.transcript] == [0, 2]
    assert (tmp_path / "out" / f"{inputs[0].name}.txt").read_text() == "corrected by hand\n"
    for result in second[1::2]:
        assert result.transcript is not None
        path = tmp_path / "out" / f"{result.input.name}.txt"
        assert path.read_text() == f"{result.transcript.text}\n"


def test_a_file_that_changes_while_it_is_read_is_not_believed(
    recognizer: Recognizer, inputs: list[Input], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_of = recognizer.transcribe_all

    def and_one_grows(*given: Any, **named: Any) -> Iterator[tuple[int, Transcript | AsrError]]:
        for number, outcome in all_of(*given, **named):
            if number == 2:
                with inputs[2].path.open("ab") as file:
                    file.write(b"more")
            yield number, outcome

    monkeypatch.setattr(recognizer, "transcribe_all", and_one_grows)
    results = transcribed(recognizer, inputs, tmp_path / "out")
    assert [result.error is not None for result in results] == [False, False, True, False, False]
    assert "the file changed while it was read" in str(results[2].error)
    assert not (tmp_path / "out" / f"{inputs[2].name}.txt").exists()


def test_a_full_disk_ends_all_and_a_name_that_is_taken_only_its_own(
    recognizer: Recognizer, inputs: list[Input], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out" / f"{inputs[1].name}.txt").mkdir(parents=True)
    results = transcribed(recognizer, inputs, tmp_path / "out")
    assert [result.error is not None for result in results] == [False, True, False, False, False]

    def full(*_: object) -> None:
        raise AsrError("full") from OSError(28, "No space left on device")

    monkeypatch.setattr("asr.inference.output_folder.write_text_atomic", full)
    with pytest.raises(AsrError, match="full"):
        transcribed(recognizer, inputs, tmp_path / "more")
