"""`asr runs` as a user runs it."""

import json
import os
from pathlib import Path

import pytest

from asr.config import override
from asr.files import write_json_atomic
from asr.training import Config
from tests.support import Command, run_python
from tests.training_support import metrics, note_start, write_run

WIDE = "1000"


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", WIDE)


def table(text: str) -> list[dict[str, str]]:
    """The first part of a printed table: cells have at most one space in a row within them."""
    heading, *rows = [line.split("  ") for line in text.split("\n\n")[0].splitlines()]
    names = [name.strip() for name in heading if name]
    return [dict(zip(names, [cell.strip() for cell in row if cell], strict=True)) for row in rows]


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A finished run and one under way that differ in three settings."""
    config = override(
        Config(), ['data.train=["corpora/one/train.jsonl", "more.jsonl"]', "optim.epochs=2"]
    )
    done = write_run(
        tmp_path / "runs" / "done",
        metrics(1, 0.2, 0.4, train_seconds=60, dev_seconds=30, skipped=3, audio_seconds=3600),
        metrics(2, 0.1, 0.3, train_seconds=60, dev_seconds=30, skipped=0, audio_seconds=3600),
        config=config,
    )
    note_start(done)
    (done / "checkpoint").mkdir()
    figures = {"dev": {"wer": 0.25, "cer": 0.05}, "epochs": 2}
    write_json_atomic(done / "checkpoint" / "metrics.json", figures)
    write_json_atomic(done / "checkpoint" / "config.json", {"weights": {"parameters": 1_234_567}})
    settings = ['data.train=["corpora/two/train.jsonl", "more.jsonl"]', "optim.epochs=90", "seed=7"]
    write_run(
        tmp_path / "runs" / "group" / "going",
        metrics(1, 0.05, 0.35, train_seconds=6),
        config=override(config, settings),
    )
    return tmp_path / "runs"


def test_runs_stand_side_by_side(pair: Path, asr_command: Command) -> None:
    done = asr_command("runs", pair)

    assert (done.code, done.stderr) == (0, "")
    assert table(done.stdout) == [
        {
            "run": "group/going",
            "state": "unfinished",
            "epochs": "1/90",
            "WER": "35.00%",
            "CER": "5.00%",
            "at epoch": "1",
            "last loss": "8.000",
            "final WER": "-",
            "final CER": "-",
            "minutes": "0.1",
            "hours of audio": "-",
            "starts": "-",
            "skipped": "-",
            "parameters": "-",
            "seed": "7",
            "data.train": "…two…",
            "optim.epochs": "90",
        },
        {
            "run": "done",
            "state": "finished",
            "epochs": "2/2",
            "WER": "30.00%",
            "CER": "10.00%",
            "at epoch": "2",
            "last loss": "8.000",
            "final WER": "25.00%",
            "final CER": "5.00%",
            "minutes": "3.0",
            "hours of audio": "2.0",
            "starts": "1",
            "skipped": "3",
            "parameters": "1,234,567",
            "seed": "0",
            "data.train": "…one…",
            "optim.epochs": "2",
        },
    ]


@pytest.mark.parametrize(
    ("order", "first"),
    [("cer", "group/going"), ("wer", "done"), ("name", "done"), ("time", "group/going")],
)
def test_runs_are_sorted_as_asked(pair: Path, asr_command: Command, order: str, first: str) -> None:
    done = asr_command("runs", pair, "--sort", order)

    assert table(done.stdout)[0]["run"] == first


def test_a_run_alone_has_no_settings_to_compare(pair: Path, asr_command: Command) -> None:
    done = asr_command("runs", pair / "done")

    (row,) = table(done.stdout)
    assert row["run"] == "done"
    assert list(row)[-1] == "parameters"


def test_figures_are_written_as_json_and_curves_drawn(pair: Path, asr_command: Command) -> None:
    write_run(pair / "early", metrics(1, float("nan")) | {"dev_wer": 1.0})
    picture, figures = pair / "curves.png", pair / "runs.json"
    done = asr_command("runs", pair, "--plot", picture, "--json", figures, "--sort", "name")

    assert done.code == 0, done.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")
    found = json.loads(figures.read_text())
    assert found["broken"] == []
    finished, early, going = found["runs"]
    assert (finished["name"], early["name"], going["name"]) == ("done", "early", "group/going")
    assert (finished["state"], finished["minutes"], finished["skipped"]) == ("finished", 3.0, 3)
    assert finished["best"]["dev_cer"] == 0.1
    assert finished["checkpoint"]["dev"]["wer"] == 0.25
    assert finished["config"]["optim"]["epochs"] == 2
    assert (going["hours_of_audio"], going["parameters"]) == (None, None)
    assert early["last"]["dev_cer"] is None


def test_broken_runs_are_listed_and_the_others_shown(pair: Path, asr_command: Command) -> None:
    (write_run(pair / "torn") / "config.json").write_text("{")
    (pair / "empty").mkdir()
    done = asr_command(
        *("runs", pair, pair / "empty", pair / "nowhere", "--json", pair / "runs.json")
    )

    assert done.code == 1
    assert [row["run"] for row in table(done.stdout)] == ["group/going", "done"]
    torn, empty, nowhere = done.stderr.splitlines()
    assert torn.startswith(f"error: {pair / 'torn' / 'config.json'}: not JSON")
    assert empty.startswith(f"error: {pair / 'empty'}: no run here")
    assert nowhere.startswith(f"error: {pair / 'nowhere'}: cannot list (No such file")
    assert len(json.loads((pair / "runs.json").read_text())["broken"]) == 3


def test_no_run_at_all_is_an_error(tmp_path: Path, asr_command: Command) -> None:
    assert asr_command("runs", tmp_path).error.startswith(f"{tmp_path}: no run here")


def test_nothing_to_draw_is_said(tmp_path: Path, asr_command: Command) -> None:
    done = asr_command("runs", write_run(tmp_path / "young"), "--plot", tmp_path / "c.svg")

    assert done.code == 1
    assert (
        done.stderr
        == f"error: {tmp_path / 'c.svg'}: not written, because no run has finished an epoch yet\n"
    )
    assert table(done.stdout)[0]["epochs"].startswith("0/")


@pytest.mark.parametrize("option", ["--plot", "--json"])
def test_an_output_without_a_folder_is_refused_first(
    pair: Path, asr_command: Command, option: str
) -> None:
    output = pair / "none" / "file.svg"

    assert asr_command("runs", pair, option, output).error.endswith("create it first")


@pytest.mark.parametrize("arguments", [["--plot", "curves.txt"], ["--sort", "luck"]])
def test_wrong_usage(pair: Path, asr_command: Command, arguments: list[str]) -> None:
    done = asr_command("runs", pair, *arguments)

    assert (done.code, done.stdout) == (2, "")


def test_a_run_that_links_lead_to_is_shown_once(pair: Path, asr_command: Command) -> None:
    (pair / "link").symlink_to(pair / "done")
    done = asr_command("runs", pair, pair / "done", f"{pair}/group/../done")

    assert [row["run"] for row in table(done.stdout)] == ["group/going", "done"]


def test_identical_names_are_told_apart_by_their_folders(
    tmp_path: Path, asr_command: Command
) -> None:
    folders = [write_run(tmp_path / outer / "an4", metrics(1, 0.1)) for outer in ("a", "b")]
    done = asr_command("runs", *folders)

    assert [row["run"] for row in table(done.stdout)] == ["a/an4", "b/an4"]


def test_a_narrow_terminal_gets_the_table_in_parts(
    pair: Path, asr_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = table(asr_command("runs", pair).stdout)
    monkeypatch.setenv("COLUMNS", "60")
    narrow = asr_command("runs", pair).stdout

    assert max(map(len, narrow.splitlines())) <= 60
    parts = [table(part) for part in narrow.split("\n\n")]
    assert len(parts) > 2
    assert [
        {name: cell for part in parts for name, cell in part[row].items()} for row in range(2)
    ] == wide


def test_long_names_are_cut_and_stay_apart(
    tmp_path: Path, asr_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    for name in ("first", "second"):
        write_run(tmp_path / f"{name}-{'x' * 80}-{name}", metrics(1, 0.1))
    done = asr_command("runs", tmp_path)
    names = [line.split("  ")[0] for line in done.stdout.split("\n\n")[0].splitlines()[1:]]
    assert names == ["first-xxx…xxx-first", "second-xx…xx-second"]

    asr_command("runs", tmp_path, "--plot", tmp_path / "curves.svg")
    legend = f"first-{'x' * 23}…{'x' * 23}-first"
    assert legend in (tmp_path / "curves.svg").read_text("utf-8")

    write_run(tmp_path / f"first-{'x' * 81}-first", metrics(1, 0.1))  # alike, if cut
    done = asr_command("runs", tmp_path)
    names = [line.split("  ")[0] for line in done.stdout.split("\n\n")[0].splitlines()[1:]]
    assert sorted(map(len, names)) == [92, 93, 94]


def test_long_settings_that_look_alike_when_cut_get_notes(
    tmp_path: Path, asr_command: Command
) -> None:
    begin, end = "b" * 40, "e" * 40
    texts = [f"{begin} 1 {end}", f"{begin} 2 {end}", "short", ""]
    for number, text in enumerate(texts):
        config = override(Config(), [f'data.description="{text}"'])
        write_run(tmp_path / f"run{number}", metrics(1, 0.1), config=config)
    done = asr_command("runs", tmp_path)

    cells = [row["data.description"] for row in table(done.stdout)]
    assert cells == ["[1]", "[2]", "short", '""']
    assert done.stdout.endswith(
        f"\n\ndata.description [1]: {texts[0]}\ndata.description [2]: {texts[1]}\n"
    )


def test_lists_in_another_order_are_told_apart(tmp_path: Path, asr_command: Command) -> None:
    for name, order in (("ab", '["a", "b"]'), ("ba", '["b", "a"]'), ("none", "[]")):
        config = override(Config(), [f"data.train={order}"])
        write_run(tmp_path / name, metrics(1, 0.1), config=config)

    rows = table(asr_command("runs", tmp_path / "ab", tmp_path / "ba").stdout)
    assert [row["data.train"] for row in rows] == ["a,b", "b,a"]
    rows = table(asr_command("runs", tmp_path).stdout)
    assert [row["data.train"] for row in rows] == ["a,b", "b,a", "[]"]


def test_paths_are_cut_to_what_tells_them_apart(tmp_path: Path, asr_command: Command) -> None:
    for name in ("ann", "ben"):
        settings = [f"data.dev=/some/where/far/away/{name}/dev.jsonl"]
        write_run(tmp_path / name, metrics(1, 0.1), config=override(Config(), settings))

    rows = table(asr_command("runs", tmp_path).stdout)
    assert [row["data.dev"] for row in rows] == ["…ann…", "…ben…"]


def test_control_characters_do_not_reach_the_terminal(tmp_path: Path, asr_command: Command) -> None:
    write_run(tmp_path / "red\x1b[31m", metrics(1, 0.1))

    assert table(asr_command("runs", tmp_path).stdout)[0]["run"] == "red\\x1b[31m"


@pytest.mark.slow
def test_a_pipe_gets_a_line_for_each_run(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS")
    done = run_python("-m", "asr", "runs", os.path.relpath(pair, Path.cwd()))

    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 3
