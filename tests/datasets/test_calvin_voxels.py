"""Voxels from static depth, by hand and resumed."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import calvin_folder
import numpy as np
import pytest
import torch

from robocache.core.errors import ConfigError, MissingStreamError
from robocache.datasets.calvin import CalvinDataset, CalvinVoxelDataLoader, VoxelGrid, voxels
from robocache.datasets.calvin.voxels import VoxelBatch
from robocache.ops.voxelize import voxelize

GRID = VoxelGrid(voxel_size=0.25, dims=(6, 5, 4), origin=(-0.7, -0.6, 0.0))


@pytest.fixture
def dataset(tmp_path: Path) -> CalvinDataset:
    return CalvinDataset(calvin_folder.write(tmp_path / "training"))


def _by_hand(number: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Occupancy, mean colour and dropped pixels of a frame, pixel by pixel."""
    frame = calvin_folder.frame(number)
    occupied = np.zeros(GRID.dims, bool)
    colours: dict[tuple[int, ...], list[np.ndarray]] = {}
    dropped = 0
    for v, u in np.ndindex(8, 8):
        d = float(frame["depth_static"][v, u])
        point = np.array([(u - 4) / 4 * d, -(v - 4) / 4 * d, 2 - d])  # see CONFIG
        cell = np.floor((point - GRID.origin) / GRID.voxel_size).astype(int)
        if (cell < 0).any() or (cell >= GRID.dims).any():
            dropped += 1
            continue
        occupied[tuple(cell)] = True
        colours.setdefault(tuple(cell), []).append(frame["rgb_static"][v, u] / 255)
    mean = np.zeros((3, *GRID.dims))
    for cell, seen in colours.items():
        mean[(slice(None), *cell)] = np.mean(seen, axis=0)
    return occupied, mean, dropped


def test_in_order_by_hand(dataset: CalvinDataset) -> None:
    loader = CalvinVoxelDataLoader(
        dataset, GRID, colours=True, observation_steps=2, horizon=3, batch_size=11, shuffle=False
    )
    (batch,) = loader
    assert len(loader) == 1
    lasts = [107] * 8 + [110] * 3
    for row, (number, last) in enumerate(zip(range(100, 111), lasts, strict=True)):
        origin = batch.origins[row]
        assert origin.step == (row if last == 107 else row - 8)
        assert origin.episode == ("play_0000100_0000107" if last == 107 else "play_0000108_0000110")
        for offset in range(2):
            seen = number - 1 + offset
            there = seen >= (100 if last == 107 else 108)
            assert all(valid[row, offset] == there for valid in batch.valid.values())
            if not there:
                assert not batch.occupied[row, offset].any() and batch.dropped[row, offset] == 64
                assert not batch.state[row, offset].any()
                continue
            occupied, mean, dropped = _by_hand(seen)
            np.testing.assert_array_equal(batch.occupied[row, offset].numpy(), occupied)
            assert batch.dropped[row, offset] == dropped
            assert batch.colours is not None
            np.testing.assert_allclose(batch.colours[row, offset].numpy(), mean, atol=1e-6)
            state = calvin_folder.frame(seen)["robot_obs"].astype(np.float32)
            np.testing.assert_array_equal(batch.state[row, offset].numpy(), state)
        for ahead in range(3):
            there = number + ahead <= last
            assert batch.action_valid[row, ahead] == there
            if there:
                action = calvin_folder.frame(number + ahead)["rel_actions"].astype(np.float32)
                np.testing.assert_array_equal(batch.actions[row, ahead].numpy(), action)


@pytest.mark.parametrize("together", [1, 3 * 64, 10**9])
def test_how_many_pixels_go_together_changes_nothing(
    dataset: CalvinDataset, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    def batch() -> VoxelBatch:
        (made,) = CalvinVoxelDataLoader(dataset, GRID, colours=True, batch_size=11)
        return made

    wanted = batch()
    sizes = []

    def counting(points: torch.Tensor, *args: Any, **settings: Any) -> Any:
        sizes.append(len(points))
        return voxelize(points, *args, **settings)

    monkeypatch.setattr(voxels, "PIXELS_TOGETHER", together)
    monkeypatch.setattr(voxels, "voxelize", counting)
    found = batch()
    most = {1: 1, 3 * 64: 3, 10**9: 11}[together]
    assert max(sizes) == most and sum(sizes) == 2 * 11
    for name in ("occupied", "colours", "dropped"):
        assert torch.equal(getattr(found, name), getattr(wanted, name))


def test_grids_that_cannot_be(dataset: CalvinDataset) -> None:
    with pytest.raises(ConfigError, match="three whole numbers above 0"):
        CalvinVoxelDataLoader(dataset, VoxelGrid(dims=(6, 5, 0)))
    vast = CalvinVoxelDataLoader(dataset, VoxelGrid(dims=(300, 300, 100)), batch_size=8)
    free = 8 * 9_000_000 - 1
    with (
        mock.patch("psutil.virtual_memory", return_value=SimpleNamespace(available=free)),
        pytest.raises(ConfigError, match="would take 72000000 bytes"),
    ):
        next(iter(vast))


def _digest(batch: Any) -> Any:
    tensors = (batch.occupied, batch.dropped, batch.state, batch.actions)
    return batch.origins, batch.instructions, [t.numpy().tobytes() for t in tensors]


def test_resumed_at_every_batch(dataset: CalvinDataset) -> None:
    spoken = CalvinDataset(dataset.path, segments="language")

    def loader() -> CalvinVoxelDataLoader:
        return CalvinVoxelDataLoader(spoken, GRID, batch_size=3, seed=4)

    whole = loader()
    states, seen = [], []
    for _ in range(2):
        for batch in whole:
            assert {origin.episode.split("_")[0] for origin in batch.origins} == {"language"}
            states.append(json.loads(json.dumps(whole.state_dict())))
            seen.append(_digest(batch))
    assert len(seen) == 6
    for at, state in enumerate(states[:-1]):
        again = loader()
        again.load_state_dict(state)
        rest = [_digest(batch) for _ in range(2) for batch in again]
        assert rest[: 5 - at] == seen[at + 1 :]
    with pytest.raises(ConfigError, match="samples was"):
        CalvinVoxelDataLoader(dataset, GRID, batch_size=3, seed=4).load_state_dict(states[0])


def test_what_cannot_be(dataset: CalvinDataset, tmp_path: Path) -> None:
    with pytest.raises(MissingStreamError, match="stream force"):
        CalvinVoxelDataLoader(dataset, GRID, state="force")
    with pytest.raises(ConfigError, match="at least 1"):
        CalvinVoxelDataLoader(dataset, GRID, horizon=0)
    (dataset.path / ".hydra" / "merged_config.yaml").unlink()
    with pytest.raises(MissingStreamError, match="points need the static camera"):
        CalvinVoxelDataLoader(CalvinDataset(dataset.path), GRID)
    empty = CalvinDataset(calvin_folder.write(tmp_path / "e", windows=[]), segments="language")
    with pytest.raises(ConfigError, match="no language episodes"):
        CalvinVoxelDataLoader(empty, GRID)


def test_on_the_sample(shared_data: Path) -> None:
    dataset = CalvinDataset(shared_data / "calvin", segments="language")
    loader = CalvinVoxelDataLoader(dataset, batch_size=4, seed=1)
    batch = next(iter(loader))
    assert batch.occupied.shape == (4, 1, 50, 50, 30)
    assert batch.instructions == ["move the slider left"] * 4
    heights = batch.occupied.sum(dim=(0, 1, 2, 3))
    assert int(heights.argmax()) == int((0.445 - 0.3) / 0.02), "most voxels are of the table"
