"""Batches of cameras, depth, proprioception and actions, by hand and resumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hdf5_demos
import numpy as np
import pytest
import torch

from robocache.core.errors import ConfigError, MissingStreamError
from robocache.datasets.hdf5 import FusionBatch, RoboMimicDataset, RoboMimicFusionDataLoader

PARTS = ("obs/robot0_eef_pos", "obs/robot0_gripper_qpos")


@pytest.fixture
def dataset(tmp_path: Path) -> RoboMimicDataset:
    return RoboMimicDataset(hdf5_demos.write(tmp_path / "a.hdf5", (0, 1, 2)))


def test_in_order_by_hand(dataset: RoboMimicDataset) -> None:
    loader = RoboMimicFusionDataLoader(
        dataset, observation_steps=3, horizon=4, batch_size=6, shuffle=False
    )
    batches = list(loader)
    assert len(batches) == len(loader) == 3
    assert [b.origins[0].episode for b in batches] == ["demo_0", "demo_1", "demo_2"]
    for number, batch in enumerate(batches):
        stored = hdf5_demos.arrays(number)
        assert list(batch.pictures) == list(batch.depth) == ["front"]
        assert batch.parts == {PARTS[0]: slice(0, 3), PARTS[1]: slice(3, 5)}
        for step in range(6):
            assert batch.origins[step].step == step and batch.origins[step].source == "a.hdf5"
            assert batch.origins[step].now_s == step / 10
            for offset in range(3):
                at = step - 2 + offset
                for name, valid in batch.valid.items():
                    assert valid[step, offset] == (at >= 0), name
                picture = batch.pictures["front"][step, offset].numpy()
                depth = batch.depth["front"][step, offset].numpy()
                vector = batch.proprioception[step, offset].numpy()
                if at < 0:
                    assert not picture.any() and not depth.any() and not vector.any()
                    continue
                np.testing.assert_array_equal(picture, stored["obs/front_image"][at])
                np.testing.assert_array_equal(depth, stored["obs/front_depth"][at, ..., 0])
                expected = np.concatenate([stored[name][at] for name in PARTS])
                np.testing.assert_array_equal(vector, expected.astype(np.float32))
            for ahead in range(4):
                there = step + ahead < 6
                assert batch.action_valid[step, ahead] == there
                expected = stored["actions"][step + ahead] if there else np.zeros(7)
                np.testing.assert_array_equal(
                    batch.actions[step, ahead].numpy(), expected.astype(np.float32)
                )


def test_points_are_in_the_world(dataset: RoboMimicDataset) -> None:
    batch = next(iter(RoboMimicFusionDataLoader(dataset, observation_steps=2, batch_size=3)))
    points = batch.points("front")
    assert points.shape == (3, 2, 72, 80, 3)
    # The camera is 2 m up and looks down: z of the world is 2 minus depth.
    expected = 2 - batch.depth["front"]
    there = batch.valid["obs/front_depth"]
    torch.testing.assert_close(points[there][..., 2], expected[there])
    assert points[~there].isnan().all()
    with pytest.raises(MissingStreamError, match="points need depth and a known pose"):
        batch.points("side")


def _digest(batch: FusionBatch) -> Any:
    return (
        batch.origins,
        batch.instructions,
        batch.actions.numpy().tobytes(),
        batch.proprioception.numpy().tobytes(),
        {name: value.numpy().tobytes() for name, value in batch.pictures.items()},
        {name: value.numpy().tobytes() for name, value in batch.depth.items()},
    )


def _loader(dataset: RoboMimicDataset, **options: Any) -> RoboMimicFusionDataLoader:
    return RoboMimicFusionDataLoader(dataset, **{"batch_size": 4, "seed": 5, **options})


@pytest.mark.parametrize("shuffle", [True, False])
def test_resumed_at_every_batch(dataset: RoboMimicDataset, shuffle: bool) -> None:
    whole = _loader(dataset, shuffle=shuffle)
    states, seen, left = [], [], []
    for epoch in range(3):
        for number, batch in enumerate(whole):
            states.append(json.loads(json.dumps(whole.state_dict())))
            seen.append(_digest(batch))
            left.append((2 - epoch, len(whole) - number - 1))
    assert len(seen) == 12
    if shuffle:
        assert seen[:4] != seen[4:8], "epochs differ"
    for at, state in enumerate(states[:-1]):
        again = _loader(dataset, shuffle=shuffle)
        again.load_state_dict(state)
        rest: list[Any] = []
        while len(rest) < 11 - at:
            rest += [_digest(batch) for batch in again]
        assert rest[: 11 - at] == seen[at + 1 :]


def test_workers_change_nothing(dataset: RoboMimicDataset) -> None:
    with _loader(dataset, workers=1) as loader:
        assert [_digest(batch) for batch in loader] == [_digest(b) for b in _loader(dataset)]
        state = json.loads(json.dumps(loader.state_dict()))
        assert [_digest(batch) for batch in loader] == [
            _digest(batch) for batch in _resumed(dataset, state)
        ]


def _resumed(dataset: RoboMimicDataset, state: Any) -> RoboMimicFusionDataLoader:
    loader = _loader(dataset)
    loader.load_state_dict(state)
    return loader


def test_another_state_is_refused(dataset: RoboMimicDataset, tmp_path: Path) -> None:
    state = _loader(dataset).state_dict()
    other = RoboMimicDataset(hdf5_demos.write(tmp_path / "b.hdf5", (0, 1, 3)))
    for loader, what in (
        (_loader(dataset, shuffle=False), "shuffle"),
        (_loader(dataset, seed=6), "seed"),
        (_loader(dataset, batch_size=5), "batch_size"),
        (_loader(dataset, horizon=3), "samples"),
        (_loader(other), "samples"),
    ):
        with pytest.raises(ConfigError, match=f"{what} was"):
            loader.load_state_dict(state)


def test_orders_follow_from_the_seed(dataset: RoboMimicDataset) -> None:
    def order(seed: int) -> list[Any]:
        return [batch.origins for batch in _loader(dataset, seed=seed)]

    assert order(1) == order(1) != order(2)


def test_choices(dataset: RoboMimicDataset, tmp_path: Path) -> None:
    batch = next(iter(_loader(dataset, cameras=(), proprioception=("states",), depth=False)))
    assert not batch.pictures and batch.proprioception.shape == (4, 1, 9)
    blind = next(iter(_loader(dataset, depth=False, proprioception=(), action="action_abs")))
    assert not blind.depth and blind.proprioception.shape == (4, 1, 0)
    assert blind.intrinsics["front"].shape == (4, 3, 3)
    with pytest.raises(MissingStreamError, match=r"side.*no such camera \(cameras: front\)"):
        _loader(dataset, cameras=("side",))
    with pytest.raises(MissingStreamError, match="stream jump"):
        _loader(dataset, action="jump")
    with pytest.raises(ConfigError, match="nothing to observe"):
        _loader(dataset, cameras=(), proprioception=())
    with pytest.raises(ConfigError, match="at least 1"):
        _loader(dataset, horizon=0)
    (tmp_path / "two").mkdir()
    hdf5_demos.write(tmp_path / "two" / "a.hdf5", (0,))
    hdf5_demos.write(tmp_path / "two" / "b.hdf5", (0,), attrs={"env_args": None})
    with pytest.raises(ConfigError, match=r"b.hdf5 runs at 20.0 Hz, the first file at 10.0 Hz"):
        _loader(RoboMimicDataset(tmp_path / "two"), cameras=(), proprioception=PARTS)


def test_on_the_sample(shared_data: Path) -> None:
    path = shared_data / "robomimic_hdf5" / "image_depth.hdf5"
    dataset = RoboMimicDataset(path, filter="train")
    loader = _loader(dataset, cameras=("agentview", "robot0_eye_in_hand"), batch_size=8)
    origins = []
    for batch in loader:
        origins += batch.origins
        assert batch.pictures["agentview"].shape == (8, 1, 84, 84, 3)
        assert set(batch.extrinsics) == {"agentview"}, "the hand's camera moves"
    assert {origin.episode for origin in origins} == {"demo_0", "demo_1"}
    heights = batch.points("agentview")[..., 2].flatten().numpy()
    count, edges = np.histogram(heights, np.arange(0.0, 2.0, 0.01))
    assert edges[count.argmax()] + 0.005 == pytest.approx(0.805)
