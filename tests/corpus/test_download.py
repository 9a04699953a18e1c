"""Transfers through fsspec; those over HTTP are tested with the recipes' downloader."""

from collections.abc import Iterator
from pathlib import Path

import fsspec  # type: ignore[import-untyped]
import pytest

from asr.corpus.download import ContentError, DownloadError, check_url, transfer, verify

URL = "memory://download/file.bin"
BODY = bytes(range(256)) * 4000


@pytest.fixture(autouse=True)
def remote() -> Iterator[None]:
    memory = fsspec.filesystem("memory")
    memory.pipe("/download/file.bin", BODY)
    yield
    memory.rm("/download", recursive=True)


@pytest.mark.parametrize("there", [0, 1, 700_000, len(BODY)])
def test_a_transfer_continues_where_the_file_ends(tmp_path: Path, there: int) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(BODY[:there])

    transfer(URL, path, len(BODY))

    assert path.read_bytes() == BODY


def test_more_bytes_than_expected_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    path.touch()

    with pytest.raises(ContentError, match="expected at most 1000 bytes, found more"):
        transfer(URL, path, 1000)

    assert path.stat().st_size <= 1000


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    path.touch()

    with pytest.raises(DownloadError, match="memory://download/none: cannot download it"):
        transfer("memory://download/none", path, 1000)


def test_size_and_digest_are_verified(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"abc")

    verify(path, 3, None, "here")
    with pytest.raises(ContentError, match="here: expected 4 bytes, found 3"):
        verify(path, 4, None, "here")
    with pytest.raises(ContentError, match="here: expected SHA-256 00, found ba7816bf"):
        verify(path, None, "00", "here")


@pytest.mark.parametrize(
    "url",
    [
        "reference://x::file:///etc/passwd",
        "simplecache::s3://bucket/a",
        "s3://bucket/a::file:///etc/passwd",
        "local:///etc/passwd",
        "github://a:b@/c",
        "jupyter://a",
        "://a",
        "\x1b[31m://a",
    ],
)
def test_only_known_kinds_of_urls_are_opened(tmp_path: Path, url: str) -> None:
    path = tmp_path / "part"
    path.touch()
    with pytest.raises(DownloadError, match="expected a URL that begins with one of http, https"):
        transfer(url, path, 1000)
    check_url("HTTPS://[::1]:80/a")
    check_url("s3://bucket/a")
