"""Spoken digits: models of them, vectors, and the parts from a small corpus to the report."""

import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from asr.corpus.manifest import Utterance, write_manifest
from asr.model.layers import Bidirectional
from asr.signal.audio import write
from recipes.fsdd.prepare import SPEAKERS, WORDS
from recipes.recurrent import autoencoder, digits, many_to_one
from recipes.recurrent.autoencoder import (
    Autoencoder,
    dtw_distances,
    mean_average_precision,
    means_of_pieces,
    plane,
)
from recipes.recurrent.digits import Draws, left_out, padded, trained_on
from recipes.recurrent.experiments import CELL_ORDER, Plan, Results
from recipes.recurrent.many_to_one import KINDS, PARAMETERS, model_of


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A tone for every digit of each speaker instead of FSDD."""
    utterances = []
    for place, speaker in enumerate(SPEAKERS):
        for digit, word in enumerate(WORDS):
            path = tmp_path / f"{digit}_{speaker}.wav"
            seconds = torch.arange(800 + 160 * digit) / 8000
            write(path, 0.3 * torch.sin(6.283 * (200 + 40 * place + 250 * digit) * seconds), 8000)
            utterances.append(Utterance(path.stem, path, len(seconds) / 8000, word, speaker))
    for split, start in (("train", 0), ("dev", 1), ("test", 2)):
        write_manifest(tmp_path / f"{split}.jsonl", utterances[start::3])
    monkeypatch.setattr(digits, "FOLDER", tmp_path)
    monkeypatch.setattr(digits, "COPIES", 1)
    digits.digits.cache_clear()
    yield
    digits.digits.cache_clear()


def random_features(lengths: list[int]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    width = digits.FEATURES.num_features
    return [torch.randn(frames, width, generator=generator) for frames in lengths]


def test_every_speaker_is_left_out_once_and_never_trained_on() -> None:
    pairs = [left_out(seed) for seed in range(3)]
    assert sorted(itertools.chain(*pairs)) == sorted(SPEAKERS)
    assert left_out(3) == left_out(0)
    for pair in pairs:
        assert sorted([*pair, *trained_on(pair)]) == sorted(SPEAKERS)


def test_batches_hold_every_number_once_with_similar_lengths_together() -> None:
    torch.manual_seed(0)
    lengths = list(range(1000, 1100))
    draws = Draws(range(100), lengths, batch=10)
    batches = [draws.next() for _ in range(13)]  # chunks of 80 and 20
    seen = Counter(number for batch in batches[:10] for number in batch)
    assert seen == Counter(range(100))
    assert all(max(batch) - min(batch) < 70 for batch in batches)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cell", CELL_ORDER)
def test_models_keep_to_the_budget_and_padding_changes_no_score(kind: str, cell: str) -> None:
    torch.manual_seed(0)
    model = model_of(kind, cell).eval()
    size = sum(parameter.numel() for parameter in model.parameters())
    assert abs(size - PARAMETERS) < 0.08 * PARAMETERS
    features = random_features([7, 3])
    with torch.no_grad():
        whole, alone = model(*padded(features)), model(*padded(features[1:]))
    together = whole[1] if whole.dim() == 2 else whole[1, :3]
    torch.testing.assert_close(together, alone[0], atol=1e-5, rtol=0)


def test_the_last_state_of_both_directions_has_seen_all_frames() -> None:
    torch.manual_seed(0)
    model = model_of("last_both", "gru").eval()
    features, lengths = padded(random_features([6]))
    features.requires_grad_()
    layer = model.stack.layers[0]
    assert isinstance(layer, Bidirectional)
    half = layer.output_size // 2
    states = layer(features, lengths)
    for read in (states[:, -1, :half], states[:, 0, half:]):
        (gradient,) = torch.autograd.grad(read.sum(), features, retain_graph=True)
        assert bool((gradient.abs().sum(dim=2) > 0).all())


def test_ctc_answers_with_the_one_digit_that_greedy_search_writes() -> None:
    class Fixed(many_to_one.Ctc):
        def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
            best = torch.tensor([[0, 4, 4, 0], [0, 0, 0, 0], [4, 0, 4, 0]])
            return torch.nn.functional.one_hot(best, 11).mul(20.0).log_softmax(dim=2)

    model = Fixed("gru", 4, False)
    assert model.answers(
        torch.zeros(3, 4, digits.FEATURES.num_features), torch.tensor([4, 4, 4])
    ) == [3, -1, -1]


def test_the_vector_depends_on_every_real_frame_and_not_on_padding() -> None:
    torch.manual_seed(0)
    model = Autoencoder("lstm")
    features = random_features([9, 4])
    both, alone = model.vectors(features), model.vectors(features[1:])
    torch.testing.assert_close(both[1], alone[0], atol=1e-5, rtol=0)
    frames, lengths = padded(features)
    frames.requires_grad_()
    (gradient,) = torch.autograd.grad(model.encode(frames, lengths).sum(), frames)
    assert [int((row.abs().sum(dim=1) > 0).sum()) for row in gradient] == [9, 4]
    longer = model.decode(both, torch.tensor([3, 12]))
    assert longer.shape == (2, 12, digits.FEATURES.num_features)


def slow_dtw(one: Tensor, other: Tensor) -> float:
    """The recursion as it is published."""
    cost = torch.cdist(one, other)
    best = torch.full((len(one) + 1, len(other) + 1), torch.inf)
    best[0, 0] = 0
    for i, j in itertools.product(range(1, len(one) + 1), range(1, len(other) + 1)):
        own = cost[i - 1, j - 1]
        ways = (best[i - 1, j] + own, best[i, j - 1] + own, best[i - 1, j - 1] + 2 * own)
        best[i, j] = min(ways)
    return float(best[-1, -1]) / (len(one) + len(other))


def test_dtw_is_that_of_the_plain_recursion_and_zero_for_a_slower_copy() -> None:
    query, *others = random_features([5, 1, 4, 5, 9])
    others.append(query.repeat_interleave(2, dim=0))
    found = dtw_distances(query, *padded(others))
    expected = [slow_dtw(query, other) for other in others]
    assert found.tolist() == pytest.approx(expected, abs=1e-4)
    assert found[-1] < 0.01 * float(found[:-1].min())


def test_mean_average_precision_by_hand() -> None:
    scores = torch.tensor([[0.9, 0.8, 0.7, 0.6], [0.1, 0.2, 0.3, 0.4]])
    relevant = torch.tensor([[True, False, True, False], [False, False, True, True]])
    assert mean_average_precision(scores, relevant) == pytest.approx(((1 + 2 / 3) / 2 + 1) / 2)


def test_pieces_and_the_plane() -> None:
    frames = torch.arange(2.0 * autoencoder.PIECES).unsqueeze(1)
    assert means_of_pieces(frames).tolist() == [2 * n + 0.5 for n in range(autoencoder.PIECES)]
    line = torch.tensor([1.0, 2.0, 2.0]) * torch.arange(5.0).unsqueeze(1)
    points = plane(line)
    assert [x for x, _ in points] == pytest.approx([-6, -3, 0, 3, 6])
    assert [y for _, y in points] == pytest.approx([0] * 5, abs=1e-3)


@pytest.mark.usefixtures("corpus")
def test_parts_run_what_is_asked_for_and_report_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = ((2, 1e-3), (1, 1e-4))
    monkeypatch.setattr(autoencoder, "STAGES", stages)
    monkeypatch.setattr(many_to_one, "STAGES", dict.fromkeys(many_to_one.KINDS, stages))
    for part in (many_to_one, autoencoder):
        results = Results(tmp_path / "results")
        assert part.report(results, tmp_path) == ""
        part.run(Plan(results, ["gru"], seeds=1))
        again = Results(tmp_path / "again")
        part.run(Plan(again, ["gru"], seeds=1))
        first, second = (r.finished(part.PART) for r in (results, again))
        for result in (*first.values(), *second.values()):
            del result["minutes"]
        assert first == second
        text = part.report(results, tmp_path / "figures")
        assert "gru" in text
        assert "lstm" not in text
        assert (tmp_path / "figures" / f"{part.PART}.png").stat().st_size < 300_000
