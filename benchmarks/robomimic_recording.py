"""An HDF5 file of realistic size as robomimic writes it: two cameras with depth, and numbers."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

CAMERAS = ("agentview", "robot0_eye_in_hand")
VECTORS = {"robot0_eef_pos": 3, "robot0_eef_quat": 4, "robot0_gripper_qpos": 2}
SIZE = 84
CAMERA = {
    "intrinsics": [[101.4, 0, 42], [0, 101.4, 42], [0, 0, 1]],
    "extrinsics": [[0.0, 0.7, -0.7, 0.5], [1, 0, 0, 0], [0, -0.7, -0.7, 1.4], [0, 0, 0, 1]],
}


def write_demos(path: Path, demos: int, steps: int, compression: str | None = None) -> Path:
    """A file of `demos` demonstrations of `steps` steps each; pictures gzipped or as they are."""
    env = {"env_name": "Lift", "env_version": "1.5.2", "type": 1}
    told = {**env, "env_kwargs": {"control_freq": 20}}
    random = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["env_args"], data.attrs["total"] = json.dumps(told), demos * steps
        for number in range(demos):
            demo = data.create_group(f"demo_{number}")
            demo.attrs["num_samples"] = steps
            demo.attrs["camera_info"] = json.dumps(dict.fromkeys(CAMERAS, CAMERA))
            for name, array in _demo(steps, random).items():
                packed = compression if array.ndim > 2 else None
                demo.create_dataset(name, data=array, compression=packed)
    return path


def _demo(steps: int, random: np.random.Generator) -> dict[str, NDArray[np.generic]]:
    arrays: dict[str, NDArray[np.generic]] = {
        "actions": random.uniform(-1, 1, (steps, 7)),
        "rewards": np.zeros(steps),
        "dones": np.eye(1, steps, steps - 1, dtype=np.int64)[0],
        "states": random.normal(size=(steps, 32)),
    }
    for name, size in VECTORS.items():
        arrays[f"obs/{name}"] = random.normal(size=(steps, size)).cumsum(axis=0)
    row, column = np.mgrid[:SIZE, :SIZE] / SIZE
    moved = np.arange(steps)[:, None, None] / 30 + random.uniform(0, 6)
    for camera in CAMERAS:
        shape = np.sin(6 * row + moved) * np.cos(5 * column - moved)
        noise = random.integers(0, 4, (*shape.shape, 3))
        picture = 110 + shape[..., None] * [90, 60, 30] + noise
        arrays[f"obs/{camera}_image"] = picture.astype(np.uint8)
        arrays[f"obs/{camera}_depth"] = (1.2 + 0.3 * shape[..., None]).astype(np.float32)
    return arrays
