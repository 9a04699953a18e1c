"""The CTC loss against a sum over every alignment, and at the edges."""

import math

import pytest
import torch
from hypothesis import given
from torch import Tensor

from asr.errors import ConfigError
from asr.model.loss import ctc_loss
from tests.oracles import Emissions, emissions, forward_score, random_emissions, sequence_scores


def loss_of(log_probs: Tensor, target: list[int]) -> Tensor:
    """The loss of one utterance, `log_probs` `(T, C)`, as a scalar."""
    lengths, target_lengths = torch.tensor([len(log_probs)]), torch.tensor([len(target)])
    targets = torch.tensor([target], dtype=torch.long)
    return ctc_loss(log_probs[None], lengths, targets, target_lengths)[0]


@given(emissions())
def test_loss_equals_the_sum_over_every_alignment(log_probs: Emissions) -> None:
    if not len(log_probs):
        return
    for target, score in sequence_scores(log_probs).items():
        loss = loss_of(torch.from_numpy(log_probs), list(target))
        assert float(loss) == pytest.approx(-score, abs=1e-9)


def test_long_targets_in_float32() -> None:
    log_probs = random_emissions(0, frames=200, tokens=27, peakiness=2)
    target = [1 + (7 * i) % 26 for i in range(60)]
    loss = loss_of(torch.from_numpy(log_probs).float(), target)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(-forward_score(log_probs, target), rel=1e-5)


def test_gradient_equals_finite_differences_of_the_logits() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    lengths, target_lengths = torch.tensor([5, 4]), torch.tensor([2, 1])
    targets = torch.tensor([[1, 1], [2, 0]])

    def loss(logits: Tensor) -> Tensor:
        return ctc_loss(logits.log_softmax(-1), lengths, targets, target_lengths)

    assert torch.autograd.gradcheck(loss, [logits], atol=1e-7)


@pytest.mark.parametrize(
    ("frames", "target", "fits"),
    [(2, [1, 2], True), (1, [1, 2], False), (3, [1, 1], True), (2, [1, 1], False)],
)
def test_a_target_that_cannot_fit_costs_infinity(
    frames: int, target: list[int], fits: bool
) -> None:
    log_probs = torch.from_numpy(random_emissions(0, frames, tokens=3))
    assert math.isfinite(loss_of(log_probs, target)) == fits
    assert fits or float(loss_of(log_probs, target)) == math.inf


def test_an_impossible_target_leaves_its_neighbours_alone() -> None:
    logits = torch.from_numpy(random_emissions(1, frames=3, tokens=3)).repeat(2, 1, 1)
    logits.requires_grad_()
    losses = ctc_loss(
        logits.log_softmax(-1),
        torch.tensor([3, 3]),
        torch.tensor([[1, 1, 1], [1, 2, 0]]),
        torch.tensor([3, 2]),
    )
    losses.sum().backward()  # type: ignore[no-untyped-call]
    assert losses.isinf().tolist() == [True, False]
    assert logits.grad is not None
    assert bool(logits.grad[1].isfinite().all())


def test_an_empty_target_is_blank_in_every_frame() -> None:
    log_probs = torch.from_numpy(random_emissions(2, frames=4, tokens=3))
    assert float(loss_of(log_probs, [])) == pytest.approx(-float(log_probs[:, 0].sum()))
    nothing, something = ctc_loss(
        log_probs.expand(2, -1, -1),
        torch.tensor([4, 4]),
        torch.tensor([[0, 0], [1, 2]]),
        torch.tensor([0, 2]),
    )
    assert torch.equal(nothing, loss_of(log_probs, []))
    assert torch.equal(something, loss_of(log_probs, [1, 2]))
    nowhere = ctc_loss(
        log_probs[None], torch.tensor([0]), torch.zeros(1, 0).long(), torch.tensor([0])
    )
    assert nowhere.tolist() == [0.0]


@given(emissions())
def test_empty_targets_alone_and_among_others(log_probs: Emissions) -> None:
    """Against the sum over every alignment, of which there is one: all blanks."""
    frames = len(log_probs)
    if not frames:
        return
    scores = {(): -math.inf, **sequence_scores(log_probs)}
    one_token = next((target for target in scores if len(target) == 1), ())
    both = torch.from_numpy(log_probs).expand(2, -1, -1)
    lengths = torch.tensor([frames, frames])
    alone = ctc_loss(both, lengths, torch.zeros(2, 0).long(), torch.tensor([0, 0]))
    assert alone.tolist() == pytest.approx([-scores[()]] * 2, abs=1e-9)
    targets = torch.tensor([[1], [*one_token, 0][:1]])  # the padding of an empty one is not read
    mixed = ctc_loss(both, lengths, targets, torch.tensor([0, len(one_token)]))
    assert mixed.tolist() == pytest.approx([-scores[()], -scores[one_token]], abs=1e-9)


@pytest.mark.parametrize("target_lengths", [[0, 0, 0], [0, 2, 0]])
def test_the_gradient_of_empty_targets(target_lengths: list[int]) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(3, 5, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    lengths, counts = torch.tensor([5, 4, 1]), torch.tensor(target_lengths)
    targets = torch.ones(3, max(target_lengths)).long()

    def loss(logits: Tensor) -> Tensor:
        return ctc_loss(logits.log_softmax(-1), lengths, targets, counts)

    assert torch.autograd.gradcheck(loss, [logits], atol=1e-7)
    loss(logits).sum().backward()  # type: ignore[no-untyped-call]
    towards_blank = logits.detach().softmax(-1)
    towards_blank[:, :, 0] -= 1
    assert logits.grad is not None
    for i in (0, 2):  # in its frames softmax less the blank, beyond them nothing
        frames = int(lengths[i])
        assert torch.allclose(logits.grad[i, :frames], towards_blank[i, :frames])
        assert not logits.grad[i, frames:].any()


@pytest.mark.parametrize("padding", [0, 1, -1, 99])
def test_padding_changes_neither_loss_nor_gradient(padding: int) -> None:
    alone = torch.from_numpy(random_emissions(3, frames=4, tokens=3)).requires_grad_()
    loss = loss_of(alone, [2, 1])
    loss.backward()  # type: ignore[no-untyped-call]

    padded = torch.full((2, 7, 3), math.nan, dtype=torch.float64)
    padded[0] = torch.from_numpy(random_emissions(4, frames=7, tokens=3))
    padded[1, :4] = alone.detach()
    padded.requires_grad_()
    targets = torch.tensor([[1, 2, 1, 2], [2, 1, padding, padding]])
    losses = ctc_loss(padded, torch.tensor([7, 4]), targets, torch.tensor([4, 2]))
    losses[1].backward()  # type: ignore[no-untyped-call]
    assert torch.equal(losses[1], loss)
    assert padded.grad is not None
    assert alone.grad is not None
    assert torch.equal(padded.grad[1, :4], alone.grad)
    assert not padded.grad[1, 4:].any()
    assert not padded.grad[0].any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    log_probs = torch.from_numpy(random_emissions(5, frames=50, tokens=27)).to(dtype)
    target = list(range(1, 20))
    expected = loss_of(log_probs.float(), target)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = loss_of(log_probs.requires_grad_(), target)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, expected)
    loss.backward()  # type: ignore[no-untyped-call]
    assert log_probs.grad is not None
    assert log_probs.grad.dtype == dtype
    assert bool(log_probs.grad.isfinite().all())


def test_integer_types_of_lengths_and_targets_do_not_matter() -> None:
    log_probs = torch.from_numpy(random_emissions(6, frames=4, tokens=3))
    losses = [
        ctc_loss(
            log_probs[None],
            torch.tensor([4], dtype=dtype),
            torch.tensor([[1, 2]], dtype=dtype),
            torch.tensor([2], dtype=dtype),
        )
        for dtype in (torch.int16, torch.int32, torch.int64)
    ]
    assert losses[0] == losses[1] == losses[2]


@pytest.mark.parametrize(
    ("length", "target", "target_length", "message"),
    [
        (5, [1, 2], 2, "ctc_loss: lengths: expected values from 0 to 4, found 5"),
        (-1, [1, 2], 2, "lengths: expected values from 0 to 4, found -1"),
        (4, [1, 2], 3, "target_lengths: expected values from 0 to 2, found 3"),
        (4, [1, 0], 2, "blank.*from 1 to 2, found 0 to 1"),
        (4, [1, 3], 2, "from 1 to 2, found 1 to 3"),
    ],
)
def test_lengths_and_targets_out_of_range_are_refused(
    length: int, target: list[int], target_length: int, message: str
) -> None:
    log_probs = torch.from_numpy(random_emissions(7, frames=4, tokens=3))
    with pytest.raises(ConfigError, match=message):
        ctc_loss(
            log_probs[None],
            torch.tensor([length]),
            torch.tensor([target]),
            torch.tensor([target_length]),
        )
