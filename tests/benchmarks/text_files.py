"""Sound text files of every kind, small, for `tests.benchmarks.text`."""

import gzip
import hashlib
import json
import shutil
import string
from pathlib import Path
from typing import Any

import soundfile
import torch

from asr.checkpoint.checkpoint import save_checkpoint
from asr.config import to_dict
from asr.corpus.manifest import read_manifest
from asr.corpus.shards import write_shards
from asr.model.acoustic import AcousticModel, EncoderConfig
from asr.signal.features import FeatureConfig

REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLES = REPOSITORY / "recipes" / "synthetic" / "samples"
TOKENS = (" ", "'", *string.ascii_uppercase)
ENCODER = EncoderConfig(layers=1, hidden=8, projection=8, convolution_channels=2)


def write_sound_files(folder: Path) -> None:
    """Write the files that targets damage."""
    samples = sorted(SAMPLES.glob("*.flac"))
    for name, sample in zip(("a.wav", "b.wav"), samples, strict=False):
        waveform, rate = soundfile.read(sample)
        soundfile.write(folder / name, waveform[:rate], rate)
    for name, content in _texts().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
        if name in ("lm.arpa", "cuts.jsonl"):
            (folder / f"{name}.gz").write_bytes(gzip.compress(content.encode()))
    (folder / "ls/1/2").mkdir(parents=True, exist_ok=True)
    for name in ("1-2-0.flac", "1-2-1.flac"):
        shutil.copy(samples[0], folder / "ls/1/2" / name)
    for seed, name in enumerate(("tiny", "tiny2")):
        _write_checkpoint(folder / name, seed)
    for name in ("run", "run2"):
        shutil.copytree(folder / "tiny2", folder / name / "checkpoint")
        (folder / name / "config.json").write_text(json.dumps(_settings()))
    write_shards(read_manifest(folder / "m.jsonl"), folder / "shards", 1_000_000)


def _write_checkpoint(folder: Path, seed: int) -> None:
    torch.manual_seed(seed)
    features, packed = FeatureConfig(), gzip.compress(ARPA.encode(), mtime=0)
    model = AcousticModel(ENCODER, features.num_features, len(TOKENS) + 1)
    with torch.no_grad():
        model.output.weight.mul_(20)  # other tokens than the blank win, too
    save_checkpoint(
        folder,
        features=to_dict(features),
        encoder=to_dict(ENCODER),
        tokens=TOKENS,
        weights=model.state_dict(),
        metrics={
            "training_seconds": 12.5,
            "dev": {
                "wer": 0.1,
                "cer": 0.05,
                "wer_interval": [0.05, 0.2],
                "command": "asr evaluate",
            },
            "decoding": {
                "lm.arpa.gz": {
                    "lm_sha256": hashlib.sha256(packed).hexdigest(),
                    "search": {"beam_size": 4, "nbest": 1},
                    "fusion": {"word_bonus": 0.5},
                    "calibration": {"slope": 0.9, "offset": 0.1},
                }
            },
        },
        recipe="tiny",
        seed=seed,
        training={
            "data": {"train": ["a.jsonl"], "description": "ten words", "licence": "CC0"},
            "licence": "CC0",
            "commands": ["make it"],
            "history": "made once",
        },
    )
    (folder / "lm.arpa.gz").write_bytes(packed)


def _settings() -> dict[str, Any]:
    return {
        "name": "tiny",
        "seed": 1,
        "encoder": to_dict(ENCODER),
        "features": to_dict(FeatureConfig()),
        "augment": {"time_mask_share": 0.1},
        "optim": {"epochs": 1, "workers": 0, "batch_seconds": 4.0, "warmup_epochs": 0.5},
    }


ARPA = """\\data\\
ngram 1=6
ngram 2=3

\\1-grams:
-99\t<s>\t-0.3
-1.0\t</s>
-2\t<unk>
-0.5\tGO\t-0.3
-1.0\tNO\t-0.3
-0.7\tIT'S\t-0.1

\\2-grams:
-0.3\t<s> NO
-0.2\tNO GO
-0.4\tGO </s>

\\end\\
"""


_SPOKEN: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("a", "GO HOME", {"speaker": "s2"}),
    ("b", "NO", {"speaker": "s1"}),
    ("a", "IT'S A GO", {"speaker": "s2", "offset": 0.25, "duration": 0.5}),
    ("b", "TURN IT OFF", {"speaker": "s1", "offset": 0.0, "duration": 0.9}),
)


def _texts() -> dict[str, str]:
    utterances = [
        {"id": f"u{i}", "audio_filepath": f"{name}.wav", "duration": 1.0, "text": text, **more}
        for i, (name, text, more) in enumerate(_SPOKEN)
    ]
    manifest = "".join(json.dumps(utterance) + "\n" for utterance in utterances)
    cuts = "".join(json.dumps(_cut(i)) + "\n" for i in range(3))
    characters = ARPA.replace("GO", "A").replace("NO", "<space>").replace("IT'S", "B")
    return {
        "m.jsonl": manifest,
        "train.jsonl": manifest,
        "r.jsonl": manifest,
        "r2.jsonl": manifest.replace("GO", "NO"),
        "r.trn": "GO HOME (u0)\nNO (u1)\nIT'S A GO (u2)\nTURN IT OFF (u3)\n",
        "r.text": "u0 GO HOME\nu1 NO\nu2 IT'S A GO\nu3 TURN IT OFF\n",
        "lm.arpa": ARPA,
        "characters.arpa": characters,
        "words.txt": "GO HOME\nNO\nIT'S A GO\nTURN IT OFF\nNO GO\n",
        "said.txt": "GO HOME\n",
        "lexicon.txt": "GO\nHOME\nNO\nIT'S\nTURN\nOFF\n",
        "hot.txt": "GO HOME:4.5\nNO\nTURN IT OFF:-2\n",
        "g.jsgf": (
            "#JSGF V1.0 UTF-8 en;\ngrammar a;\npublic <c> = TURN (ON | OFF) [THE] LIGHTS {tag} |"
            ' <dim> [PLEASE] | /0.5/ "HEY YOU"+ ;\n<dim> = DIM TO <digit>+ PERCENT <rest>;\n'
            "<digit> = ONE | /3/ TWO | THREE* ;\n<rest> = A <rest> | <NULL> | <VOID>;\n"
        ),
        "train.json": json.dumps(_settings(), indent=2),
        "set.txt": "encoder.hidden=8\nfeatures.window_seconds=0.03\noptim.peak_rate=0.01\nname=x\n",
        "kaldi/text": "u1 GO HOME\nu2 NO\n",
        "kaldi/wav.scp": "r1 a.wav\nr2 b.wav\n",
        "kaldi/segments": "u1 r1 0 0.5\nu2 r2 0.25 -1\n",
        "kaldi/utt2spk": "u1 s1\nu2 s2\n",
        "t.csv": 'path,sentence,client_id\na.wav,GO HOME,s1\nb.wav,"NO, NO",s2\n',
        "t.tsv": "path\tsentence\tclient_id\na.wav\tGO HOME\ts1\nb.wav\tNO\ts2\n",
        "cuts.jsonl": cuts,
        "ls/1/2/1-2.trans.txt": "1-2-0 GO HOME\n1-2-1 NO\n",
        **{
            f"{name}/{file}": content
            for name in ("run", "run2")
            for file, content in (
                (
                    "metrics.jsonl",
                    '{"epoch": 1, "dev_cer": 0.5, "dev_wer": 0.9, "dev_loss": 2.5}\n',
                ),
                ("starts.jsonl", '{"time": "2026-01-01T00:00:00", "config": {"seed": 1}}\n'),
            )
        },
    }


def _cut(number: int) -> dict[str, Any]:
    recording = {
        "id": "a",
        "sources": [{"type": "file", "channels": [0], "source": "a.wav"}],
        "sampling_rate": 16000,
        "num_samples": 16000,
        "duration": 1.0,
    }
    said = {"id": f"s{number}", "recording_id": "a", "start": 0.0, "duration": 0.5, "channel": 0}
    return {
        "id": f"c{number}",
        "start": 0.1 * number,
        "duration": 0.5,
        "channel": 0,
        "supervisions": [said | {"text": "GO HOME", "speaker": "s1"}],
        "recording": recording | {"channel_ids": [0]},
        "type": "MonoCut",
    }
