"""Batches of several cameras, depth, proprioception and actions from HDF5 demonstrations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from robocache.core.errors import ConfigError, MissingStreamError, ShapeError
from robocache.core.stream import StreamSpec
from robocache.core.window import Window
from robocache.datasets.cameras import Camera, points_seen
from robocache.datasets.epochs import Epochs, one_clock
from robocache.datasets.hdf5.dataset import RoboMimicDataset
from robocache.datasets.origin import Origin
from robocache.datasets.windows import Batch

PICTURES = ("_image", "_rgb")  # robomimic, LIBERO
DEPTH = "_depth"


@dataclass(frozen=True, eq=False)
class FusionBatch:
    """B samples, each with O observations up to now and H actions from now on.

    Attributes:
        pictures: camera -> (B, O, height, width, 3) uint8, zeros where invalid.
        depth: camera -> (B, O, height, width) float32, metres along the optical axis.
        proprioception: (B, O, P) float32, the streams in `parts` one after another.
        parts: stream -> its columns of `proprioception`.
        valid: stream -> (B, O) bool, False before the start of an episode.
        actions: (B, H, A) float32, zeros where invalid.
        action_valid: (B, H) bool, False past the end of an episode.
        intrinsics: camera -> (B, 3, 3) float64 pixels, where the file tells them.
        extrinsics: camera -> (B, 4, 4) float64 pose in the world, of cameras that stand still.
        instructions: B texts.
        origins: B places the samples come from.
    """

    pictures: Mapping[str, torch.Tensor]
    depth: Mapping[str, torch.Tensor]
    proprioception: torch.Tensor
    parts: Mapping[str, slice]
    valid: Mapping[str, torch.Tensor]
    actions: torch.Tensor
    action_valid: torch.Tensor
    intrinsics: Mapping[str, torch.Tensor]
    extrinsics: Mapping[str, torch.Tensor]
    instructions: list[str]
    origins: list[Origin]

    def points(self, camera: str) -> torch.Tensor:
        """(B, O, height, width, 3) float32 metres in the world, NaN where there is no depth.

        Raises:
            MissingStreamError: no depth of this camera, or its pose is not known.
        """
        if camera not in self.depth or camera not in self.extrinsics:
            raise MissingStreamError(
                f"points need depth and a known pose (depth: {sorted(self.depth)}, poses: "
                f"{sorted(self.extrinsics)})",
                stream=camera,
            )
        return points_seen(self.depth[camera], self.intrinsics[camera], self.extrinsics[camera])


class RoboMimicFusionDataLoader(Epochs[FusionBatch]):
    """Aligned batches over HDF5 demonstrations; each `for` goes through one epoch.

    Args:
        dataset: where the demonstrations are; its filter says which.
        cameras: names, e.g. ("agentview",); None: every camera of the first episode.
        depth: also read the depth of those cameras that have it.
        proprioception: vector streams, e.g. ("obs/robot0_eef_pos",); None: every vector under
            `obs/` that is not privileged.
        action: stream of the actions to predict.
        observation_steps: O, observations up to now, one control step apart.
        horizon: H, actions from now on.
        batch_size, seed, shuffle, workers: as `Epochs` takes them.

    Raises:
        ConfigError: no episodes, or a camera that is not there.
        DataError: an episode that is not sound; names file, episode and stream.
    """

    def __init__(
        self,
        dataset: RoboMimicDataset,
        *,
        cameras: Sequence[str] | None = None,
        depth: bool = True,
        proprioception: Sequence[str] | None = None,
        action: str = "action",
        observation_steps: int = 1,
        horizon: int = 16,
        batch_size: int = 32,
        seed: int = 0,
        shuffle: bool = True,
        workers: int = 0,
    ) -> None:
        if len(dataset) == 0:
            raise ConfigError(f"{dataset.name} has no episodes (filter: {dataset.filter})")
        specs = {name: stream.spec for name, stream in dataset[0].streams.items()}
        self.dataset = dataset
        self._pictures = _picture_streams(specs, cameras)
        self._depth = _depth_streams(specs, self._pictures) if depth else {}
        self._parts = _parts(specs, proprioception)
        window = _window(specs, self._streams(), action, observation_steps, horizon)
        super().__init__(
            dataset, window, batch_size=batch_size, seed=seed, shuffle=shuffle, workers=workers
        )
        _check_rates(dataset, window.rate_hz)
        self._cameras: dict[str, dict[str, Camera]] = {}

    def made(self, batch: Batch, origins: list[Origin]) -> FusionBatch:
        told = [self._cameras_of(origin.episode) for origin in origins]
        steps = (len(origins), len(self.table.window.inputs[0].offsets_s))
        vectors = [batch.values[name].reshape(*steps, -1).float() for name in self._parts]
        ends = np.cumsum([0, *(vector.shape[-1] for vector in vectors)]).tolist()
        return FusionBatch(
            pictures={name: batch.values[stream] for name, stream in self._pictures.items()},
            depth={
                name: _metres(batch.values[stream], stream) for name, stream in self._depth.items()
            },
            proprioception=torch.cat(vectors, dim=-1) if vectors else torch.zeros(*steps, 0),
            parts={
                name: slice(first, last)
                for name, first, last in zip(self._parts, ends[:-1], ends[1:], strict=True)
            },
            valid=batch.valid,
            actions=batch.actions,
            action_valid=batch.action_valid,
            intrinsics=_stacked(told, self._pictures, "intrinsics"),
            extrinsics=_stacked(told, self._pictures, "extrinsics"),
            instructions=batch.instructions,
            origins=origins,
        )

    def _cameras_of(self, key: str) -> dict[str, Camera]:
        if key not in self._cameras:
            self._cameras[key] = self.dataset.cameras(key)
        return self._cameras[key]

    def _streams(self) -> list[str]:
        return [*self._pictures.values(), *self._depth.values(), *self._parts]


def _picture_streams(
    specs: Mapping[str, StreamSpec], cameras: Sequence[str] | None
) -> dict[str, str]:
    """Camera -> stream of its pictures."""
    known = {}
    for name, spec in specs.items():
        for ending in PICTURES:
            if name.startswith("obs/") and name.endswith(ending) and len(spec.shape) == 3:
                known[name.removeprefix("obs/").removesuffix(ending)] = name
    for camera in cameras or ():
        if camera not in known:
            raise MissingStreamError(
                f"no such camera (cameras: {', '.join(sorted(known)) or 'none'})", stream=camera
            )
    return known if cameras is None else {camera: known[camera] for camera in cameras}


def _depth_streams(specs: Mapping[str, StreamSpec], pictures: Mapping[str, str]) -> dict[str, str]:
    """Camera -> stream of its depth, of those that have one."""
    streams = {camera: f"obs/{camera}{DEPTH}" for camera in pictures}
    for name in streams.values():
        if name in specs and specs[name].unit != "m":
            raise ConfigError(
                f"{name} is not in metres (see the dataset's report); pass depth=False and convert "
                f"it with the simulator's near and far planes"
            )
    return {camera: name for camera, name in streams.items() if name in specs}


def _parts(specs: Mapping[str, StreamSpec], wanted: Sequence[str] | None) -> list[str]:
    """Names of the vector streams to read."""
    if wanted is not None:
        return list(wanted)
    return [
        name
        for name, spec in specs.items()
        if name.startswith("obs/") and len(spec.shape) <= 1 and not spec.privileged
    ]


def _window(
    specs: Mapping[str, StreamSpec], streams: list[str], action: str, steps: int, horizon: int
) -> Window:
    if action not in specs:
        raise MissingStreamError(
            f"not recorded (streams: {', '.join(sorted(specs))})", stream=action
        )
    if not streams:
        raise ConfigError("nothing to observe: no cameras and no proprioception")
    return one_clock(streams, action, float(specs[action].rate_hz or 0), steps, horizon)


def _check_rates(dataset: RoboMimicDataset, rate_hz: float) -> None:
    for within, file in dataset.files.items():
        if file.rate_hz != rate_hz:
            raise ConfigError(
                f"{within} runs at {file.rate_hz} Hz, the first file at {rate_hz} Hz; open them "
                f"as datasets of their own"
            )


def _metres(depth: torch.Tensor, stream: str) -> torch.Tensor:
    """(B, O, height, width) of (B, O, height, width[, 1])."""
    if depth.ndim == 5 and depth.shape[-1] == 1:
        depth = depth[..., 0]
    if depth.ndim != 4:
        raise ShapeError(f"depth must be (height, width, 1), got {tuple(depth.shape[2:])}",
                         stream=stream)  # fmt: skip
    return depth.float()


def _stacked(
    told: list[dict[str, Camera]], cameras: Mapping[str, str], which: str
) -> dict[str, torch.Tensor]:
    """Camera -> one matrix for each sample, of the cameras for which all of them are known."""
    stacked = {}
    for camera in cameras:
        matrices = [getattr(episode[camera], which) for episode in told if camera in episode]
        if len(matrices) == len(told) and all(matrix is not None for matrix in matrices):
            stacked[camera] = torch.from_numpy(np.stack(matrices))
    return stacked
