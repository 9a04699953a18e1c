"""The cache of remote shards: downloaded once, verified, bounded, shared by processes."""

import functools
import multiprocessing
import os
import shutil
import threading
import time
from collections.abc import Callable
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]
import pytest
import torch

from asr.corpus import cache as shard_cache
from asr.corpus import download, recordings
from asr.corpus.manifest import Corpus, read_manifest
from asr.corpus.recordings import read_utterance
from asr.corpus.tar import Shard, check_members
from asr.errors import AsrError, AudioError, ConfigError, ManifestError
from asr.files import sha256_of
from tests.corpus.shard_support import published, same_as_source


def test_a_corpus_at_a_url_is_as_one_on_the_disk(source: Path, shards: Path, cache: Path) -> None:
    corpus = Corpus.open([published(shards, "good")])

    assert list(corpus.sha256) == ["memory://good/manifest.jsonl"]
    assert list(corpus.sha256.values()) == [sha256_of(shards / "manifest.jsonl")]
    assert all(shard.is_remote for shard in corpus.shards)
    same_as_source(corpus, source)
    fsspec.filesystem("memory").rm("/good", recursive=True)
    same_as_source(corpus, source)  # from the copies
    assert len(list(cache.glob("*.tar"))) == len(corpus.shards)


def test_shards_may_lie_elsewhere_than_their_manifest(source: Path, shards: Path) -> None:
    remote = published(shards, "elsewhere").removesuffix("/manifest.jsonl")
    for name in ("manifest.jsonl", "shards.json"):
        text = (shards / name).read_text()
        (shards / name).write_text(text.replace('"shard-', f'"{remote}/shard-'))
    for path in shards.glob("*.tar"):
        path.unlink()

    same_as_source(Corpus.open([shards / "manifest.jsonl"]), source)


def test_files_at_a_url_without_shards_are_refused(source: Path) -> None:
    fsspec.filesystem("memory").pipe("/plain/manifest.jsonl", source.read_bytes())

    with pytest.raises(ManifestError, match="line 1: expected recordings in shards"):
        Corpus.open(["memory://plain/manifest.jsonl"], require_audio=False)


@pytest.mark.parametrize("url", ["memory://none/manifest.jsonl", "nosuch://a/b.jsonl"])
def test_urls_that_cannot_be_read_are_named(url: str, cache: Path) -> None:
    with pytest.raises(ManifestError, match=f"{url}: (cannot download it|expected a URL)"):
        Corpus.open([url])
    assert list(cache.iterdir()) == []


def test_a_missing_remote_shard_is_named(shards: Path, cache: Path) -> None:
    corpus = Corpus.open([published(shards, "lacking")])
    fsspec.filesystem("memory").rm("/lacking/shard-000000.tar")

    with pytest.raises(AudioError, match=r"memory://lacking/shard-000000\.tar: cannot download it"):
        read_utterance(corpus[0])
    assert list(cache.glob("*.tar")) == []


@pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b + b"x", lambda b: b"y" + b[1:]])
def test_a_download_of_other_bytes_is_refused_and_not_kept(
    shards: Path, cache: Path, change: Callable[[bytes], bytes]
) -> None:
    corpus = Corpus.open([published(shards, "short")])
    content = (shards / "shard-000000.tar").read_bytes()
    fsspec.filesystem("memory").pipe("/short/shard-000000.tar", change(content))

    with pytest.raises(AudioError, match="the shard is truncated or a different one"):
        read_utterance(corpus[0])
    assert list(cache.glob("*.tar")) == []
    fsspec.filesystem("memory").pipe("/short/shard-000000.tar", content)
    read_utterance(corpus[0])


def test_an_interrupted_download_is_not_taken_for_whole(
    shards: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = Corpus.open([published(shards, "breaking")])
    whole = download._chunks

    def breaking(url: str, remote: Any) -> Any:
        yield next(iter(whole(url, remote)))[:1000]
        raise KeyboardInterrupt

    monkeypatch.setattr(download, "_chunks", breaking)
    with pytest.raises(KeyboardInterrupt):
        read_utterance(corpus[0])
    monkeypatch.setattr(download, "_chunks", whole)

    assert list(cache.glob("*.tar")) == []
    read_utterance(corpus[0])


def test_a_copy_that_was_cut_short_afterwards_is_fetched_again(shards: Path, cache: Path) -> None:
    corpus = Corpus.open([published(shards, "torn")])
    before, _ = read_utterance(corpus[0])
    (copy,) = cache.glob("*.tar")
    os.truncate(copy, 700)

    assert torch.equal(read_utterance(corpus[0])[0], before)


def test_copies_stay_within_their_bound(
    source: Path, shards: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = Corpus.open([published(shards, "bound")])
    largest = max(shard.num_bytes for shard in corpus.shards)
    monkeypatch.setenv(shard_cache.LIMIT_VARIABLE, str(2 * largest / 1e9))
    (cache / ".part-dead.tar").write_bytes(b"of a process that was killed")
    os.utime(cache / ".part-dead.tar", (1, 1))
    (cache / ".part-live.tar").write_bytes(b"of another process")

    for _ in range(2):
        same_as_source(corpus, source)
        kept = list(cache.glob("[!.]*.tar"))
        assert 1 <= len(kept) <= 2
        assert sum(path.stat().st_size for path in kept) <= 2 * largest
    assert not (cache / ".part-dead.tar").exists()
    assert (cache / ".part-live.tar").exists()


def test_the_copy_used_last_is_kept(
    shards: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = Corpus.open([published(shards, "lru")])
    monkeypatch.setenv(
        shard_cache.LIMIT_VARIABLE, str(sum(s.num_bytes for s in corpus.shards[:2]) / 1e9)
    )
    first, second, third = (corpus.shard_indices.tolist().index(group) for group in range(3))
    for i in (first, second):
        read_utterance(corpus[i])
    for age, shard in ((50, corpus.shards[0]), (20, corpus.shards[1])):
        os.utime(cache / f"{shard.sha256}.tar", (time.time() - age,) * 2)
    read_utterance(corpus[first])
    read_utterance(corpus[third])

    kept = {path.stem for path in cache.glob("*.tar")}
    assert corpus.shards[1].sha256 not in kept
    assert corpus.shards[0].sha256 in kept


def test_members_of_a_copy_are_checked_once(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = Corpus.open([published(shards, "once")])
    checked: list[Shard] = []

    def check(file: Any, shard: Shard, known: Any) -> None:
        checked.append(shard)
        check_members(file, shard, known)

    monkeypatch.setattr(recordings, "check_members", check)
    for _ in range(2):
        for utterance in corpus:
            read_utterance(utterance)

    assert checked == list(corpus.shards)


def test_a_copy_that_is_always_dropped_is_told_of(
    shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = Corpus.open([published(shards, "dropped")])
    download_shard = shard_cache._download_shard

    def dropped(url: str, num_bytes: int, sha256: str, path: Path) -> None:
        opened = download_shard(url, num_bytes, sha256, path)
        assert opened is not None
        opened.close()
        path.unlink()

    monkeypatch.setattr(shard_cache, "_download_shard", dropped)
    with pytest.raises(AudioError, match=r"found it removed 5 times; .*raise ASR_CACHE_GB"):
        read_utterance(corpus[0])


def test_who_waited_for_another_process_does_not_fetch_again(
    shards: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = Corpus.open([published(shards, "waited")])
    shard = corpus.shards[0]
    look = shard_cache._open_complete

    def looked_before_the_other_was_done(path: Path, num_bytes: int) -> Any:
        found = look(path, num_bytes)
        if found is None:
            shutil.copy(shards / "shard-000000.tar", path)
        return found

    monkeypatch.setattr(shard_cache, "_open_complete", looked_before_the_other_was_done)
    monkeypatch.setattr(shard_cache, "transfer", None)
    read_utterance(corpus[0])
    assert (cache / f"{shard.sha256}.tar").exists()


def test_a_copy_that_cannot_be_opened_is_named(shards: Path, cache: Path) -> None:
    corpus = Corpus.open([published(shards, "folder")])
    (cache / f"{corpus.shards[0].sha256}.tar").mkdir()

    with pytest.raises(AsrError, match=r"\.tar: cannot write \(Is a directory\)"):
        read_utterance(corpus[0])


@pytest.mark.parametrize("stated", ["much", "-1", "nan"])
def test_a_bound_that_is_no_number_is_refused(
    shards: Path, monkeypatch: pytest.MonkeyPatch, stated: str
) -> None:
    corpus = Corpus.open([published(shards, "limit")])
    monkeypatch.setenv(shard_cache.LIMIT_VARIABLE, stated)

    with pytest.raises(ConfigError, match=f"ASR_CACHE_GB: expected gigabytes .*'{stated}'"):
        read_utterance(corpus[0])


def test_a_folder_of_copies_that_cannot_be_written_is_named(
    shards: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(shard_cache.FOLDER_VARIABLE, str(shards / "shards.json"))

    with pytest.raises(AsrError, match=r"shards\.json: cannot write"):
        Corpus.open([published(shards, "unwritable")])


def test_copies_lie_in_the_users_folder_of_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(shard_cache.FOLDER_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert shard_cache.cache_folder() == Path("/caches/asr")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert shard_cache.cache_folder() == Path.home() / ".cache" / "asr"


def _read_all(path: str) -> list[float]:
    corpus = Corpus.open([path])
    return [float(read_utterance(utterance)[0].sum()) for utterance in corpus]


def test_several_processes_may_fetch_at_once(
    source: Path, shards: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest = max(path.stat().st_size for path in shards.glob("*.tar"))
    monkeypatch.setenv(shard_cache.LIMIT_VARIABLE, str(1.5 * largest / 1e9))
    expected = [float(read_utterance(u)[0].sum()) for u in read_manifest(source)]

    with multiprocessing.get_context("fork").Pool(3) as pool:
        results = pool.map(_read_all, [f"file://{shards}/manifest.jsonl"] * 6)

    assert results == [expected] * 6


def test_a_corpus_at_an_http_address_is_read(
    source: Path, shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Keep the output of the tests clean."""

    handler = functools.partial(Handler, directory=str(shards))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            address = f"http://127.0.0.1:{server.server_port}"
            same_as_source(Corpus.open([f"{address}/manifest.jsonl"]), source)
            with pytest.raises(ManifestError, match="the server answered 404"):
                Corpus.open([f"{address}/none.jsonl"])
        finally:
            server.shutdown()
            thread.join()
