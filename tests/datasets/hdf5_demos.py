"""Small HDF5 files of demonstrations, in the dialects that are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robocache.datasets.hdf5 import close_files

h5py = pytest.importorskip("h5py")

CAMERA = {
    "intrinsics": [[10.0, 0, 4], [0, 10.0, 3], [0, 0, 1]],
    "extrinsics": [[1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 2], [0, 0, 0, 1]],
}


def arrays(number: int, steps: int = 6) -> dict[str, np.ndarray]:
    """What demonstration `number` holds: name -> array."""
    random = np.random.default_rng(number)
    return {
        "actions": random.uniform(-1, 1, (steps, 7)),
        "actions_abs": random.normal(size=(steps, 7)),
        "action_dict/abs_pos": random.normal(size=(steps, 3)).astype(np.float32),
        "rewards": random.normal(size=steps),
        "dones": np.eye(1, steps, steps - 1, dtype=np.int64)[0],
        "states": random.normal(size=(steps, 9)),
        "obs/robot0_eef_pos": random.normal(size=(steps, 3)),
        "obs/robot0_gripper_qpos": random.normal(size=(steps, 2)).astype(">f4"),
        "obs/object": random.normal(size=(steps, 4)),
        "obs/cube_pos": random.normal(size=(steps, 3)),
        "obs/front_image": random.integers(1, 255, (steps, 6, 8, 3), dtype=np.uint8),
        "obs/front_depth": random.uniform(0.5, 1.5, (steps, 72, 80, 1)).astype(np.float32),
        "next_obs/robot0_eef_pos": random.normal(size=(steps, 3)),
    }


def write(
    path: Path,
    demos: tuple[int, ...] = (0, 1, 2),
    *,
    drop: tuple[str, ...] = (),
    attrs: dict[str, Any] | None = None,
    demo_attrs: dict[str, Any] | None = None,
    masks: dict[str, list[str]] | None = None,
    more: dict[str, np.ndarray] | None = None,
    steps: int = 6,
) -> Path:
    """A robomimic file with these demonstrations; `drop` leaves out names that begin so."""
    env = {"env_name": "Lift", "env_version": "1.5", "type": 1, "env_kwargs": {"control_freq": 10}}
    told = {"env_args": json.dumps(env), "total": steps * len(demos), **(attrs or {})}
    close_files()
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        for name, value in told.items():
            if value is not None:
                data.attrs[name] = value
        for number in demos:
            demo = data.create_group(f"demo_{number}")
            info = {"camera_info": json.dumps({"front": CAMERA}), "num_samples": steps}
            for name, value in {**info, **(demo_attrs or {})}.items():
                if value is not None:
                    demo.attrs[name] = value
            for name, array in {**arrays(number, steps), **(more or {})}.items():
                if not name.startswith(drop or ("-",)):
                    packed = {"compression": "gzip"} if array.ndim > 3 else {}
                    demo.create_dataset(name, data=array, **packed)
        for name, held in (masks or {}).items():
            file.create_dataset(f"mask/{name}", data=np.array(held, "S"))
    return path
