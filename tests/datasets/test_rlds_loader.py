"""RTXDataLoader: filters, padding, and the same batches after any restart."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from rlds_writer import (
    SIMPLE,
    group,
    shard_file,
    simple_dataset,
    simple_episode,
    text,
    write_dataset,
)

from robocache.core.errors import ConfigError, CorruptFileError, ShapeError
from robocache.datasets import reused_memory
from robocache.datasets.rlds import RTXDataLoader, RTXDataset
from robocache.datasets.rlds.records import TFRecordShard


@pytest.fixture
def dataset(tmp_path) -> RTXDataset:
    """Episodes of 3, 4, 5, 4, 4 steps."""
    return RTXDataset(simple_dataset(tmp_path), rate_hz=10)


def test_batches_are_padded_and_masked(dataset):
    loader = RTXDataLoader(dataset, 3, shuffle=False)
    first, second = list(loader)
    assert first.keys == ["train/000000", "train/000001", "train/000002"]
    assert first.lengths.tolist() == [3, 4, 5] and len(loader) == 2 and len(second.keys) == 2
    assert first.valid.sum(1).tolist() == [3, 4, 5] and first.valid.shape == (3, 5)
    assert first.values["observation/front"].shape == (3, 5, 6, 8, 3)
    assert first.values["observation/front"].dtype == torch.uint8
    assert first.times_s[1].tolist() == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert first.instructions[1] == "lift block 1" and first.success == [None] * 3
    for row, key in enumerate(first.keys):
        streams = dataset[key].streams
        for name, values in first.values.items():
            count = int(first.lengths[row])
            np.testing.assert_array_equal(values[row, :count].numpy(), streams[name].values[:])
            assert not values[row, count:].any()
    assert next(iter(RTXDataLoader(dataset, 1, pad_to=9))).valid.shape == (1, 9)


def test_each_record_is_read_once(dataset, monkeypatch):
    read, numbers = TFRecordShard.read, []
    monkeypatch.setattr(
        TFRecordShard, "read", lambda shard, number: numbers.append(number) or read(shard, number)
    )
    monkeypatch.delattr(TFRecordShard, "read_part")
    loader = RTXDataLoader(dataset, 2, shuffle=False, threads=0)
    numbers.clear()
    assert len(list(loader)) == 3
    assert numbers == [0, 1, 2, 0, 1], "of two shards"


@pytest.mark.parametrize("threads", [0, 2])
def test_batches_keep_their_memory_as_long_as_any_part_is_used(dataset, monkeypatch, threads):
    fresh = [batch.values for batch in RTXDataLoader(dataset, 2, shuffle=False, threads=threads)]
    monkeypatch.setattr(reused_memory, "SMALLEST_BYTES", 1)
    loader = RTXDataLoader(dataset, 2, shuffle=False, threads=threads)
    kept = []
    for epoch in range(6):
        for batch, wanted in zip(loader, fresh, strict=True):
            for name, values in batch.values.items():
                assert torch.equal(values, wanted[name])
            if epoch == 0:
                kept.append(batch.values["observation/front"][1:])
            else:  # what is written into a batch does not come back
                for values in batch.values.values():
                    values.fill_(1)
    for rows, wanted in zip(kept, fresh, strict=True):
        assert torch.equal(rows, wanted["observation/front"][1:])


def test_a_loader_goes_to_another_process(dataset):
    here = RTXDataLoader(dataset, 2, seed=3)
    there = pickle.loads(pickle.dumps(here))
    assert [batch.keys for batch in there] == [batch.keys for batch in here]


def test_order_follows_from_seed_and_epoch(dataset):
    def keys(seed: int, epochs: int, threads: int = 2) -> list[list[list[str]]]:
        loader = RTXDataLoader(dataset, 2, seed=seed, threads=threads)
        return [[batch.keys for batch in loader] for _ in range(epochs)]

    assert keys(7, 3) == keys(7, 3, threads=0) and keys(7, 3)[0] != keys(7, 3)[1]
    assert keys(7, 2) != keys(8, 2)
    for epoch in keys(7, 3):
        assert sorted(key for keys_of_batch in epoch for key in keys_of_batch) == dataset.keys()


@pytest.mark.parametrize("position", range(7))
def test_a_restored_loader_goes_on_exactly(dataset, position):
    def stream(loader):
        while True:
            yield from loader

    first = RTXDataLoader(dataset, 2, seed=3)
    whole = stream(first)
    for _ in range(position):
        next(whole)
    state = first.state_dict()
    rest = stream(first) if position == 0 else whole
    other = RTXDataLoader(dataset, 2, seed=3, threads=0)
    other.load_state_dict(state)
    for batch, again in zip((next(rest) for _ in range(5)), stream(other), strict=False):
        assert batch.keys == again.keys
        for name, values in batch.values.items():
            assert torch.equal(values, again.values[name])


def test_a_state_of_other_data_is_refused(dataset):
    state = RTXDataLoader(dataset, 2, seed=3).state_dict()
    for other, name in (
        (RTXDataLoader(dataset, 2, seed=4), "seed"),
        (RTXDataLoader(dataset, 3, seed=3), "batch_size"),
        (RTXDataLoader(dataset, 2, seed=3, min_length=4), "episodes"),
    ):
        with pytest.raises(ConfigError, match=f"cannot resume the loader: {name}"):
            other.load_state_dict(state)


def test_filters(tmp_path):
    outcomes = ["/success/", "/failure/", "/success/", "/elsewhere/"]
    words = ["Wipe the table", "pick", "pick up", ""]
    records = [
        simple_episode(
            k,
            3 + k,
            **{
                "episode_metadata/file_path": [outcomes[k]],
                "steps/language_instruction": [words[k]] * (3 + k),
            },
        )
        for k in range(4)
    ]
    metadata = {"episode_metadata": group(file_path=text())}
    root = write_dataset(tmp_path, SIMPLE, {"train": [records]}, episode=metadata)
    dataset = RTXDataset(root, conventions="as_stored", known_as="droid")

    def kept(**filters) -> list[int]:
        loader = RTXDataLoader(dataset, 1, cameras=(), streams=["action"], **filters)
        return [int(key[-1]) for key in loader.keys]

    assert kept() == [0, 1, 2, 3]
    assert kept(success=True) == [0, 2] and kept(success=False) == [1]
    assert kept(language="wipe") == [0] and kept(language=r"\S") == [0, 1, 2]
    assert kept(language="^pick$") == [1] and kept(language="table|up") == [0, 2]
    assert kept(min_length=5) == [2, 3] and kept(max_length=4) == [0, 1]
    assert kept(success=True, language="pick") == [2]
    with pytest.raises(ConfigError, match="none of 4 episodes is left"):
        kept(language="fold")
    with pytest.raises(ConfigError, match="is no pattern"):
        kept(language="(")
    summaries = dataset.summaries
    again = RTXDataset(root, conventions="as_stored", known_as="droid")
    again.reader.rlds_episode = None  # what was kept is enough
    assert again.summaries == summaries


def test_choice_of_streams_and_cameras(dataset):
    only = RTXDataLoader(dataset, 2, streams=["action"], cameras=[])
    assert list(next(iter(only)).values) == ["action"]
    both = RTXDataLoader(dataset, 2, streams=["action"])
    assert list(next(iter(both)).values) == ["action", "observation/front"]
    with pytest.raises(ConfigError, match="did you mean 'observation/front'"):
        RTXDataLoader(dataset, 2, cameras=["observation/frnt"])
    with pytest.raises(ConfigError, match="unknown stream"):
        RTXDataLoader(dataset, 2, streams=["torque"])
    with pytest.raises(ShapeError, match="5 steps do not fit into pad_to=4"):
        list(RTXDataLoader(dataset, 2, pad_to=4))
    with pytest.raises(ConfigError, match="batch_size"):
        RTXDataLoader(dataset, 0)


def test_episodes_that_cannot_be_read(tmp_path):
    root = simple_dataset(tmp_path)
    path = shard_file(root, count=2)
    data = bytearray(path.read_bytes())
    data[300] ^= 1
    path.write_bytes(data)
    dataset = RTXDataset(root)
    with pytest.raises(CorruptFileError, match="train/000000"):
        RTXDataLoader(dataset, 2, shuffle=False)
    with pytest.raises(CorruptFileError, match="train/000000"):
        RTXDataLoader(dataset, 2, language="block")
    loader = RTXDataLoader(dataset, 2, shuffle=False, on_error="skip")
    with pytest.warns(UserWarning, match=r"episode skipped: .*train/000000"):
        batches = list(loader)
    assert batches[0].keys == ["train/000001"] and loader.skipped == 1


def test_pictures_that_cannot_be_decoded_leave_no_trace(tmp_path):
    episodes = [simple_episode(0, 3), simple_episode(1, 6), simple_episode(2, 4)]
    damaged = [b"\xff\xd8\xff no picture"] * 6
    episodes[1] = simple_episode(1, 6, **{"steps/observation/front": damaged})
    root = write_dataset(tmp_path, SIMPLE, {"train": [episodes]})
    loader = RTXDataLoader(RTXDataset(root), 3, shuffle=False, on_error="skip")
    with pytest.warns(UserWarning, match=r"episode skipped: .*train/000001") as told:
        (batch,) = loader
    assert len(told) == loader.skipped == 1
    assert batch.keys == ["train/000000", "train/000002"]
    assert batch.valid.shape == (2, 4) and not batch.values["observation/front"][0, 3:].any()
    with pytest.raises(CorruptFileError, match="step 0") as caught:
        list(RTXDataLoader(RTXDataset(root), 3, shuffle=False))
    assert (caught.value.episode, caught.value.stream) == ("train/000001", "observation/front")


def test_pictures_of_different_shapes_do_not_go_together(tmp_path):
    records = [simple_episode(0, 3), simple_episode(1, 3)]
    features = {**SIMPLE, "action": {**SIMPLE["action"]}}
    features["action"] = {
        "pythonClassName": "Tensor",
        "tensor": {"shape": {"dimensions": ["-1"]}, "dtype": "float32"},
    }
    records[1] = simple_episode(1, 3, **{"steps/action": [0.5] * 6})
    dataset = RTXDataset(write_dataset(tmp_path, features, {"train": [records]}))
    with pytest.raises(ShapeError, match=r"float32 of shape \(2,\), in train/000000") as caught:
        list(RTXDataLoader(dataset, 2, shuffle=False))
    assert (caught.value.episode, caught.value.stream) == ("train/000001", "action")


def test_what_is_read_ahead_is_skipped_when_its_batch_comes(tmp_path):
    root = simple_dataset(tmp_path)
    path = shard_file(root, number=1, count=2)
    data = bytearray(path.read_bytes())
    data[300] ^= 1
    path.write_bytes(data)
    dataset = RTXDataset(root)
    for threads in (0, 3):
        loader = RTXDataLoader(dataset, 1, shuffle=False, on_error="skip", threads=threads)
        batches = iter(loader)
        for number in range(3):
            assert next(batches).keys == [f"train/{number:06d}"] and loader.skipped == 0
        with pytest.warns(UserWarning, match=r"episode skipped: .*train/000003"):
            assert next(batches).keys == ["train/000004"]
        assert loader.skipped == 1 and next(batches, None) is None
        raising = iter(RTXDataLoader(dataset, 1, shuffle=False, threads=threads))
        for number in range(3):
            assert next(raising).keys == [f"train/{number:06d}"]
        with pytest.raises(CorruptFileError, match="train/000003"):
            next(raising)
