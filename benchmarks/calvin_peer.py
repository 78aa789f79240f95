"""CALVIN to voxels as it is usually done: np.load, numpy, Open3D; in an environment of its own.

Answers `benchmarks/calvin_voxels.py`; see `peer.py`. Samples are rows (frame, first, last): the
frame observed, and the first and last frame of its segment.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import open3d as o3d
from numpy.typing import NDArray
from peer import serve

Sample = tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]
_told: dict[str, Any] = {}
_kept: dict[int, dict[str, NDArray[np.float64]]] = {}


def setup(**told: Any) -> dict[str, str]:
    """What stays the same: folder, digits, rate_hz, horizon, batch_size, grid, camera, samples."""
    _told.update(told)
    height, width = told["size"]
    k = np.array(told["intrinsics"])
    v, u = np.mgrid[:height, :width]
    x, y = (u - k[0, 2]) / k[0, 0], (v - k[1, 2]) / k[1, 1]
    _told["rays"] = np.stack([x, -y, -np.ones_like(x)], axis=-1).reshape(-1, 3)  # OpenGL axes
    _told["pose"] = np.array(told["pose"])
    for row in told["samples"]:
        for number in range(row[1], row[2] + 1):
            if number not in _kept:
                with np.load(_path(number)) as frame:
                    _kept[number] = {name: frame[name] for name in ("robot_obs", "rel_actions")}
    return {"open3d": o3d.__version__, "numpy": np.__version__}


def epoch(rows: list[int], numbers: str, clock: str) -> dict[str, float]:
    """Seconds for these samples, in batches; `numbers`: read with every sample, or kept."""
    now: Callable[[], float] = getattr(time, clock)
    began = now()
    for start in range(0, len(rows), _told["batch_size"]):
        batch(rows[start : start + _told["batch_size"]], numbers)
    return {"seconds": now() - began}


def write(rows: list[int], numbers: str, file: str) -> dict[str, str]:
    """What a batch holds, as a file."""
    names = ("occupied", "state", "actions", "action_valid")
    np.savez(file, **dict(zip(names, batch(rows, numbers), strict=True)))  # type: ignore[arg-type]
    return {"file": file}


def batch(rows: list[int], numbers: str) -> tuple[NDArray[Any], ...]:
    sample: Callable[[int, int, int], Sample] = _sample_kept if numbers == "kept" else _sample_read
    parts = zip(*(sample(*_told["samples"][row]) for row in rows), strict=True)
    return tuple(np.stack(part) for part in parts)


def _sample_read(number: int, first: int, last: int) -> Sample:
    """Every file of the window is opened, as the loader that comes with CALVIN does."""
    numbers = range(number, min(number + _told["horizon"], last + 1))
    frames = [np.load(_path(each)) for each in numbers]
    states = np.stack([frame["robot_obs"] for frame in frames])
    actions = np.stack([frame["rel_actions"] for frame in frames])
    depth = frames[0]["depth_static"]
    for frame in frames:
        frame.close()
    return (_voxels(depth), _state(states, number - first), *_padded(actions))


def _sample_kept(number: int, first: int, last: int) -> Sample:
    """States and actions are in memory; only the depth is read."""
    numbers = range(number, min(number + _told["horizon"], last + 1))
    states = np.stack([_kept[each]["robot_obs"] for each in numbers])
    actions = np.stack([_kept[each]["rel_actions"] for each in numbers])
    with np.load(_path(number)) as frame:
        depth = frame["depth_static"]
    return (_voxels(depth), _state(states, number - first), *_padded(actions))


def _voxels(depth: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(X, Y, Z) occupied voxels of a depth image, by Open3D."""
    grid = _told["grid"]
    dims, low = np.array(grid["dims"]), np.array(grid["origin"])
    high = low + dims * grid["voxel_size"]
    pose = _told["pose"]
    points = (_told["rays"] * depth.reshape(-1, 1)) @ pose[:3, :3].T + pose[:3, 3]
    points = points[((points >= low) & (points < high)).all(axis=1)]
    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(points))
    made = o3d.geometry.VoxelGrid.create_from_point_cloud_within_bounds(
        cloud, grid["voxel_size"], low, high
    )
    index = np.array([voxel.grid_index for voxel in made.get_voxels()]).reshape(-1, 3)
    index = index[(index < dims).all(axis=1)]
    occupied = np.zeros(dims, bool)
    occupied[tuple(index.T)] = True
    return occupied


def _state(states: NDArray[np.float64], step: int) -> NDArray[np.float32]:
    """(S,) state at the time of the first action."""
    times = (step + np.arange(len(states))) / _told["rate_hz"]
    now = step / _told["rate_hz"]
    return np.array([np.interp(now, times, column) for column in states.T], np.float32)


def _padded(actions: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(H, A) actions with zeros past the end of the segment, and (H,) where there are any."""
    padded = np.zeros((_told["horizon"], actions.shape[1]), np.float32)
    padded[: len(actions)] = actions
    return padded, np.arange(len(padded)) < len(actions)


def _path(number: int) -> Path:
    return Path(_told["folder"]) / f"episode_{number:0{_told['digits']}d}.npz"


ACTIONS: Mapping[str, Callable[..., Mapping[str, Any]]] = {
    "setup": setup,
    "epoch": epoch,
    "write": write,
}

if __name__ == "__main__":
    serve(ACTIONS)
