"""The commands that read text files, and how the files are damaged, for `tests.benchmarks.text`."""

import gzip
import hashlib
import json
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from asr.checkpoint.checkpoint import CONFIG, METRICS, WEIGHTS
from asr.checkpoint.integrity import json_with_digest
from asr.errors import AsrError
from tests.benchmarks.mutations import CONTROLS, json_value_replaced, mutated

Damage = Callable[[Path, str, random.Random], None]


@dataclass(frozen=True)
class Target:
    """Files, of which one is damaged, and the commands that read them afterwards."""

    name: str
    victims: tuple[str, ...]
    """Paths of the files to be damaged."""
    commands: tuple[str, ...]
    """One of them is run; what it writes goes to `out`."""
    damage: Damage
    weight: int = 1
    """How many cases of it there are beside the others."""


def damage_file(folder: Path, victim: str, rng: random.Random) -> None:
    """Change a file; the content of a gzip file rather than the file, half of the time."""
    path = folder / victim
    content = path.read_bytes()
    if victim.endswith(".gz") and rng.random() < 0.7:
        path.write_bytes(gzip.compress(mutated(gzip.decompress(content), rng)))
    else:
        path.write_bytes(mutated(content, rng))


def damage_checkpoint(folder: Path, victim: str, rng: random.Random) -> None:
    """Change a file of a checkpoint and, mostly, make the hashes fit again as a forger would."""
    path = folder / victim
    content = path.read_bytes()
    if path.name == WEIGHTS:
        end = 8 + int.from_bytes(content[:8], "little")
        header = mutated(content[8:end], rng)
        path.write_bytes(len(header).to_bytes(8, "little") + header + content[end:])
    elif path.name == CONFIG and rng.random() < 0.15:
        path.write_bytes(_with_control_tokens(content, rng))
    elif path.suffix == ".json" and rng.random() < 0.7:
        path.write_bytes(json_value_replaced(content, rng))
    else:
        path.write_bytes(mutated(content, rng))
    if rng.random() < 0.9:
        _make_hashes_fit(path.parent)


def _with_control_tokens(content: bytes, rng: random.Random) -> bytes:
    config = json.loads(content)
    controls = [c for c in CONTROLS if len(c) == 1]
    count = rng.randrange(1, 12)
    kept = config["tokens"][: len(config["tokens"]) - count]
    config["tokens"] = sorted(set(kept) | set(rng.sample(controls, count)))
    return json.dumps(config).encode()


def _make_hashes_fit(folder: Path) -> None:
    with suppress(ValueError, RecursionError, AttributeError, TypeError, KeyError, AsrError):
        config = json.loads((folder / CONFIG).read_bytes())
        for name in (WEIGHTS, METRICS):
            content = (folder / name).read_bytes()
            sha256 = hashlib.sha256(content).hexdigest()
            config["files"][name] = {"bytes": len(content), "sha256": sha256}
        first = {"format_version": config.pop("format_version"), "sha256": config.pop("sha256")}
        content = json_with_digest(first | config, folder / CONFIG)
        (folder / CONFIG).write_bytes(content)


def damage_shards(folder: Path, victim: str, rng: random.Random) -> None:
    """Change an index of shards: often only where they are said to lie."""
    path = folder / victim
    if path.name != "shards.json" or rng.random() < 0.6:
        damage_file(folder, victim, rng)
        return
    index = json.loads(path.read_bytes())
    name, shard = next(iter(index["shards"].items()))
    url = rng.choice(
        (
            "reference://x::file:///etc/passwd",
            "memory://a",
            "file:///etc/passwd",
            "local:///etc/passwd",
            "github://org:repo@/x",
            "simplecache::file:///etc/passwd",
            "tar://a::file:///etc/passwd",
            "http://[::1",
            "ftp://localhost:1/x",
            "../../../etc/passwd",
            "/etc/passwd",
            "\x1b[31m://x",
        )
    )
    path.write_text(json.dumps(index | {"shards": {url: shard}}))
    manifest = path.parent / "manifest.jsonl"
    manifest.write_text(manifest.read_text().replace(json.dumps(name), json.dumps(url)))


def damage_settings(folder: Path, victim: str, rng: random.Random) -> None:
    """Write a file of words for `--set` on the command line."""
    (folder / victim).write_bytes(mutated((folder / victim).read_bytes(), rng))


_TRAIN = "train --train train.jsonl --dev train.jsonl -o out"
TARGETS = (
    Target(
        "manifest",
        ("m.jsonl",),
        (
            "shard m.jsonl -o out",
            "evaluate tiny m.jsonl --json out/e.json --hypotheses out/h.jsonl --word_timestamps",
            "align tiny m.jsonl -o out -f ctm --min_match 0",
            "align tiny m.jsonl -o out -f textgrid --min_match 0",
            "score m.jsonl m.jsonl --json out/s.json --by_speaker",
            "lm train m.jsonl -o out/lm.arpa",
            "train --train m.jsonl --dev m.jsonl -o out --config train.json",
        ),
        damage_file,
        5,
    ),
    Target(
        "ARPA",
        ("lm.arpa", "lm.arpa.gz", "characters.arpa"),
        (
            "lm score {} words.txt --by_sentence --json out/s.json",
            "transcribe tiny a.wav --lm {} -o out -f all --beam_size 4",
        ),
        damage_file,
        4,
    ),
    Target(
        "LM text", ("words.txt",), ("lm train words.txt -o out/lm.arpa --order 2",), damage_file
    ),
    Target(
        "JSGF",
        ("g.jsgf",),
        ("transcribe tiny a.wav --grammar g.jsgf -o out -f json",),
        damage_file,
        4,
    ),
    Target(
        "lexicon",
        ("lexicon.txt",),
        ("transcribe tiny a.wav --lexicon lexicon.txt -o out -f srt",),
        damage_file,
        2,
    ),
    Target(
        "hot words",
        ("hot.txt",),
        ("transcribe tiny a.wav --hotwords @hot.txt -o out -f vtt",),
        damage_file,
        1,
    ),
    Target(
        "transcripts",
        ("r.trn", "r.jsonl", "r.text"),
        ("score {} {} --json out/s.json", "score {} r2.jsonl", "score r2.jsonl {} --worst 100"),
        damage_file,
        4,
    ),
    Target(
        "text to align", ("said.txt",), ("align tiny a.wav said.txt --min_match 0",), damage_file
    ),
    Target("settings", ("train.json",), (f"{_TRAIN} --config train.json",), damage_file, 4),
    Target(
        "--set",
        ("set.txt",),
        (f"{_TRAIN} --config train.json --set @set.txt",),
        damage_settings,
        2,
    ),
    Target(
        "checkpoint",
        (
            "tiny/config.json",
            "tiny/config.json",
            "tiny/metrics.json",
            "tiny/model.safetensors",
            "tiny/lm.arpa.gz",
        ),
        (
            "describe tiny",
            "transcribe tiny a.wav -o out -f all --lm none",
            "transcribe tiny a.wav",
            "transcribe tiny a.wav -f tsv",
            "transcribe tiny a.wav b.wav --word_timestamps",
            "evaluate tiny m.jsonl --json out/e.json --hypotheses out/h.jsonl --lm none",
            "align tiny a.wav said.txt --min_match 0 -f ctm --lm none",
            "average tiny tiny2 -o out",
            "average tiny2 tiny -o out",
            "tune tiny2 --like tiny",
            f"{_TRAIN} --init_from tiny",
        ),
        damage_checkpoint,
        8,
    ),
    Target(
        "shards.json",
        ("shards/shards.json", "shards/manifest.jsonl"),
        (
            "shard shards/manifest.jsonl -o out",
            "evaluate tiny shards/manifest.jsonl",
            "train --train shards/manifest.jsonl --dev m.jsonl -o out --config train.json",
        ),
        damage_shards,
        3,
    ),
    Target(
        "Kaldi",
        ("kaldi/text", "kaldi/wav.scp", "kaldi/segments", "kaldi/utt2spk"),
        ("import kaldi kaldi -o out/m.jsonl",),
        damage_file,
        2,
    ),
    Target(
        "table",
        ("t.csv", "t.tsv"),
        ("import csv {} -o out/m.jsonl --speaker_column client_id",),
        damage_file,
        2,
    ),
    Target(
        "Lhotse",
        ("cuts.jsonl", "cuts.jsonl.gz"),
        ("import lhotse {} -o out/m.jsonl",),
        damage_file,
        2,
    ),
    Target(
        "LibriSpeech",
        ("ls/1/2/1-2.trans.txt",),
        ("import librispeech ls -o out/m.jsonl",),
        damage_file,
    ),
    Target(
        "run",
        ("run/config.json", "run/metrics.jsonl", "run/starts.jsonl", "run/checkpoint/metrics.json"),
        ("runs run --json out/r.json", "runs run run2", "runs run --plot out/r.svg"),
        damage_file,
        2,
    ),
)


def cases(count: int, seed: int) -> Sequence[tuple[Target, int]]:
    """The targets, each as often as its weight says, with the seeds of their cases."""
    of_all = [target for target in TARGETS for _ in range(target.weight)]
    return [(of_all[i % len(of_all)], seed * 1_000_000 + i) for i in range(count)]
