"""Tags in transcripts: found, counted, replaced and dropped."""

import pytest

from asr.errors import TextError
from asr.text.tags import check_replacements, count_tags, describe_tags, tags, without_tags


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A <unk> B [noise] {laugh}", ["<unk>", "[noise]", "{laugh}"]),
        ("2 < 3 [ ] a > b <> {} [", []),
        ("<UNK>A[x]", ["<UNK>", "[x]"]),
        ("A [background noise] B", ["[background noise]"]),
        ("A [[noise]] B", ["[noise]"]),
        ("<<unk>>", ["<unk>"]),
    ],
)
def test_tags(text: str, found: list[str]) -> None:
    assert tags(text) == found


@pytest.mark.parametrize(
    ("text", "dropped"),
    [
        ("[noise] YES", "YES"),
        ("YES [noise]", "YES"),
        ("YES [noise] NO", "YES NO"),
        ("YES[noise]NO", "YES NO"),
        ("[noise][noise]", ""),
        ("YES {breath}[noise] <unk> NO", "YES NO"),
        ("[background noise] OH", "OH"),
        ("好[noise]的", "好的"),
        ("OK[noise]的", "OK 的"),
        ("2 < 3", "2 < 3"),
        ("[[noise]] YES", "YES"),
        ("<<unk>> YES {{x} y}", "YES"),
        ("[a[b]c] YES", "YES"),
    ],
)
def test_tags_are_dropped(text: str, dropped: str) -> None:
    assert without_tags(text, {}, drop_others=True) == dropped


def test_tags_are_replaced_and_others_stay() -> None:
    text = "<unk>A <unk> [noise] B{x}"
    assert without_tags(text, {"<unk>": "UM", "[noise]": ""}) == "UM A UM B{x}"
    assert without_tags(text, {"<unk>": "UM"}, drop_others=True) == "UM A UM B"
    assert without_tags(text, {"<unk>": "[noise]"}) == "[noise] A [noise] [noise] B{x}"
    assert without_tags(text, {}) == text
    assert without_tags("<a> <b>", {"<a>": "<b>", "<b>": "<a>"}) == "<b> <a>"
    assert without_tags("<a>", {"<a>": "<a>"}, drop_others=True) == "<a>"
    assert without_tags("\ufdd17\ufdd1 <a>", {"<a>": "B"}) == "\ufdd17\ufdd1 <a>"
    assert without_tags("好[x]的", {"[x]": "人"}) == "好人的"
    assert without_tags("[[noise]] A [[x]]", {"[noise]": ""}) == "A [[x]]"


def test_replacements_are_of_tags_that_occur() -> None:
    counts = count_tags(["A <unk>", "<unk> [noise]"])
    check_replacements({"<unk>": ""}, counts)
    with pytest.raises(TextError, match=r"found 'unk'$"):
        check_replacements({"unk": ""}, counts)
    with pytest.raises(TextError, match=r"<UNK>: .* <unk> \(twice\), \[noise\] \(once\)"):
        check_replacements({"<UNK>": ""}, counts)
    with pytest.raises(TextError, match="none at all"):
        check_replacements({"<UNK>": ""}, {})


def test_the_most_frequent_tags_are_named() -> None:
    counts = {f"<{i}>": i for i in range(1, 13)}
    assert describe_tags(counts).startswith("<12> (12 times), <11> (11 times), ")
    assert describe_tags(counts).endswith("<3> (3 times) and 2 more")


@pytest.mark.parametrize(
    "text", ["[ " * 100_000, "[" + " " * 100_000, "<" * 100_000, "{a" * 100_000]
)
def test_brackets_without_end_are_no_tags(text: str) -> None:
    assert without_tags(text, {}, drop_others=True) == " ".join(text.split())
