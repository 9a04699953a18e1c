"""The downloader, with a local HTTP server, and the unpacker."""

import hashlib
import io
import random
import socket
import stat
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from recipes.download import DownloadError, download, download_first, unpack

BODY = random.Random(0).randbytes(700_000)
SHA256 = hashlib.sha256(BODY).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves BODY at paths that behave differently; the server keeps the Range headers seen."""

    def log_message(self, *_: object) -> None:
        """Keep the tests' output clean."""

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        assert isinstance(self.server, Server)
        self.server.ranges.append(asked)
        kind = self.path.split("/")[1]
        start = 0 if asked is None or kind == "plain" else int(asked[len("bytes=") : -1])
        if kind == "missing":
            self.send_error(404)
            return
        if start >= len(BODY):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            shown = 0 if kind == "confused" else start
            self.send_header("Content-Range", f"bytes {shown}-{len(BODY) - 1}/{len(BODY)}")
        if kind != "unmeasured":
            self.send_header("Content-Length", str(len(BODY) - start))
        self.end_headers()
        body = BODY[start:]
        self.wfile.write(body[: len(body) // 2] if kind == "torn" else body)


class Server(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ranges: list[str | None] = []

    def url(self, kind: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{kind}/corpus.bin"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("kind", ["ranged", "plain", "unmeasured"])
def test_a_file_is_downloaded_and_verified(server: Server, tmp_path: Path, kind: str) -> None:
    target = tmp_path / "new" / "corpus.bin"
    assert download(server.url(kind), target, len(BODY), SHA256) == target
    assert target.read_bytes() == BODY
    assert [path.name for path in target.parent.iterdir()] == ["corpus.bin"]


def test_a_valid_file_is_not_downloaded_again(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "corpus.bin"
    target.write_bytes(BODY)
    download(server.url("ranged"), target, len(BODY), SHA256)
    assert server.ranges == []


def test_an_invalid_file_is_reported_and_kept(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "corpus.bin"
    target.write_bytes(b"something else")
    with pytest.raises(
        DownloadError, match=f"expected {len(BODY)} bytes, found 14; .*Delete .* and run again"
    ):
        download(server.url("ranged"), target, len(BODY), SHA256)
    with pytest.raises(DownloadError, match=f"expected SHA-256 {SHA256}"):
        download(server.url("ranged"), target, None, SHA256)
    assert target.read_bytes() == b"something else"


def test_an_interrupted_transfer_is_continued(server: Server, tmp_path: Path) -> None:
    target, part = tmp_path / "corpus.bin", tmp_path / "corpus.bin.part"
    with pytest.raises(DownloadError, match=r"ended after 350000 of 700000 bytes; .*Run again"):
        download(server.url("torn"), target, len(BODY), SHA256)
    assert part.read_bytes() == BODY[:350_000]
    assert not target.exists()
    download(server.url("ranged"), target, len(BODY), SHA256)
    assert server.ranges == [None, "bytes=350000-"]
    assert target.read_bytes() == BODY
    assert not part.exists()


def test_without_range_support_the_transfer_starts_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "corpus.bin.part").write_bytes(BODY[:1000])
    target = download(server.url("plain"), tmp_path / "corpus.bin", len(BODY), SHA256)
    assert server.ranges == ["bytes=1000-"]
    assert target.read_bytes() == BODY


def test_a_complete_partial_file_needs_no_server(server: Server, tmp_path: Path) -> None:
    (tmp_path / "corpus.bin.part").write_bytes(BODY)
    target = download(server.url("ranged"), tmp_path / "corpus.bin", len(BODY), SHA256)
    assert server.ranges == []
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("size", [None, len(BODY)])
def test_a_partial_file_that_is_too_long_is_downloaded_again(
    server: Server, tmp_path: Path, size: int | None
) -> None:
    (tmp_path / "corpus.bin.part").write_bytes(BODY + b"more")
    target = download(server.url("ranged"), tmp_path / "corpus.bin", size, SHA256)
    assert target.read_bytes() == BODY


def test_a_continuation_from_a_wrong_offset_is_refused(server: Server, tmp_path: Path) -> None:
    (tmp_path / "corpus.bin.part").write_bytes(BODY[:1000])
    with pytest.raises(DownloadError, match="expected bytes from 1000 on, found 'bytes 0-"):
        download(server.url("confused"), tmp_path / "corpus.bin", len(BODY), SHA256)


def test_a_wrong_checksum_leaves_no_file(server: Server, tmp_path: Path) -> None:
    (tmp_path / "corpus.bin.part").write_bytes(b"\0" * 1000)
    with pytest.raises(DownloadError, match=f"expected SHA-256 {SHA256}, found .* --source"):
        download(server.url("ranged"), tmp_path / "corpus.bin", len(BODY), SHA256)
    assert list(tmp_path.iterdir()) == []


def test_more_bytes_than_expected_are_refused(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="at most 1000 bytes"):
        download(server.url("ranged"), tmp_path / "corpus.bin", 1000)
    assert (tmp_path / "corpus.bin.part").stat().st_size <= 1000


def test_without_a_published_checksum_the_first_is_recorded_and_compared(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target, record = tmp_path / "corpus.bin", tmp_path / "corpus.bin.sha256"
    download(server.url("ranged"), target)
    assert record.read_text() == f"{SHA256}  corpus.bin\n"
    assert SHA256 in capsys.readouterr().err
    download(server.url("ranged"), target)
    target.write_bytes(BODY[:-1])
    with pytest.raises(DownloadError, match=f"expected SHA-256 {SHA256}"):
        download(server.url("ranged"), target)


def test_unreachable_addresses_are_reported(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "corpus.bin"
    with pytest.raises(DownloadError, match="the server answered 404"):
        download(server.url("missing"), target)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        offline = f"http://127.0.0.1:{closed.getsockname()[1]}/corpus.bin"
        with pytest.raises(DownloadError, match=r"cannot download it .*--source"):
            download(offline, target)
        assert download_first([offline, server.url("ranged")], target, sha256=SHA256) == target
        target.unlink()
        with pytest.raises(DownloadError, match=r"(?s)cannot download it.*answered 404"):
            download_first([offline, server.url("missing")], target)
    with pytest.raises(DownloadError, match="expected an http"):
        download("file:///etc/hostname", target)


def test_a_silent_server_times_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/corpus.bin"
        with pytest.raises(DownloadError, match="timed out"):
            download(url, tmp_path / "corpus.bin", timeout_seconds=0.1)


def test_a_folder_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DownloadError, match="cannot write"):
        download("http://127.0.0.1/corpus.bin", tmp_path / "file" / "corpus.bin")


def make_tar(path: Path, *members: tarfile.TarInfo, data: bytes = b"speech") -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            member.size = len(data) if member.isreg() else 0
            tar.addfile(member, io.BytesIO(data))
    return path


def tar_link(name: str, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member


def make_zip(path: Path, *members: zipfile.ZipInfo | str, data: bytes = b"speech") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in members:
            archive.writestr(member, data)
    return path


def zip_link(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_archives_are_unpacked_once(tmp_path: Path, kind: str) -> None:
    archive = tmp_path / "archive"
    if kind == "tar":
        make_tar(archive, tarfile.TarInfo("an4/wav/a.wav"))
    else:
        make_zip(archive, zipfile.ZipInfo("an4/"), "an4/wav/a.wav")
    folder = unpack(archive, tmp_path / "deep" / "out")
    assert (folder / "an4" / "wav" / "a.wav").read_bytes() == b"speech"
    archive.unlink()
    assert unpack(archive, folder) == folder
    assert [path.name for path in folder.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("name", ["../escaped", "a/../../escaped", "link"])
def test_members_outside_the_folder_are_refused_by_name(tmp_path: Path, name: str) -> None:
    tar_member = tar_link(name, "../../etc") if name == "link" else tarfile.TarInfo(name)
    zip_member = zip_link(name) if name == "link" else zipfile.ZipInfo(name)
    for archive in (
        make_tar(tmp_path / "a.tgz", tar_member),
        make_zip(tmp_path / "a.zip", zip_member),
    ):
        with pytest.raises(DownloadError, match=f"refused the member '{name}'"):
            unpack(archive, tmp_path / "in" / "out")
    assert list((tmp_path / "in").iterdir()) == []
    assert not (tmp_path / "escaped").exists()


def test_absolute_and_backslash_names_of_a_zip_are_refused(tmp_path: Path) -> None:
    for number, name in enumerate(("/tmp/escaped", "..\\escaped")):
        archive = make_zip(tmp_path / f"{number}.zip", zipfile.ZipInfo(name))
        with pytest.raises(DownloadError, match="outside the folder"):
            unpack(archive, tmp_path / "out")


def test_devices_are_refused(tmp_path: Path) -> None:
    member = tarfile.TarInfo("pipe")
    member.type = tarfile.FIFOTYPE
    with pytest.raises(DownloadError, match="refused the member 'pipe'"):
        unpack(make_tar(tmp_path / "a.tgz", member), tmp_path / "out")


def test_archives_beyond_the_limits_are_not_unpacked(tmp_path: Path) -> None:
    zeros = bytes(100_000)
    for archive in (
        make_tar(tmp_path / "a.tgz", tarfile.TarInfo("zeros"), data=zeros),
        make_zip(tmp_path / "a.zip", "zeros", data=zeros),
    ):
        assert archive.stat().st_size < 1000
        with pytest.raises(DownloadError, match="100000 bytes so far; the limits"):
            unpack(archive, tmp_path / "out", max_bytes=50_000)
    assert not (tmp_path / "out").exists()


def test_damaged_archives_leave_no_folder(tmp_path: Path) -> None:
    whole = make_tar(tmp_path / "a.tgz", tarfile.TarInfo("a"), data=BODY).read_bytes()
    zipped = bytearray(make_zip(tmp_path / "a.zip", "a", data=BODY).read_bytes())
    zipped[1000:1100] = bytes(100)
    archive = tmp_path / "damaged"
    for data in (whole[: len(whole) // 2], bytes(zipped), b"<html>not found</html>", b""):
        archive.write_bytes(data)
        with pytest.raises(DownloadError, match="damaged: cannot unpack"):
            unpack(archive, tmp_path / "in" / "out")
        assert list((tmp_path / "in").iterdir()) == []
    with pytest.raises(DownloadError, match="cannot unpack"):
        unpack(tmp_path / "absent", tmp_path / "in" / "out")


def test_partial_folders_of_an_interrupted_unpacking_are_removed(tmp_path: Path) -> None:
    (tmp_path / "out.part").mkdir()
    (tmp_path / "out.part" / "half").write_bytes(b"")
    folder = unpack(make_tar(tmp_path / "a.tgz", tarfile.TarInfo("a")), tmp_path / "out")
    assert [path.name for path in folder.iterdir()] == ["a"]
