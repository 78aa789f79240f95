"""The loader without processes: order, state, parts of a batch, and what is under way."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import pytest
import torch
from batch_streams import assert_same_from, states, stream
from picture_episodes import WINDOW, EpisodeList, picture_dataset, picture_episode

from robocache.core.errors import ConfigError, CorruptFileError
from robocache.datasets import Batch, Loader, Mixture, WindowSampler, WindowTable


@pytest.fixture
def mixture() -> Mixture:
    return Mixture(
        {"arm": picture_dataset("arm", (7, 6)), "hand": (picture_dataset("hand", (5, 4)), 2)},
        WINDOW,
    )


class FramesHere:
    """Stands for worker processes; frames are read when they are taken."""

    def __init__(self, reader, workers: int, ahead: int) -> None:
        self.reader, self.under_way, self.most = reader, 0, 0

    def submit(self, rows: np.ndarray) -> RowsHere:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        return RowsHere(self, rows)

    def close(self) -> None:
        self.under_way = 0


@dataclass
class RowsHere:
    workers: FramesHere
    rows: np.ndarray

    def result(self):
        self.workers.under_way -= 1
        return self.workers.reader.read(self.rows)

    def cancel(self) -> None:
        self.workers.under_way -= 1


@pytest.fixture
def here(monkeypatch) -> None:
    monkeypatch.setattr("robocache.datasets.loader.FrameWorkers", FramesHere)


def test_one_dataset_comes_in_the_order_of_the_sampler():
    table = WindowTable(picture_dataset("arm", (7, 6, 5)), WINDOW)
    loader, sampler = Loader(table, 4, seed=2), WindowSampler(table, 4, seed=2)
    for batch, other in islice(zip(loader, sampler, strict=False), 11):
        assert batch.index.tolist() == other.index.tolist()
        assert torch.equal(batch.values["camera"], other.values["camera"])
    assert loader.state_dict().items() >= sampler.state_dict().items() and len(loader) == 4
    later = Loader(table, 4, seed=2)
    later.load_state_dict(sampler.state_dict())  # of a training run that had no loader yet
    assert next(later).index.tolist() == next(sampler).index.tolist()


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_restored_at_every_position(mixture, here, workers):
    count = 2 * len(Loader(mixture, 4, seed=1)) + 1
    expected = stream(Loader(mixture, 4, seed=1), count)
    ahead = Loader(mixture, 4, seed=1, workers=workers)
    for position, state in enumerate(states(Loader(mixture, 4, seed=1, workers=2), count)):
        assert_same_from(ahead, json.loads(json.dumps(state)), position, expected)


def test_one_changed_index_entry_is_noticed(mixture, monkeypatch):
    """The comparison of the tests above can fail: in the order, and in what a row means."""
    loader = Loader(mixture, 4, seed=1)
    expected = stream(loader, 6)
    state = states(Loader(mixture, 4, seed=1), 3)[2]
    assert_same_from(loader, state, 2, expected)
    right = Mixture.order

    def wrong(self, seed: int, epoch: int) -> np.ndarray:
        order = right(self, seed, epoch)
        order[13] = (order[13] + 1) % len(self)
        return order

    with monkeypatch.context() as patch:
        patch.setattr(Mixture, "order", wrong)
        with pytest.raises(AssertionError):
            assert_same_from(loader, state, 2, expected)
    frames = mixture.tables[1].aligned.inputs["camera"].frames
    row = next(r for _, rows, _ in expected[2:] for r in rows if r >= 13) - 13
    frames.samples[row, 1] += 1 if frames.samples[row, 1] == 0 else -1
    with pytest.raises(AssertionError):
        assert_same_from(loader, state, 2, expected)


@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_ranks_share_each_batch_of_the_same_order(mixture, here, world_size):
    whole = Loader(mixture, 12, seed=3)
    state = states(whole, 3)[2]
    parts = [
        Loader(mixture, 12, seed=3, workers=1, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    whole.load_state_dict(state)
    for part in parts:
        part.load_state_dict(state)
    for batch in islice(whole, 4):
        shared = [next(part) for part in parts]
        assert {len(part.index) for part in shared} == {12 // world_size}
        assert np.concatenate([part.index for part in shared]).tolist() == batch.index.tolist()
        cameras = torch.cat([part.values["camera"] for part in shared])
        assert torch.equal(cameras, batch.values["camera"])
    assert all(part.state_dict() == whole.state_dict() for part in parts)


@pytest.mark.parametrize(("workers", "prefetch"), [(1, 1), (2, 2), (4, 3)])
def test_what_is_under_way_is_bounded(mixture, here, workers, prefetch):
    loader = Loader(mixture, 4, seed=1, workers=workers, prefetch=prefetch)
    for _ in islice(loader, 25):
        assert loader._workers.under_way <= workers * prefetch
    assert loader._workers.most == workers * prefetch
    loader.close()


def test_a_damaged_picture_is_named_and_never_skipped():
    episodes = [picture_episode("good"), picture_episode("bad", damaged=3)]
    loader = Loader(WindowTable(EpisodeList("set", episodes), WINDOW), 3, seed=0, shuffle=False)
    assert [next(loader).index.tolist() for _ in range(3)][-1] == [6, 7, 8]
    state = loader.state_dict()
    for _ in range(2):
        with pytest.raises(CorruptFileError, match=r"bad\.png") as caught:
            next(loader)
        assert caught.value.episode == "bad" and loader.state_dict() == state


def test_the_hook_sees_each_batch_in_order_before_it_is_handed_out(mixture, here):
    seen = []

    def brighter(batch: Batch) -> Batch:
        seen.append(batch.index.tolist())
        return replace(batch, values={"camera": batch.values["camera"].float() / 255})

    loader = Loader(mixture, 4, seed=1, workers=2, on_device=brighter)
    for number, batch in enumerate(islice(loader, 5)):
        assert len(seen) == number + 1 and seen[-1] == batch.index.tolist()
        assert batch.values["camera"].dtype == torch.float32 and "state" not in batch.values


def test_all_in_memory_needs_no_processes(here):
    window = replace(WINDOW, inputs=WINDOW.inputs[:1])
    loader = Loader(WindowTable(picture_dataset("arm", (7,)), window), 3, seed=0, workers=4)
    assert loader._workers is None and len(next(loader).index) == 3


def test_an_unshuffled_loader_goes_through_the_rows(mixture):
    loader = Loader(mixture, 11, seed=1, shuffle=False)
    assert next(loader).index.tolist() == list(range(11))
    with pytest.raises(ConfigError, match="shuffle was False, is True"):
        Loader(mixture, 11, seed=1).load_state_dict(loader.state_dict())


def test_settings_that_cannot_be_are_explained(mixture):
    for wrong in ({"workers": -1}, {"prefetch": 0}):
        with pytest.raises(ConfigError, match="workers must be at least 0 and prefetch at least 1"):
            Loader(mixture, 4, seed=0, **wrong)
    with pytest.raises(ConfigError, match="rank must be in"):
        Loader(mixture, 4, seed=0, rank=2, world_size=2)
    with pytest.raises(ConfigError, match="must be a multiple of world_size"):
        Loader(mixture, 4, seed=0, rank=2, world_size=3)
    with pytest.raises(ConfigError, match="batch_size must be at least 1"):
        Loader(mixture, 0, seed=0)
    state = Loader(mixture, 4, seed=0).state_dict()
    with pytest.raises(ConfigError, match="seed was 0, is 1"):
        Loader(mixture, 4, seed=1).load_state_dict(state)
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="no CUDA device"):
            Loader(mixture, 4, seed=0, pin_memory=True)


@pytest.mark.gpu
def test_page_locked_batches(mixture):
    batch = next(Loader(mixture, 4, seed=0, pin_memory=True))
    assert batch.actions.is_pinned() and batch.values["camera"].is_pinned()
    assert torch.equal(batch.to(torch.device("cuda")).actions.cpu(), batch.actions)
