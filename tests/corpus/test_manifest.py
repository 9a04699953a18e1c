"""Manifests: a strict reader that says which line is wrong, and a writer it can read back."""

import dataclasses
import json
import multiprocessing
import os
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.corpus.check import minimum_frames
from asr.corpus.manifest import Corpus, Utterance, read_manifest, write_manifest
from asr.errors import AsrError, ManifestError
from asr.text.normal import normal_form
from asr.text.tokens import TokenTable, split_text

GOOD: dict[str, Any] = {"id": "u1", "audio_filepath": "u1.wav", "duration": 1.5, "text": "YES"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A corpus folder with two recordings; nothing here looks inside them."""
    for name in ("u1.wav", "u2.wav"):
        (tmp_path / name).touch()
    return tmp_path


def line(**changes: Any) -> str:
    return json.dumps(GOOD | changes)


def written(folder: Path, *lines: str | bytes, newline: bytes = b"\n") -> Path:
    path = folder / "train.jsonl"
    encoded = [text.encode() if isinstance(text, str) else text for text in lines]
    path.write_bytes(newline.join(encoded))
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ManifestError) as error:
        read_manifest(path)
    return str(error.value)


def test_utterances_come_in_order(folder: Path) -> None:
    path = written(folder, line(speaker="f1"), line(id="u2", audio_filepath="u2.wav", duration=2))

    assert read_manifest(path) == [
        Utterance("u1", folder / "u1.wav", 1.5, "YES", "f1"),
        Utterance("u2", folder / "u2.wav", 2.0, "YES", None),
    ]


def test_path_may_be_a_string(folder: Path) -> None:
    assert read_manifest(str(written(folder, line())))[0].id == "u1"


def test_blank_lines_are_passed_over_and_counted(folder: Path) -> None:
    path = written(folder, "", line(), "  ", "{", "")

    assert refusal(path).startswith(f"{path}, line 4: not valid JSON")


def test_byte_order_mark_and_windows_line_ends(folder: Path) -> None:
    path = written(folder, b"\xef\xbb\xbf" + line().encode(), line(id="u2"), newline=b"\r\n")

    assert [(u.id, u.text) for u in read_manifest(path)] == [("u1", "YES"), ("u2", "YES")]


def test_decomposed_text_is_composed_and_stripped(folder: Path) -> None:
    path = written(folder, line(text="  CAFE\u0301\u00a0\r\n"))

    assert read_manifest(path)[0].text == "CAF\u00c9"


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85"])
def test_only_line_feeds_end_a_line(folder: Path, separator: str) -> None:
    raw = json.dumps(GOOD | {"text": f"ONE{separator}TWO"}, ensure_ascii=False)
    assert separator in raw

    first, second = read_manifest(written(folder, raw, line(id="u2")))

    assert first.text == "ONE TWO"
    assert second.id == "u2"


def test_manifest_may_be_read_without_its_audio(tmp_path: Path) -> None:
    path = written(tmp_path, line())

    assert read_manifest(path, require_audio=False)[0].audio_filepath == tmp_path / "u1.wav"
    assert "no audio file" in refusal(path)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("YES NO", "not valid JSON .* found 'YES NO'"),
        (line()[:-1], "not valid JSON"),
        (line() + line(), "not valid JSON .*Extra data"),
        ("[" * 100_000, "not valid JSON"),
        ('{"duration": ' + "9" * 5000 + "}", "not valid JSON"),
        ('["u1"]', r"expected a JSON object, found '\[\"u1\"\]'"),
        ("3", "expected a JSON object, found '3'"),
        ("null", "expected a JSON object"),
        ("{}", "the key 'id' is missing; expected id, audio_filepath, duration, text"),
        (line(speakr="f"), "unknown key 'speakr'; expected id,.* speaker"),
        (line(id=3), "'id' has the wrong type: 3"),
        (line(id=""), "the id is empty"),
        (line(id=" \t"), "the id is empty"),
        (line(audio_filepath=None), "'audio_filepath' has the wrong type: None"),
        (line(duration="1.5"), "'duration' has the wrong type: '1.5'"),
        (line(duration=True), "'duration' has the wrong type: True"),
        (line(duration=0), r"duration must be positive seconds, found 0\.0"),
        (line(duration=-1), "duration must be positive"),
        (line(duration=float("nan")), "duration must be positive seconds, found nan"),
        (line(duration=float("inf")), "duration must be positive"),
        (line(duration=10**400), "duration must be positive seconds"),
        (line(text=["YES"]), "'text' has the wrong type"),
        (line(speaker=7), "'speaker' has the wrong type: 7"),
        (line(text="A\ud800"), "'text': contains a lone surrogate, which is not a character"),
        (line(id="A\ud800"), "'id': contains a lone surrogate"),
        (line(speaker="A\udfff"), "'speaker': contains a lone surrogate"),
        (line(id="u0"), "the id 'u0' is used on line 1 already"),
        (line(offset=-0.5), r"offset must be 0 or positive seconds, found -0\.5"),
        (line(offset=float("nan")), "offset must be 0 or positive seconds, found nan"),
        (line(offset="1"), "'offset' has the wrong type: '1'"),
        (line(offset=True), "'offset' has the wrong type: True"),
        (line(damaged=1), "'damaged' has the wrong type: 1"),
        (line(channel=0), r"expected a channel from 1 \(the first\) to 1024, found 0"),
        (line(channel=10**9), "expected a channel from 1 .* found 1000000000"),
        (line(channel=1.0), r"'channel' has the wrong type: 1\.0"),
        (line(audio_filepath="gone.wav"), r"no audio file at .*gone\.wav; .*manifest's folder"),
        (line(audio_filepath="."), "no audio file at"),
        (line(audio_filepath=""), "no audio file at"),
        (line(audio_filepath="a\0b.wav"), "no audio file at"),
        (line(audio_filepath="\ud800.wav"), "no audio file at"),
        (line(audio_filepath="x" * 5000), "no audio file at"),
        *[
            (json.dumps({k: v for k, v in GOOD.items() if k != key}), f"the key '{key}' is missing")
            for key in GOOD
        ],
    ],
    ids=lambda value: value[:30],
)
def test_wrong_lines_are_refused_by_number(folder: Path, bad: str, message: str) -> None:
    path = written(folder, line(id="u0"), bad, line(id="u2"))

    with pytest.raises(ManifestError, match=message) as error:
        read_manifest(path)

    assert str(error.value).startswith(f"{path}, line 2: ")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("{", "not valid JSON"),
        (line(id="u0"), "the id 'u0' is used on line 1 already"),
        (line(audio_filepath="gone.wav"), "no audio file at"),
        (line(duration=0), "duration must be positive"),
    ],
    ids=["json", "id", "audio", "duration"],
)
def test_a_corpus_refuses_what_a_manifest_reader_refuses(
    folder: Path, bad: str, message: str
) -> None:
    path = written(folder, line(id="u0"), bad, line(id="u2"))

    with pytest.raises(ManifestError, match=message) as error:
        Corpus.open([path])

    assert str(error.value) == refusal(path)
    assert str(error.value).startswith(f"{path}, line 2: ")


def test_null_speaker_is_no_speaker(folder: Path) -> None:
    assert read_manifest(written(folder, line(speaker=None)))[0].speaker is None


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"], ids=["0", "blank", "mark"])
def test_empty_manifests_are_refused(folder: Path, content: bytes) -> None:
    assert "the manifest is empty" in refusal(written(folder, content))


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_other_encodings_are_refused(folder: Path, encoding: str) -> None:
    content = json.dumps(GOOD | {"text": "É"}, ensure_ascii=False).encode(encoding)

    assert "expected a UTF-8 file" in refusal(written(folder, content))


def test_missing_manifests_and_folders_are_refused(tmp_path: Path) -> None:
    assert str(tmp_path / "none.jsonl") in refusal(tmp_path / "none.jsonl")
    assert "cannot read the manifest" in refusal(tmp_path)


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
transcripts = st.text(st.characters(exclude_categories=["Cs"])).map(normal_form)
files = st.lists(
    st.text("ab é.\u2028'\"\\", min_size=1, max_size=5).filter(lambda name: name.strip(".")),
    min_size=1,
    max_size=3,
).map("/".join)
entries = st.tuples(
    names, files, st.floats(1e-5, 1e6).map(lambda s: round(s, 6)), transcripts, st.none() | names
)


@given(st.lists(entries, min_size=1, max_size=5, unique_by=lambda entry: entry[0]))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[str, str, float, str, str | None]]
) -> None:
    folder = tmp_path_factory.getbasetemp().resolve()
    utterances = [
        Utterance(name, folder / "wav" / file, seconds, text, speaker)
        for name, file, seconds, text, speaker in entries
    ]

    write_manifest(folder / "round.jsonl", utterances)

    assert read_manifest(folder / "round.jsonl", require_audio=False) == utterances


def test_paths_are_written_relative_to_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "wav").mkdir()
    (tmp_path / "wav" / "u1.wav").touch()
    path = tmp_path / "lists" / "train.jsonl"

    write_manifest(path, [Utterance("u1", tmp_path / "wav" / "u1.wav", 1.0, "É")])

    assert json.loads(path.read_text(encoding="utf-8")) == {
        "id": "u1",
        "audio_filepath": "../wav/u1.wav",
        "duration": 1.0,
        "text": "É",
    }
    assert "É" in path.read_text(encoding="utf-8")


def test_corpus_can_be_moved_as_a_whole(tmp_path: Path) -> None:
    corpus = tmp_path / "here"
    (corpus / "wav").mkdir(parents=True)
    (corpus / "wav" / "u1.wav").write_bytes(b"sound")
    write_manifest(corpus / "train.jsonl", [Utterance("u1", corpus / "wav" / "u1.wav", 1.0, "A")])

    moved = Path(shutil.move(corpus, tmp_path / "there"))

    (utterance,) = read_manifest(moved / "train.jsonl")
    assert utterance.audio_filepath == moved / "wav" / "u1.wav"
    assert utterance.audio_filepath.read_bytes() == b"sound"


def test_relative_manifest_gives_absolute_audio(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(folder, line())
    monkeypatch.chdir(folder)

    (utterance,) = read_manifest("train.jsonl")
    monkeypatch.chdir("/")

    assert utterance.audio_filepath == folder / "u1.wav"
    assert utterance.audio_filepath.is_file()


def test_absolute_paths_are_kept(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = written(tmp_path_factory.mktemp("elsewhere"), line(audio_filepath=f"{folder}/u1.wav"))

    assert read_manifest(path)[0].audio_filepath == folder / "u1.wav"


def test_failed_write_keeps_the_old_manifest(folder: Path) -> None:
    path = folder / "train.jsonl"
    write_manifest(path, [Utterance("u1", folder / "u1.wav", 1.0, "A")])
    before = path.read_bytes()

    with pytest.raises(AsrError, match="cannot write"):
        write_manifest(path, [Utterance("u1", folder / "u1.wav", 1.0, "half \ud800")])

    assert path.read_bytes() == before
    assert sorted(file.name for file in folder.iterdir()) == ["train.jsonl", "u1.wav", "u2.wav"]


def test_a_manifest_that_says_so_already_is_left_alone(folder: Path) -> None:
    path, utterance = folder / "train.jsonl", Utterance("u1", folder / "u1.wav", 1.0, "A")
    write_manifest(path, [utterance])
    file = path.stat().st_ino, path.stat().st_mtime_ns
    write_manifest(path, [utterance])
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == file
    write_manifest(path, [dataclasses.replace(utterance, text="B")])
    assert [u.text for u in read_manifest(path)] == ["B"]


def test_a_part_of_a_recording_is_told_from_the_whole(folder: Path) -> None:
    path = written(folder, line(offset=0), line(id="u2", offset=2.5), line(id="u3", offset=None))

    utterances = read_manifest(path)

    assert [utterance.offset for utterance in utterances] == [0.0, 2.5, None]
    utterances.append(dataclasses.replace(utterances[0], id="u4", channel=2))
    write_manifest(folder / "again.jsonl", utterances)
    assert read_manifest(folder / "again.jsonl") == utterances


@given(
    st.lists(entries, min_size=1, max_size=6, unique_by=lambda entry: entry[0]),
    st.integers(0, 3),
    st.booleans(),
)
def test_a_corpus_agrees_with_its_manifests_line_for_line(
    tmp_path_factory: pytest.TempPathFactory,
    entries: list[tuple[str, str, float, str, str | None]],
    blank: int,
    mark: bool,
) -> None:
    folder = tmp_path_factory.getbasetemp().resolve()
    paths = [folder / "one.jsonl", folder / "two.jsonl"]
    for path, half in zip(paths, (entries, entries[: len(entries) // 2 + 1]), strict=True):
        write_manifest(path, [Utterance(n, folder / f, s, t, p) for n, f, s, t, p in half])
    content = b"\n" * blank + paths[1].read_bytes().replace(b"\n", b"\r\n")
    paths[1].write_bytes(b"\xef\xbb\xbf" * mark + content.removesuffix(b"\r\n"))

    corpus = Corpus.open(paths, require_audio=False)

    expected = [utterance for path in paths for utterance in read_manifest(path, False)]
    assert list(corpus) == expected
    assert [corpus[i] for i in range(len(corpus))] == expected
    assert corpus[-1] == expected[-1]
    assert corpus[1:] == expected[1:]
    assert corpus.durations.tolist() == [utterance.duration for utterance in expected]
    assert corpus.characters == {c for utterance in expected for c in utterance.text}
    assert corpus.shard_indices.tolist() == [-1] * len(expected)
    if corpus.characters:
        table = TokenTable(tuple(sorted(corpus.characters)))
        needed = [minimum_frames(table.encode(utterance.text)) for utterance in expected]
        assert corpus.min_frames.tolist() == needed
        assert corpus.tokens == corpus.characters
    clusters = Corpus.open(paths, require_audio=False, units="graphemes")
    spelled = [split_text(utterance.text, "graphemes") for utterance in expected]
    assert clusters.tokens == {c for characters in spelled for c in characters}
    assert clusters.characters == corpus.characters
    repeats = [sum(a == b for a, b in pairwise(characters)) for characters in spelled]
    needed = [len(c) + more for c, more in zip(spelled, repeats, strict=True)]
    assert clusters.min_frames.tolist() == needed


def test_counts_do_not_depend_on_where_texts_are_parted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["AAB", "", "BB", "B", "", "", "CCC", ""]
    path = written(folder, *(line(id=str(i), text=text) for i, text in enumerate(texts)))
    texts = ["A\u030dA\u030dB", "", "B\u030dB\u030d", "B\u030d"]
    lines = "\n".join(line(id=str(i), text=text) for i, text in enumerate(texts))
    marked = path.with_name("marked.jsonl")
    marked.write_text(lines, encoding="utf-8")

    for chunk in range(1, 10):
        monkeypatch.setattr("asr.corpus.manifest._CHUNK", chunk)
        assert Corpus.open([path]).min_frames.tolist() == [4, 0, 3, 1, 0, 0, 5, 0]
        assert Corpus.open([marked], units="graphemes").min_frames.tolist() == [4, 0, 3, 1]
        assert Corpus.open([marked]).min_frames.tolist() == [5, 0, 4, 2]


def test_ids_may_be_the_same_in_two_manifests(folder: Path) -> None:
    first = written(folder, line())
    second = Path(shutil.copy(first, folder / "other.jsonl"))

    corpus = Corpus.open([first, str(second)])

    assert [utterance.id for utterance in corpus] == ["u1", "u1"]
    assert set(corpus.sha256) == {str(first), str(second)}
    assert len(set(corpus.sha256.values())) == 1


def test_index_beyond_the_corpus(folder: Path) -> None:
    corpus = Corpus.open([written(folder, line())])

    with pytest.raises(IndexError):
        corpus[1]


@pytest.mark.parametrize("change", ["edited", "removed"])
def test_a_manifest_that_changes_under_way_is_refused(folder: Path, change: str) -> None:
    path = written(folder, line(), line(id="u2"))
    corpus = Corpus.open([path])
    if change == "edited":
        path.write_text(line(id="u3") + "\n")
    else:
        path.unlink()

    for use in (lambda: corpus[0], lambda: list(corpus)):
        with pytest.raises(ManifestError, match=r"found it changed|cannot read the manifest"):
            use()


def _first_id(corpus: Corpus) -> str:
    return corpus[0].id


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_read_a_corpus_too(folder: Path, method: str) -> None:
    corpus = Corpus.open([written(folder, line())])

    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(_first_id, (corpus,)) == "u1"


def test_pipes_are_refused_before_they_are_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe.jsonl"
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)
    try:
        assert "it is a pipe, socket or device" in refusal(path)
    finally:
        os.close(writer)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": " "}, "the id is empty"),
        ({"duration": 1e-9}, "duration must be positive seconds"),
        ({"offset": -1.0}, "offset must be 0 or positive seconds"),
    ],
)
def test_what_could_not_be_read_again_is_not_written(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    sound = Utterance("a", tmp_path / "a.wav", 1.0, "YES")
    path = tmp_path / "m.jsonl"
    with pytest.raises(ManifestError, match=f"not written: line 2: .*{message}"):
        write_manifest(path, [sound, dataclasses.replace(sound, **{"id": "b"} | changes)])
    assert not path.exists()
