"""Checkpoint folders: what goes in comes out, damage is found, and a save is one step."""

import errno
import hashlib
import json
import logging
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save as save_tensors

from asr import files
from asr.checkpoint import checkpoint as checkpoint_module
from asr.checkpoint.checkpoint import (
    CARD,
    CONFIG,
    METRICS,
    WEIGHTS,
    load_checkpoint,
    update_metrics,
)
from asr.errors import AsrError, CheckpointError
from tests.checkpoint.support import save_small as save
from tests.checkpoint.support import small_weights

FILES = [CARD, CONFIG, METRICS, WEIGHTS]


@pytest.fixture(autouse=True)
def _quick_saves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some hundred saves: no asking git each time, no waiting for a disk that keeps its power."""
    monkeypatch.setattr(checkpoint_module, "source_commit", lambda: "v1-3-gabc")
    monkeypatch.setattr(checkpoint_module, "package_versions", lambda: {"torch": "2.13.0"})
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(tmp_path / "an4-blstm")
    return tmp_path / "an4-blstm"


def with_valid_hashes(folder: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    """Change `config.json` as a hostile author would: with hashes that match."""
    config = json.loads((folder / CONFIG).read_text())
    for name, record in config["files"].items():
        content = (folder / name).read_bytes()
        record.update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    edit(config)
    config["sha256"] = ""
    blank = json.dumps(config, indent=2)
    digest = hashlib.sha256(blank.encode()).hexdigest()
    (folder / CONFIG).write_text(blank.replace('"sha256": ""', f'"sha256": "{digest}"', 1))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# What goes in comes out


def test_round_trip(folder: Path) -> None:
    loaded = load_checkpoint(str(folder))
    assert loaded.folder == folder
    assert loaded.config["tokens"] == [" ", "A", "É"]
    assert loaded.config["encoder"] == {"cell": "lstm", "hidden": 320, "subsampling": [2, 1]}
    assert loaded.config["features"] == {"kind": "log_mel", "mels": 80, "stack": 3}
    assert loaded.config["recipe"] == "an4"
    assert loaded.config["seed"] == 3
    assert loaded.config["commit"] == "v1-3-gabc"
    assert loaded.config["format_version"] == 1
    assert loaded.config["packages"] == {"torch": "2.13.0"}
    assert loaded.config["weights"] == {"parameters": 16, "dtype": "float32"}
    assert loaded.metrics["an4-test"]["wer_interval"] == [0.065, 0.101]
    assert loaded.weights.keys() == small_weights().keys()
    for name, tensor in small_weights().items():
        assert torch.equal(loaded.weights[name], tensor)
    assert loaded.weights["norm.batches"].dtype == torch.int64
    assert names(folder) == FILES


def test_same_content_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    save(tmp_path / "again" / "an4-blstm")
    for name in FILES:
        assert (folder / name).read_bytes() == (
            tmp_path / "again" / "an4-blstm" / name
        ).read_bytes()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_small_and_loads_as_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    original = torch.randn(2_000, 3_350, generator=torch.Generator().manual_seed(0))  # 6.7 M
    save(tmp_path / "half", weights={"w": original}, dtype=dtype)
    assert sum(path.stat().st_size for path in (tmp_path / "half").iterdir()) < 13.5e6
    loaded = load_checkpoint(tmp_path / "half").weights["w"]
    assert loaded.dtype == torch.float32
    assert torch.equal(loaded, original.to(dtype).float())


def test_weights_that_share_memory_or_need_gradients(tmp_path: Path) -> None:
    flat = torch.arange(12.0, requires_grad=True)
    shared = {"a": flat[:6].view(2, 3).t(), "b": flat[2:8], "c": flat, "double": flat.double()}
    save(tmp_path / "shared", weights=shared)
    loaded = load_checkpoint(tmp_path / "shared").weights
    for name, tensor in shared.items():
        assert torch.equal(loaded[name], tensor.detach().float())


def test_save_replaces_ours_and_keeps_the_rest(folder: Path) -> None:
    (folder / "lm.arpa.gz").write_bytes(b"a language model")
    save(folder, 2.0)
    assert load_checkpoint(folder).metrics["value"] == 2.0
    assert (folder / "lm.arpa.gz").read_bytes() == b"a language model"
    assert names(folder) == sorted([*FILES, "lm.arpa.gz"])


def test_update_metrics(folder: Path) -> None:
    before = load_checkpoint(folder)
    update_metrics(folder, {"fsdd": {"wer": 0.01, "command": "asr evaluate …"}})
    after = load_checkpoint(folder)
    assert after.metrics == {"fsdd": {"wer": 0.01, "command": "asr evaluate …"}}
    assert "| fsdd | **1.00** | `asr evaluate …` |" in (folder / CARD).read_text(encoding="utf-8")
    assert torch.equal(after.weights["layer.weight"], before.weights["layer.weight"])
    changed = {key for key in before.config if before.config[key] != after.config[key]}
    assert changed == {"sha256", "files"}


# What may not be saved


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_diverged_are_refused(folder: Path, value: float) -> None:
    with pytest.raises(CheckpointError, match=r"'layer\.bias' holds NaN or infinity.*diverged"):
        save(folder, weights={"layer.bias": torch.tensor([1.0, value])})
    assert load_checkpoint(folder).metrics["value"] == 1.0


def test_weights_too_large_for_half_precision_are_refused(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"up to 7e\+04, too large for float16"):
        save(folder, weights={"w": torch.tensor([-70_000.0])}, dtype=torch.float16)
    assert load_checkpoint(folder).metrics["value"] == 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": {"wer": float("nan")}}, r"metrics\.json: cannot write as JSON"),
        ({"training": {"data": Path("x")}}, r"config\.json: cannot write as JSON"),
        ({"seed": None}, "expected 'seed' as int, found None"),
        ({"notes": "\ud800"}, "as UTF-8"),
        ({"notes": "x" * 10_000_001}, "would not be read again"),
    ],
)
def test_settings_that_could_not_be_read_again(
    folder: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(AsrError, match=message):
        save(folder, **changes)
    assert load_checkpoint(folder).metrics["value"] == 1.0


def test_files_of_others_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / CARD).write_text("# My project")
    with pytest.raises(CheckpointError, match=r"holds README\.md but is not a checkpoint"):
        save(tmp_path)
    (tmp_path / CONFIG).write_text("{}")
    with pytest.raises(CheckpointError, match=r"holds README\.md, config\.json"):
        save(tmp_path)
    assert (tmp_path / CARD).read_text() == "# My project"


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_folder_that_cannot_be(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AsrError, match=f"{place}: cannot write"):
        save(tmp_path / place)


def test_name_too_long(tmp_path: Path) -> None:
    with pytest.raises(AsrError, match="choose a shorter name"):
        save(tmp_path / ("x" * 300))
    with pytest.raises(CheckpointError, match="File name too long"):
        load_checkpoint(tmp_path / ("x" * 300))


# Damage


def test_not_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"missing: expected a checkpoint folder.*nothing"):
        load_checkpoint(tmp_path / "missing")
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        load_checkpoint(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(b"")
    with pytest.raises(CheckpointError, match="found a file"):
        load_checkpoint(tmp_path / WEIGHTS)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS, METRICS])
def test_missing_empty_and_truncated_files(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    for size in (0, 1, 8, len(content) // 2, len(content) - 1):
        (folder / name).write_bytes(content[:size])
        with pytest.raises(CheckpointError, match=name):
            load_checkpoint(folder)
    (folder / name).write_bytes(content + b"\n")
    with pytest.raises(CheckpointError, match=name):
        load_checkpoint(folder)
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        load_checkpoint(folder)
    (folder / name).mkdir()
    with pytest.raises(CheckpointError, match="expected a regular file"):
        load_checkpoint(folder)


def test_card_may_be_edited_or_missing(folder: Path) -> None:
    (folder / CARD).unlink()
    assert load_checkpoint(folder).metrics["value"] == 1.0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_pipe_does_not_hang(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    os.mkfifo(folder / WEIGHTS)
    with pytest.raises(CheckpointError, match="expected a regular file"):
        load_checkpoint(folder)


@pytest.mark.skipif(os.name == "nt", reason="POSIX only")
def test_link_that_leads_nowhere(folder: Path) -> None:
    (folder / METRICS).unlink()
    (folder / METRICS).symlink_to(folder / METRICS)
    with pytest.raises(CheckpointError, match=r"metrics\.json: cannot read \(Too many levels"):
        load_checkpoint(folder)


def test_huge_files_are_not_read(folder: Path) -> None:
    for name in (WEIGHTS, METRICS, CONFIG):
        with (folder / name).open("r+b") as file:
            file.truncate(2**40)  # sparse: no space is used
        with pytest.raises(CheckpointError, match=f"{name}: expected at most .* bytes"):
            load_checkpoint(folder)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flips") / "small"
    save(folder)
    return folder


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS, METRICS])
@settings(max_examples=100)
@given(data=st.data())
def test_any_changed_byte_is_found(scratch: Path, name: str, data: st.DataObject) -> None:
    content = (scratch / name).read_bytes()
    position = data.draw(st.integers(0, len(content) - 1))
    changed = bytearray(content)
    changed[position] ^= data.draw(st.integers(1, 255))
    (scratch / name).write_bytes(changed)
    try:
        with pytest.raises(CheckpointError, match=name):
            load_checkpoint(scratch)
    finally:
        (scratch / name).write_bytes(content)


@pytest.mark.parametrize("name", [CONFIG, METRICS])
@given(content=st.binary(max_size=50) | st.text(max_size=50).map(str.encode))
def test_any_other_content_is_refused(scratch: Path, name: str, content: bytes) -> None:
    saved = (scratch / name).read_bytes()
    (scratch / name).write_bytes(content)
    try:
        with pytest.raises(CheckpointError, match=name):
            load_checkpoint(scratch)
    finally:
        (scratch / name).write_bytes(saved)


def test_edited_setting_is_found(folder: Path) -> None:
    text = (folder / CONFIG).read_text(encoding="utf-8")
    (folder / CONFIG).write_text(text.replace('"seed": 3', '"seed": 4'), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"config\.json: damaged or altered"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"format_version": 3}, "expected a format version up to 2, found 3; upgrade asr"),
        ({"extra": 1}, "unknown keys: 'extra'"),
        ({"seed": "3"}, "expected 'seed' as int, found '3'"),
        ({"seed": True}, "expected 'seed' as int, found True"),
        ({"weights": []}, r"expected 'weights' as an object, found \[\]"),
        ({"weights": {"parameters": 1}}, r"missing keys: 'weights\.dtype'"),
        ({"files": {}}, r"missing keys: 'files\.metrics\.json', 'files\.model\.safetensors'"),
        ({"tokens": ["A", 1]}, "expected 'tokens' to hold only text"),
        ({"units": "words"}, "expected 'units' as one of characters, graphemes, found 'words'"),
        ({"units": ["graphemes"]}, "expected 'units' as str"),
    ],
)
def test_wrong_settings_with_valid_hashes(folder: Path, edit: dict[str, Any], message: str) -> None:
    with_valid_hashes(folder, lambda config: config.update(edit))
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(folder)


def test_newer_version_is_told_before_anything_else(folder: Path) -> None:
    (folder / CONFIG).write_text('{"format_version": 7, "layout": "unheard of"}')
    with pytest.raises(CheckpointError, match="upgrade asr"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    "text", ["[]", "3", "null", '"x"', "[" * 200_000, '{"a": NaN}', "1" * 5000, "\ud800x"]
)
def test_hostile_json(folder: Path, text: str) -> None:
    for name in (METRICS, CONFIG):
        (folder / name).write_text(text, errors="surrogatepass", encoding="utf-8")
        if name == METRICS:
            with_valid_hashes(folder, lambda config: None)
        with pytest.raises(CheckpointError, match=f"{name}: (not JSON|expected a JSON object)"):
            load_checkpoint(folder)


def header(entry: dict[str, Any]) -> bytes:
    text = json.dumps({"w": entry}).encode()
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x04K\x01.",  # a pickle
        b"\xff" * 8,
        (2**40).to_bytes(8, "little") + b"{}",
        header({"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}),
        header({"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}) + b"\0" * 4,
        header({"dtype": "X9", "shape": [1], "data_offsets": [0, 4]}) + b"\0" * 4,
        header({"dtype": "F8_E8M0", "shape": [1], "data_offsets": [0, 1]}) + b"\xff",
        save_tensors({"w": torch.tensor([1.0, float("nan")])}),
        save_tensors({"w": torch.tensor([1.0, float("inf")], dtype=torch.float16)}),
    ],
)
def test_hostile_weights(folder: Path, content: bytes) -> None:
    (folder / WEIGHTS).write_bytes(content)
    with_valid_hashes(folder, lambda config: None)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: (not a safe|the weight 'w')"):
        load_checkpoint(folder)


# A save is one step


def states(folder: Path) -> float:
    """The value that the checkpoint was saved with, the same in all its parts."""
    loaded = load_checkpoint(folder)
    value = loaded.metrics["value"]
    assert torch.equal(loaded.weights["layer.bias"], small_weights(value)["layer.bias"])
    return float(value)


def killed_at(call: int, action: Callable[[], None]) -> bool:
    """Run `action` in a child that is killed before its nth change to the disk."""
    child = os.fork()
    if child == 0:
        left = call

        def count(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal left
            writes = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if writes or event in {"os.rename", "os.mkdir", "os.rmdir", "os.remove"}:
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        try:
            action()
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")


@needs_fork
@pytest.mark.parametrize("verb", ["save", "update"])
def test_kill_at_any_point_leaves_old_or_new(tmp_path: Path, verb: str) -> None:
    save(tmp_path / "first")
    (tmp_path / "first" / "lm.arpa.gz").write_bytes(b"lm")
    metrics = {"value": 1.0, "more": True}
    found = []
    for call in range(100):
        folder = tmp_path / str(call)
        shutil.copytree(tmp_path / "first", folder)
        if verb == "save":
            killed = killed_at(call, lambda folder=folder: save(folder, 2.0))  # type: ignore[misc]
            found.append(states(folder) == 2.0)
        else:
            killed = killed_at(call, lambda folder=folder: update_metrics(folder, metrics))  # type: ignore[misc]
            found.append(load_checkpoint(folder).metrics == metrics)
        save(folder, 3.0)
        assert states(folder) == 3.0
        assert names(folder) == sorted([*FILES, "lm.arpa.gz"])
        if not killed:
            break
    assert not killed
    assert found == sorted(found)  # old up to one point, new from there on
    assert found.count(False) > 3
    assert found.count(True) > 3


@needs_fork
def test_kill_during_a_first_save_leaves_nothing_or_all(tmp_path: Path) -> None:
    for call in range(100):
        folder = tmp_path / str(call)
        killed = killed_at(call, lambda folder=folder: save(folder))  # type: ignore[misc]
        try:
            value = states(folder)
        except CheckpointError as error:
            message = str(error)
            assert killed
            assert "expected a checkpoint folder" in message or "is missing" in message
        else:
            assert value == 1.0
        save(folder, 2.0)
        assert states(folder) == 2.0
        assert names(folder) == FILES
        if not killed:
            break
    assert not killed


@pytest.mark.slow
@needs_fork
def test_kill_while_mending_what_a_kill_left(tmp_path: Path) -> None:
    torn = tmp_path / "torn"
    save(torn)
    call = 0
    while True:  # the first point at which the new checkpoint counts but is not in place
        assert killed_at(call, lambda: save(torn, 2.0))
        if not files.is_committed(torn):
            break
        call += 1
    assert states(torn) == 2.0
    found = []
    for call in range(100):
        folder = tmp_path / str(call)
        shutil.copytree(torn, folder)
        killed = killed_at(call, lambda folder=folder: save(folder, 3.0))  # type: ignore[misc]
        found.append(states(folder))
        if not killed:
            break
    assert found == sorted(found)
    assert set(found) == {2.0, 3.0}


def test_unsettled_save_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(folder: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    settle = files._finish_commit
    calls = iter([settle, fails])
    monkeypatch.setattr(files, "_finish_commit", lambda folder: next(calls)(folder))
    with caplog.at_level(logging.WARNING):
        save(folder, 2.0)
        assert "not yet moved into place" in caplog.text
        assert states(folder) == 2.0
        assert "next save puts it in place" in caplog.text


def test_full_disk_at_any_point_keeps_the_old(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "lm.arpa.gz").write_bytes(b"lm")
    sync = files.sync
    for allowed in range(100):
        left = allowed

        def fills(path: Path) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            sync(path)

        monkeypatch.setattr(files, "sync", fills)
        try:
            save(folder, 2.0)
            break
        except AsrError as error:
            message = str(error)
        assert str(folder) in message
        assert "free some space" in message
        assert states(folder) == 1.0
        assert names(folder) == sorted([*FILES, "lm.arpa.gz"])
    assert allowed >= 5
    monkeypatch.undo()
    assert states(folder) == 2.0


def test_interrupt_keeps_the_old(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "sync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(folder, 2.0)
    assert states(folder) == 1.0
    assert names(folder) == FILES
