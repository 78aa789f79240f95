"""Batches of voxels from CALVIN's static depth, with robot state and actions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from robocache.core.errors import ConfigError, MissingStreamError
from robocache.datasets.calvin.dataset import CalvinDataset
from robocache.datasets.cameras import points_seen
from robocache.datasets.epochs import Epochs, one_clock
from robocache.datasets.origin import Origin
from robocache.datasets.windows import Batch
from robocache.ops.voxelize import require_memory, voxelize

DEPTH, COLOUR = "depth_static", "rgb_static"
PIXELS_TOGETHER = 160_000
"""Pixels made voxels at once: what they pass through is small, whatever the size of a batch."""


@dataclass(frozen=True)
class VoxelGrid:
    """Where the voxels are in the world; the default covers CALVIN's table.

    Attributes:
        voxel_size: edge in metres.
        dims: voxels along x, y and z.
        origin: outer corner of voxel (0, 0, 0), metres.
    """

    voxel_size: float = 0.02
    dims: tuple[int, int, int] = (50, 50, 30)
    origin: tuple[float, float, float] = (-0.5, -0.5, 0.3)


@dataclass(frozen=True, eq=False)
class VoxelBatch:
    """B samples, each with O observations up to now and H actions from now on.

    Attributes:
        occupied: (B, O, X, Y, Z) bool, False everywhere where invalid.
        colours: (B, O, 3, X, Y, Z) float32, mean colour in [0, 1] of the points in a voxel; None
            unless asked for.
        dropped: (B, O) int64, pixels that are in no voxel.
        state: (B, O, S) float32.
        valid: stream -> (B, O) bool, False before the start of an episode.
        actions: (B, H, A) float32, zeros where invalid.
        action_valid: (B, H) bool, False past the end of an episode.
        instructions: B texts.
        origins: B places the samples come from.
    """

    occupied: torch.Tensor
    colours: torch.Tensor | None
    dropped: torch.Tensor
    state: torch.Tensor
    valid: Mapping[str, torch.Tensor]
    actions: torch.Tensor
    action_valid: torch.Tensor
    instructions: list[str]
    origins: list[Origin]


class CalvinVoxelDataLoader(Epochs[VoxelBatch]):
    """Static depth made voxels on the fly; each `for` goes through one epoch.

    Args:
        dataset: play episodes or language windows.
        grid: where the voxels are.
        colours: also the mean colour of each voxel.
        state: stream of the robot's state, read at the times of the actions.
        action: stream of the actions to predict.
        observation_steps: O, observations up to now, one control step apart.
        horizon: H, actions from now on.
        batch_size, seed, shuffle, workers: as `Epochs` takes them.

    Raises:
        ConfigError: no episodes, splits of different rates, or a grid that cannot be; a batch of
            grids above the memory that is free, when it is asked for.
        MissingStreamError: no depth, state or actions, or the static camera is not described.
        DataError: an episode that is not sound; names file, episode and stream.
    """

    def __init__(
        self,
        dataset: CalvinDataset,
        grid: VoxelGrid | None = None,
        *,
        colours: bool = False,
        state: str = "robot_obs",
        action: str = "rel_actions",
        observation_steps: int = 1,
        horizon: int = 16,
        batch_size: int = 32,
        seed: int = 0,
        shuffle: bool = True,
        workers: int = 0,
    ) -> None:
        if len(dataset) == 0:
            raise ConfigError(f"{dataset.name} has no {dataset.segments} episodes")
        rates = {split.rate_hz for split in dataset.folders.values()}
        if len(rates) > 1:
            raise ConfigError(f"splits of different rates ({rates} Hz); open them one by one")
        self.dataset, self.grid = dataset, grid or VoxelGrid()
        self._dims = _dims(self.grid)
        self._state, self._colours = state, colours
        streams = [DEPTH, *([COLOUR] if colours else []), state]
        super().__init__(
            dataset,
            one_clock(streams, action, rates.pop(), observation_steps, horizon),
            batch_size=batch_size,
            seed=seed,
            shuffle=shuffle,
            workers=workers,
        )
        self._cameras = {key: self._camera(key) for key in self.table.keys}

    def made(self, batch: Batch, origins: list[Origin]) -> VoxelBatch:
        cameras = [self._cameras[origin.episode] for origin in origins]
        intrinsics, poses = (
            torch.from_numpy(np.stack(matrices)) for matrices in zip(*cameras, strict=True)
        )
        depth, grid = batch.values[DEPTH], self.grid
        lead = depth.shape[:2]
        occupied = self._grids(*lead, dtype=torch.bool)
        dropped = torch.empty(lead, dtype=torch.int64)
        colours = self._grids(*lead, 3, dtype=torch.float32) if self._colours else None
        together = max(1, PIXELS_TOGETHER // depth[0].numel())
        for first in range(0, len(depth), together):
            part = slice(first, first + together)
            points = points_seen(depth[part], intrinsics[part], poses[part], "opengl").flatten(2, 3)
            placed = (points, grid.voxel_size, grid.dims, grid.origin)
            _, dropped[part] = voxelize(*placed, out=occupied[part], return_dropped=True)
            if colours is not None:
                pixels = batch.values[COLOUR][part].flatten(2, 3).float() / 255
                voxelize(*placed, reduce="mean", features=pixels, out=colours[part])
        return VoxelBatch(
            occupied=occupied,
            colours=colours,
            dropped=dropped,
            state=batch.values[self._state].float(),
            valid=batch.valid,
            actions=batch.actions,
            action_valid=batch.action_valid,
            instructions=batch.instructions,
            origins=origins,
        )

    def _grids(self, *lead: int, dtype: torch.dtype) -> torch.Tensor:
        """(*lead, X, Y, Z) that holds anything."""
        shape = (*lead, *self._dims)
        require_memory(math.prod(shape) * dtype.itemsize, torch.device("cpu"))
        return torch.empty(shape, dtype=dtype)

    def _camera(self, key: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Intrinsics and pose of the static camera."""
        camera = self.dataset.cameras(key).get("static")
        if camera is None or camera.extrinsics is None:
            raise MissingStreamError(
                "points need the static camera, which .hydra/merged_config.yaml does not describe",
                episode=key,
                stream=DEPTH,
            )
        return camera.intrinsics, camera.extrinsics


def _dims(grid: VoxelGrid) -> tuple[int, ...]:
    """Voxels along each axis.

    Raises:
        ConfigError: a grid that cannot be.
    """
    empty = voxelize(torch.empty(0, 3), grid.voxel_size, grid.dims, grid.origin)
    return tuple(cast(torch.Tensor, empty).shape)
