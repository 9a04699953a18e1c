"""Attention beside CTC: the strings, what attention may look at, and the whole part."""

from collections import Counter
from pathlib import Path

import pytest
import torch

from asr.corpus.manifest import Utterance, read_manifest, write_manifest
from asr.signal.audio import write
from recipes.fsdd.prepare import WORDS
from recipes.recurrent import attention
from recipes.recurrent.attention import NONE, Attention, String
from recipes.recurrent.experiments import Plan, Results


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tone for every digit of two speakers instead of FSDD."""
    seconds = torch.arange(800) / 8000
    utterances = []
    for speaker, base in (("low", 200), ("high", 300)):
        for digit, word in enumerate(WORDS):
            path = tmp_path / f"{digit}_{speaker}.wav"
            write(path, 0.3 * torch.sin(6.283 * (base + 250 * digit) * seconds), 8000)
            utterances.append(Utterance(path.stem, path, 0.1, word, speaker))
    for split in ("train", "test"):
        write_manifest(tmp_path / f"{split}.jsonl", utterances)
    monkeypatch.setattr(attention, "FOLDER", tmp_path)
    monkeypatch.setattr(attention, "HIDDEN", 8)
    monkeypatch.setattr(attention, "STAGES", ((2, 1e-3), (1, 1e-4)))
    return tmp_path


def random_strings(lengths: list[int]) -> list[String]:
    generator = torch.Generator().manual_seed(0)
    width = attention.FEATURES.num_features
    return [
        String(torch.randn(frames, width, generator=generator), tuple(range(1, 1 + frames // 10)))
        for frames in lengths
    ]


def test_strings_use_each_recording_once_in_a_round(corpus: Path) -> None:
    recordings = read_manifest(corpus / "train.jsonl")
    found = attention.strings(recordings, [2], 3, "seed")
    assert {len(one.digits) for one in found} == {2}
    used = Counter(digit for one in found for digit in one.digits)
    assert used == dict.fromkeys(range(1, 11), 6)  # two speakers, three rounds
    again = attention.strings(recordings, [2], 3, "seed")
    assert all(torch.equal(a.features, b.features) for a, b in zip(found, again, strict=True))


@pytest.mark.parametrize("kind", attention.MODELS)
def test_a_string_is_written_alone_as_in_a_batch(kind: str) -> None:
    torch.manual_seed(0)
    model = attention.MODELS[kind]().eval()
    batch = random_strings([40, 20, 30])
    assert model.write(batch) == [model.write([one])[0] for one in batch]


def test_weights_are_a_distribution_over_real_frames() -> None:
    torch.manual_seed(0)
    model = Attention().eval()
    features, frames, digits, _ = attention.batch_of(random_strings([40, 20]))
    _, weights = model(features, frames, digits)
    torch.testing.assert_close(weights.sum(dim=2), torch.ones(2, 4))
    assert weights[1, :, 20:].eq(0).all()


def test_words_that_were_written_freely_are_the_likeliest_when_they_are_given() -> None:
    torch.manual_seed(0)
    model = Attention().eval()
    features, frames, _, _ = attention.batch_of(random_strings([40]))
    free, looks = model(features, frames)
    given, same_looks = model(features, frames, free.argmax(dim=2))
    torch.testing.assert_close(free, given)
    torch.testing.assert_close(looks, same_looks)
    assert (free.argmax(dim=2)[0, :-1] != NONE).all()
    assert free.shape[1] <= attention.MOST_WORDS


def test_the_loss_is_that_of_the_digits_and_the_end() -> None:
    torch.manual_seed(0)
    model = Attention().eval()
    batch = random_strings([40, 20])
    features, frames, _, _ = attention.batch_of(batch)
    expected = torch.tensor(0.0)
    for place, one in enumerate(batch):
        given = torch.tensor([[*one.digits, NONE]])
        alone = features[place : place + 1, : frames[place]]
        log_probs, _ = model(alone, frames[place : place + 1], given)
        expected = expected - log_probs[0, range(given.shape[1]), given[0]].sum() / 2
    torch.testing.assert_close(model.loss(batch), expected)


def test_the_part_keeps_its_results_and_reports_them(corpus: Path) -> None:
    results, figures = Results(corpus / "results"), corpus / "figures"
    assert attention.report(results, figures) == ""
    attention.run(Plan(results, ["elman"], seeds=1))
    assert results.finished("attention") == {}
    attention.run(Plan(results, ["lstm"], seeds=1))
    kept = results.finished("attention")
    assert set(kept) == {"CTC-s0", "attention-s0"}
    report = attention.report(results, figures)
    assert "| digits | CTC | attention |" in report
    assert 0 < (figures / "attention.png").stat().st_size < 300_000
    (corpus / "results" / "attention" / "CTC-s0.json").unlink()
    assert "| digits | attention |" in attention.report(results, figures)
    assert attention.measure("attention", 0)["errors"] == kept["attention-s0"]["errors"]
