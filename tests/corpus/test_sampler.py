"""The batch sampler: every utterance once an epoch, in an order that seed and epoch determine."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.corpus.sampler import DurationBatchSampler
from asr.signal.audio import probe

durations_lists = st.lists(st.floats(0.01, 30), min_size=1, max_size=60)


def epoch_of(batches: DurationBatchSampler, epoch: int) -> list[list[int]]:
    """Indices of the utterances of each batch."""
    batches.epoch = epoch
    assert {key.epoch for batch in batches for key in batch} <= {epoch}
    return [[key.utterance for key in batch] for batch in batches]


@given(durations_lists, st.floats(1, 60), st.none() | st.integers(0, 5), st.integers(0, 3))
def test_every_utterance_comes_once_an_epoch(
    durations: list[float], batch_seconds: float, seed: int | None, epoch: int
) -> None:
    batches = epoch_of(DurationBatchSampler(durations, batch_seconds, seed), epoch)

    indices = [index for batch in batches for index in batch]
    assert sorted(indices) == list(range(len(durations)))
    assert all(batches)


@given(durations_lists, st.floats(1, 60), st.none() | st.integers(0, 5))
def test_no_batch_is_longer_than_asked_with_its_padding(
    durations: list[float], batch_seconds: float, seed: int | None
) -> None:
    for batch in epoch_of(DurationBatchSampler(durations, batch_seconds, seed), 0):
        padded = len(batch) * max(durations[index] for index in batch)
        assert padded <= batch_seconds or len(batch) == 1


@given(durations_lists, st.floats(1, 60))
def test_without_a_seed_the_longest_come_first_each_time(
    durations: list[float], batch_seconds: float
) -> None:
    batches = DurationBatchSampler(durations, batch_seconds)

    first = epoch_of(batches, 0)
    assert epoch_of(batches, 1) == first
    in_order = [durations[index] for batch in first for index in batch]
    assert in_order == sorted(durations, reverse=True)


def test_batches_are_filled() -> None:
    assert epoch_of(DurationBatchSampler([1.0] * 10, 4.0), 0) == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9],
    ]
    assert epoch_of(DurationBatchSampler([3.0, 2.0, 2.0, 1.0], 4.0), 0) == [[0], [1, 2], [3]]


def padding_of(batches: DurationBatchSampler) -> float:
    """Share of the seconds that are padding, as augmented, over three epochs."""
    real = padded = 0.0
    for batches.epoch in range(3):
        for batch in batches:
            lengths = [batches.durations[key.utterance] / key.speed for key in batch]
            real += sum(lengths)
            padded += len(lengths) * max(lengths)
    return 1 - real / padded


@pytest.mark.parametrize("speeds", [(), (0.9, 1.0, 1.1)])
def test_padding_is_little(speeds: tuple[float, ...]) -> None:
    durations = np.random.default_rng(0).gamma(4.0, 1.5, 2000).clip(0.5, 25.0)

    assert padding_of(DurationBatchSampler(durations, 60.0, 0, speeds)) < 0.05


def test_padding_of_real_speech_is_little(shared_data: Path) -> None:
    recordings = sorted((shared_data / "an4" / "wav" / "an4_clstk").rglob("*.*"))
    durations = [probe(path).duration_seconds for path in recordings if path.is_file()]
    assert len(durations) > 500

    assert padding_of(DurationBatchSampler(durations, 40.0, 0, (0.9, 1.0, 1.1))) < 0.05


# --- Speeds


@given(durations_lists, st.floats(1, 60), st.integers(0, 5), st.integers(0, 3))
def test_batches_are_filled_by_what_utterances_last_at_their_speeds(
    durations: list[float], batch_seconds: float, seed: int, epoch: int
) -> None:
    speeds = (0.5, 1.0, 2.0)
    batches = DurationBatchSampler(durations, batch_seconds, seed, speeds)
    batches.epoch = epoch

    for batch in batches:
        lengths = [durations[key.utterance] / key.speed for key in batch]
        assert len(lengths) * max(lengths) <= batch_seconds or len(lengths) == 1
        assert {key.speed for key in batch} <= set(speeds)


def test_every_speed_is_drawn_about_as_often_and_anew_each_epoch() -> None:
    batches = DurationBatchSampler([1.0] * 300, 10.0, 0, (0.9, 1.0, 1.1))
    drawn = []
    for batches.epoch in (0, 1):
        drawn.append({key.utterance: key.speed for batch in batches for key in batch})
        found = list(drawn[-1].values())
        assert all(70 < found.count(speed) < 130 for speed in (0.9, 1.0, 1.1))
    assert drawn[0] != drawn[1]


def test_without_a_seed_nothing_is_sped_up() -> None:
    batches = DurationBatchSampler([1.0] * 9, 3.0, None, (0.9, 1.1))

    assert {key.speed for batch in batches for key in batch} == {1.0}


# --- Shards


@given(
    groups=st.lists(st.integers(-1, 12), min_size=1, max_size=80),
    window=st.integers(1, 5),
    seed=st.integers(0, 5),
    epoch=st.integers(0, 2),
)
def test_shards_are_visited_a_window_at_a_time(
    groups: list[int], window: int, seed: int, epoch: int
) -> None:
    numbers = np.array(groups, np.int32)
    durations = [1.0 + i % 7 for i in range(len(groups))]
    batches = DurationBatchSampler(durations, 12.0, seed, (), numbers, window)

    plan = epoch_of(batches, epoch)

    assert sorted(index for batch in plan for index in batch) == list(range(len(groups)))
    visits = [{groups[index] for index in batch} - {-1} for batch in plan]
    assert all(len(shards) <= window for shards in visits)
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for place, shards in enumerate(visits):
        for shard in shards:
            first.setdefault(shard, place)
            last[shard] = place
    open_at = [sum(first[s] <= place <= last[s] for s in first) for place in range(len(plan))]
    assert max(open_at) <= window


def test_shards_come_in_another_order_each_epoch() -> None:
    groups = np.repeat(np.arange(20, dtype=np.int32), 5)
    batches = DurationBatchSampler([1.0] * 100, 5.0, 0, (), groups, 1)

    orders = [[groups[batch[0]] for batch in epoch_of(batches, epoch)] for epoch in (0, 1)]

    assert [sorted(order) for order in orders] == [list(range(20))] * 2
    assert orders[0] != orders[1]


def test_batches_of_a_window_are_filled_across_its_shards() -> None:
    groups = np.repeat(np.arange(4, dtype=np.int32), 2)

    sizes = DurationBatchSampler([1.0] * 8, 4.0, 0, (), groups, 2).batch_sizes()

    assert sizes.tolist() == [4, 4]


# --- Several processes


@given(
    durations=durations_lists,
    batch_seconds=st.floats(1, 60),
    seed=st.none() | st.integers(0, 5),
    size=st.integers(2, 5),
    data=st.data(),
)
def test_processes_share_each_batch_out(
    durations: list[float], batch_seconds: float, seed: int | None, size: int, data: st.DataObject
) -> None:
    speeds = (0.9, 1.1)
    whole = DurationBatchSampler(durations, batch_seconds, seed, speeds)
    start = data.draw(st.integers(0, len(whole)))
    shares = []
    for rank in range(size):
        mine = DurationBatchSampler(
            durations, batch_seconds, seed, speeds, rank=rank, world_size=size
        )
        assert mine.batch_sizes().tolist() == whole.batch_sizes().tolist()
        mine.start_batch = start
        shares.append(list(mine))

    assert {len(share) for share in shares} == {len(whole) - start}
    for batch, *parts in zip(list(whole)[start:], *shares, strict=True):
        counted = [part for rank, part in enumerate(parts) if rank < len(batch)]
        assert sorted(key for part in counted for key in part) == sorted(batch)
        assert max(map(len, counted)) - min(map(len, counted)) <= 1
        assert all(part == [batch[0]] for part in parts[len(batch) :])


# --- A great many


def test_a_million_utterances_are_planned_as_arrays() -> None:
    durations = np.random.default_rng(0).gamma(4.0, 1.5, 1_000_000)
    groups = (np.arange(1_000_000) // 2000).astype(np.int32)
    batches = DurationBatchSampler(durations, 600.0, 0, (0.9, 1.0, 1.1), groups)

    assert int(batches.batch_sizes().sum()) == 1_000_000
    batches.start_batch = len(batches) - 2
    assert [len(batch) for batch in batches] == batches.batch_sizes()[-2:].tolist()


def test_epochs_and_seeds_differ_and_repeat() -> None:
    durations = [1 + 0.01 * i for i in range(100)]
    orders = {
        (seed, epoch): epoch_of(DurationBatchSampler(durations, 10.0, seed), epoch)
        for seed in (0, 1, 20_260_101, 2**63 - 1)
        for epoch in (0, 1)
    }

    assert len({str(order) for order in orders.values()}) == len(orders)
    for (seed, epoch), order in orders.items():
        assert epoch_of(DurationBatchSampler(durations, 10.0, seed), epoch) == order


def test_utterances_meet_others_in_another_epoch() -> None:
    batches = DurationBatchSampler([1 + 0.001 * i for i in range(100)], 10.0, seed=0)

    first, second = ({frozenset(batch) for batch in epoch_of(batches, e)} for e in (0, 1))

    assert not first & second


@given(durations_lists, st.floats(1, 60), st.none() | st.integers(0, 5), st.data())
def test_start_leaves_exactly_the_tail(
    durations: list[float], batch_seconds: float, seed: int | None, data: st.DataObject
) -> None:
    batches = DurationBatchSampler(durations, batch_seconds, seed)
    whole = epoch_of(batches, 2)
    assert len(batches) == len(whole)

    batches.start_batch = data.draw(st.integers(0, len(whole)))

    assert epoch_of(batches, 2) == whole[batches.start_batch :]
    assert len(batches) == len(whole) - batches.start_batch
    assert batches.batch_sizes().tolist() == [len(batch) for batch in whole]


def test_no_utterances_make_no_batches() -> None:
    assert list(DurationBatchSampler([], 10.0, seed=0)) == []
