"""Batches of voxels from CALVIN's static depth, with robot state and actions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from robocache.core.errors import ConfigError, MissingStreamError
from robocache.core.stream import AlignmentPolicy
from robocache.core.window import StreamInput, Window
from robocache.datasets.calvin.dataset import CalvinDataset
from robocache.datasets.epochs import Epochs
from robocache.datasets.origin import Origin
from robocache.datasets.windows import Batch
from robocache.ops.deproject import deproject
from robocache.ops.voxelize import voxelize

DEPTH, COLOUR = "depth_static", "rgb_static"


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


class CalvinVoxelDataLoader:
    """Static depth made voxels on the fly; each `for` goes through one epoch.

    Args:
        dataset: play episodes or language windows.
        grid: where the voxels are.
        colours: also the mean colour of each voxel.
        state: stream of the robot's state, read at the times of the actions.
        action: stream of the actions to predict.
        observation_steps: O, observations up to now, one control step apart.
        horizon: H, actions from now on.
        batch_size, seed, shuffle: as `Epochs` takes them.

    Raises:
        ConfigError: no episodes, splits of different rates, or a grid that cannot be.
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
    ) -> None:
        if len(dataset) == 0:
            raise ConfigError(f"{dataset.name} has no {dataset.segments} episodes")
        if observation_steps < 1 or horizon < 1:
            raise ConfigError(
                f"observation_steps and horizon must be at least 1: {observation_steps}, {horizon}"
            )
        self.dataset, self.grid = dataset, grid or VoxelGrid()
        self._state, self._colours = state, colours
        rates = {split.rate_hz for split in dataset.folders.values()}
        if len(rates) > 1:
            raise ConfigError(f"splits of different rates ({rates} Hz); open them one by one")
        streams = [DEPTH, *([COLOUR] if colours else []), state]
        self.epochs = Epochs(
            dataset,
            _window(streams, action, rates.pop(), observation_steps, horizon),
            batch_size=batch_size,
            seed=seed,
            shuffle=shuffle,
        )
        self._cameras = {key: self._camera(key) for key in self.epochs.table.keys}

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self.epochs)

    def __iter__(self) -> Iterator[VoxelBatch]:
        return (self._voxels(batch) for batch in self.epochs)

    def state_dict(self) -> dict[str, Any]:
        return self.epochs.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state; raises ConfigError if it belongs to something else."""
        self.epochs.load_state_dict(state)

    def _voxels(self, batch: Batch) -> VoxelBatch:
        origins = self.epochs.origins(batch.index)
        depth = batch.values[DEPTH]
        cameras = [self._cameras[origin.episode] for origin in origins]
        intrinsics, poses = (
            torch.from_numpy(np.stack(matrices))[:, None].expand(*depth.shape[:2], -1, -1)
            for matrices in zip(*cameras, strict=True)
        )
        points = deproject(depth, intrinsics, poses, "opengl").flatten(2, 3)
        grid = self.grid
        placed = (points, grid.voxel_size, grid.dims, grid.origin)
        occupied, dropped = voxelize(*placed, return_dropped=True)
        colours = None
        if self._colours:
            pixels = batch.values[COLOUR].flatten(2, 3).float() / 255
            colours = voxelize(*placed, reduce="mean", features=pixels)
        return VoxelBatch(
            occupied=occupied,
            colours=colours if isinstance(colours, torch.Tensor) else None,
            dropped=dropped,
            state=batch.values[self._state].float(),
            valid=batch.valid,
            actions=batch.actions,
            action_valid=batch.action_valid,
            instructions=batch.instructions,
            origins=origins,
        )

    def _camera(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """Intrinsics and pose of the static camera."""
        camera = self.dataset.cameras(key).get("static")
        if camera is None or camera.extrinsics is None:
            raise MissingStreamError(
                "points need the static camera, which .hydra/merged_config.yaml does not describe",
                episode=key,
                stream=DEPTH,
            )
        return camera.intrinsics, camera.extrinsics


def _window(
    streams: Sequence[str], action: str, rate_hz: float, steps: int, horizon: int
) -> Window:
    offsets = tuple(-step / rate_hz for step in reversed(range(steps)))
    # All streams share the clock of the actions; half a step absorbs rounding of k / rate.
    near = AlignmentPolicy("nearest", max_gap_s=0.5 / rate_hz)
    inputs = tuple(StreamInput(name, offsets, near) for name in streams)
    return Window(inputs, action, rate_hz, horizon)
