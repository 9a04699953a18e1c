"""Where nothing is said, nothing is to be written: learnt, judged and passed on."""

import dataclasses
import json
import math
import random
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from asr.config import to_dict
from asr.corpus.dataset import UtteranceDataset, collate
from asr.corpus.manifest import Corpus, Utterance, read_manifest, write_manifest
from asr.corpus.sampler import UtteranceKey
from asr.files import write_json_atomic
from asr.inference.evaluation import evaluate
from asr.inference.recognizer import Recognizer
from asr.model.loss import ctc_loss
from asr.signal.audio import write
from asr.signal.features import FeatureExtractor
from asr.text.tokens import TokenTable
from asr.training import Config, loop
from recipes.tones.prepare import SAMPLE_RATE, recording
from recipes.tones.train import CONFIG
from tests.support import Command
from tests.training_support import CPU, Change, edited, history_of, optim, without_pictures

pytest_plugins = ["tests.training_fixtures"]


# --- A recogniser of three tones among noise and other tones

LETTERS, STRANGE = "ADG", "EI"
"""Tones that are letters, and such as are nothing but noise."""


def said(rng: random.Random) -> str:
    """One or two words of one or two letters."""
    words = ("".join(rng.choices(LETTERS, k=rng.randint(1, 2))) for _ in range(rng.randint(1, 2)))
    return " ".join(words)


def noise(rng: random.Random, kind: int) -> torch.Tensor:
    """About a second of digital silence, white or brown noise, or tones of no letter."""
    samples = round(rng.uniform(0.5, 1.5) * SAMPLE_RATE)
    if kind == 0:
        return torch.zeros(samples)
    if kind == 3:
        return recording("".join(rng.choices(STRANGE, k=3)), rng)
    waveform = torch.randn(samples, generator=torch.Generator().manual_seed(rng.getrandbits(32)))
    waveform = waveform.cumsum(0) if kind == 2 else waveform
    waveform = waveform - waveform.mean()
    level: float = 10 ** (rng.uniform(-40, -6) / 20)
    return waveform / waveform.abs().max() * level


def prepare(folder: Path, split: str, spoken: int, silent: int, rng: random.Random) -> Path:
    """A manifest of utterances and, after them, of recordings in which nothing is said."""
    (folder / split).mkdir()
    utterances = []
    for place in range(spoken + silent):
        text = said(rng) if place < spoken else ""
        waveform = recording(text, rng) if text else noise(rng, place % 4)
        path = folder / split / f"{split}-{place:02d}.wav"
        write(path, waveform, SAMPLE_RATE)
        utterances.append(Utterance(path.stem, path, len(waveform) / SAMPLE_RATE, text))
    manifest = folder / f"{split}.jsonl"
    write_manifest(manifest, utterances)
    return manifest


@dataclass(frozen=True)
class Trained:
    """A model that has learnt from noise, and what it has not heard."""

    checkpoint: Path
    test: Path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder, rng = tmp_path_factory.mktemp("noise"), random.Random(0)
    train, dev = prepare(folder, "train", 60, 40, rng), prepare(folder, "dev", 8, 8, rng)
    config = dataclasses.replace(
        CONFIG,
        data=dataclasses.replace(
            CONFIG.data, train=(str(train),), dev=str(dev), empty_text="nothing"
        ),
        features=dataclasses.replace(CONFIG.features, num_mels=16),
        encoder=dataclasses.replace(
            CONFIG.encoder, hidden=24, projection=24, convolution_channels=4
        ),
    )
    with pytest.MonkeyPatch.context() as patch:
        without_pictures(patch)
        checkpoint = loop.train(optim(config, epochs=12, batch_seconds=8.0), folder / "run", CPU)
    return Trained(checkpoint, prepare(folder, "test", 12, 12, rng))


def test_noise_is_nothing_and_tones_are_letters(trained: Trained) -> None:
    utterances = read_manifest(trained.test)
    result = evaluate(Recognizer.load(trained.checkpoint), utterances)
    assert result.nonspeech is not None
    assert (result.nonspeech.utterances, result.nonspeech.words) == (12, 0)
    assert result.nonspeech.seconds == pytest.approx(sum(u.duration for u in utterances[12:]))
    assert result.score.wer < 0.2


# --- What the commands make of it


def as_silent(manifest: Path, target: Path, places: slice) -> Path:
    """Some of a manifest's utterances, said to say nothing."""
    chosen = read_manifest(manifest)[places]
    write_manifest(target, [dataclasses.replace(utterance, text="") for utterance in chosen])
    return target


def test_what_is_written_where_nothing_is_said_is_an_error_and_is_counted(
    trained: Trained, tmp_path: Path, asr_command: Command
) -> None:
    utterances = read_manifest(trained.test)
    wrong = [dataclasses.replace(utterance, text="") for utterance in utterances[:3]]
    manifest = tmp_path / "some.jsonl"
    write_manifest(manifest, [*wrong, *utterances[3:14]])
    figures, heard = tmp_path / "figures.json", tmp_path / "heard.jsonl"
    outcome = asr_command(
        *("evaluate", trained.checkpoint, manifest, "--beam_size", "4", "--nbest", "2"),
        *("--json", figures, "--hypotheses", heard),
    )
    assert outcome.code == 0, outcome.stderr
    texts = [json.loads(line)["text"] for line in heard.read_text().splitlines()]
    words = sum(len(text.split()) for text in texts[:3])
    seconds = sum(utterance.duration for utterance in (*wrong, *utterances[12:14]))
    found = json.loads(figures.read_text())
    assert words > 0
    assert found["nonspeech"] == {
        "utterances": 5,
        "seconds": pytest.approx(seconds, abs=0.01),
        "with_words": 3,
        "words": words,
        "words_per_minute": pytest.approx(60 * words / seconds, rel=0.01),
    }
    errors = found["substitutions"] + found["deletions"] + found["insertions"]
    assert found["insertions"] >= words
    assert found["words"] == sum(len(utterance.text.split()) for utterance in utterances[3:12])
    assert found["wer"] == errors / found["words"]
    assert "nonspeech: 5 utterances without speech" in outcome.stdout
    assert f"of which 3 got words: {words} in all, " in outcome.stdout
    scored = asr_command("score", manifest, heard, "--json", tmp_path / "scored.json")
    assert scored.code == 0, scored.stderr
    again = json.loads((tmp_path / "scored.json").read_text())
    names = ("wer", "cer", "ser", "wer_interval", "insertions")
    assert [again[name] for name in names] == [found[name] for name in names]


def test_without_any_word_there_is_no_rate_but_what_was_written(
    trained: Trained, tmp_path: Path, asr_command: Command
) -> None:
    manifest = as_silent(trained.test, tmp_path / "silent.jsonl", slice(10, 14))
    figures, heard = tmp_path / "figures.json", tmp_path / "heard.jsonl"
    outcome = asr_command(
        *("evaluate", trained.checkpoint, manifest, "--json", figures, "--hypotheses", heard),
        *("--by_speaker", "--beam_size", "4", "--nbest", "2"),
    )
    assert outcome.code == 0, outcome.stderr
    lines = outcome.stdout.splitlines()
    assert lines[0] == "no error rate: none of the 4 references has words"
    assert any(line.startswith("Insertions (") for line in lines)
    found = json.loads(figures.read_text())
    assert all(found[name] is None for name in ("wer", "cer", "ser", "wer_interval", "words"))
    assert (found["nonspeech"]["utterances"], found["nonspeech"]["with_words"]) == (4, 2)
    assert found["nonspeech"]["words_per_minute"] > 0
    assert "oracle_wer" not in found
    error = asr_command("score", manifest, heard).error
    assert f"words inserted: {found['nonspeech']['words']}, in 2 utterances" in error


def test_a_recording_that_cannot_be_read_is_no_silence(
    trained: Trained, tmp_path: Path, asr_command: Command
) -> None:
    manifest = tmp_path / "gone.jsonl"
    gone = Utterance("gone", tmp_path / "gone.wav", 60.0, "")
    write_manifest(manifest, [*read_manifest(trained.test)[:2], gone])
    figures = tmp_path / "figures.json"
    outcome = asr_command("evaluate", trained.checkpoint, manifest, "--json", figures)
    assert outcome.code == 1
    assert "nonspeech" not in outcome.stdout
    assert "nonspeech" not in json.loads(figures.read_text())


def test_noise_may_stand_in_what_is_tuned_on(trained: Trained, asr_command: Command) -> None:
    outcome = asr_command("tune", trained.checkpoint, trained.test, "--dry_run")
    assert outcome.code == 0, outcome.stderr
    assert "dev WER " in outcome.stdout


def test_nothing_cannot_be_aligned(trained: Trained, tmp_path: Path, asr_command: Command) -> None:
    outcome = asr_command("align", trained.checkpoint, trained.test, "-o", tmp_path / "times")
    assert outcome.code == 1
    assert "test-12.wav: the transcript is empty; expected the words" in outcome.stderr
    assert "12 of 24 recordings failed" in outcome.stderr
    assert len(list((tmp_path / "times").iterdir())) == 12


def test_shards_keep_empty_texts(trained: Trained, tmp_path: Path, asr_command: Command) -> None:
    outcome = asr_command("shard", trained.test, "-o", tmp_path / "shards", "--in_order")
    assert outcome.code == 0, outcome.stderr
    packed = read_manifest(tmp_path / "shards" / "manifest.jsonl")
    assert [u.text for u in packed] == [u.text for u in read_manifest(trained.test)]
    corpus = Corpus.open([tmp_path / "shards" / "manifest.jsonl"])
    assert (corpus.min_frames == 0).sum() == 12


def test_an_empty_column_is_imported(
    trained: Trained, tmp_path: Path, asr_command: Command
) -> None:
    noisy, spoken = (read_manifest(trained.test)[place].audio_filepath for place in (12, 0))
    table, manifest = tmp_path / "table.csv", tmp_path / "table.jsonl"
    table.write_text(f"path,sentence\n{spoken},GAD\n{noisy},\n")
    outcome = asr_command("import", "csv", table, "-o", manifest, "--root", "/")
    assert outcome.code == 0, outcome.stderr
    assert [utterance.text for utterance in read_manifest(manifest)] == ["GAD", ""]


# --- Data and batches


def with_text(text: str, *places: int) -> Change:
    def change(entries: list[dict[str, object]]) -> None:
        for place in places or range(len(entries)):
            entries[place].update(text=text)

    return change


def nothing(config: Config) -> Config:
    return dataclasses.replace(config, data=dataclasses.replace(config.data, empty_text="nothing"))


def test_targets_of_nothing_are_padded(trained: Trained) -> None:
    corpus = Corpus.open([trained.test])
    tokens = TokenTable(tuple(" ADG"))
    extractor = FeatureExtractor(CONFIG.features)
    data = UtteranceDataset(corpus, tokens, extractor, CONFIG.augment, 0, lambda epoch: 2)
    mixed = collate([data[UtteranceKey(0, place)] for place in (12, 0)])
    length = len(corpus[0].text)
    assert mixed.targets.shape == (4, length)
    assert mixed.target_lengths.tolist() == [0, length, 0, length]
    assert not mixed.targets[::2].any()
    silent = collate([data[UtteranceKey(0, place)] for place in (12, 13)])
    assert silent.targets.shape == (4, 0)
    assert silent.target_lengths.tolist() == [0] * 4
    log_probs = torch.randn(4, silent.features.shape[1], len(tokens)).log_softmax(2)
    losses = ctc_loss(log_probs, silent.feature_lengths, silent.targets, silent.target_lengths)
    for i, length in enumerate(silent.feature_lengths.tolist()):
        assert float(losses[i]) == pytest.approx(-float(log_probs[i, :length, 0].sum()), rel=1e-5)


@pytest.mark.parametrize("batch_seconds", [0.1, 7.0])
def test_two_views_of_nothing_can_be_learnt_from(
    micro: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_seconds: float
) -> None:
    """Alone in its batch, or among others."""
    without_pictures(monkeypatch)
    config = nothing(edited(micro, tmp_path, with_text("", 0, 5, 6)))
    one_epoch = optim(config, epochs=1, batch_seconds=batch_seconds, consistency=0.2)
    loop.train(one_epoch, tmp_path / "run", CPU)
    (metrics,) = history_of(tmp_path / "run")
    assert math.isfinite(metrics["train_loss"] + metrics["gradient_norm"])


@pytest.mark.parametrize("text", ["", " \t\u00a0\u3000"])
def test_silence_is_to_be_asked_for_and_is_counted(
    micro: Config, tmp_path: Path, asr_command: Command, text: str
) -> None:
    data = edited(edited(micro, tmp_path, with_text(text, 1, 4)), tmp_path, with_text("", 2), "dev")
    write_json_atomic(tmp_path / "config.json", to_dict(optim(micro, epochs=1)))
    arguments = (
        *("train", "-o", tmp_path / "run", "--config", tmp_path / "config.json"),
        *("--train", data.data.train[0], "--dev", data.data.dev),
    )
    error = asr_command(*arguments).error
    assert "empty transcripts in 2 utterances (train-001; train-004); remove or fill" in error
    assert error.endswith("set data.empty_text=nothing if these recordings really hold no speech")
    outcome = asr_command(*arguments, "--set", "data.empty_text=nothing")
    assert outcome.code == 0, outcome.stderr
    assert (
        "2 training utterances (0.00 h) and 1 validation utterances have an empty transcript"
        in outcome.stderr
    )


@pytest.mark.parametrize(
    ("split", "message"),
    [("train", "every transcript is empty"), ("dev", "all 3 transcripts are empty")],
)
def test_silence_alone_is_not_enough(
    micro: Config, tmp_path: Path, asr_command: Command, split: str, message: str
) -> None:
    config = nothing(edited(micro, tmp_path, with_text(""), split))
    write_json_atomic(tmp_path / "config.json", to_dict(config))
    outcome = asr_command("train", "-o", tmp_path / "run", "--config", tmp_path / "config.json")
    assert message in outcome.error
