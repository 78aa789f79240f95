"""Occupied voxels by Open3D, in an environment of its own; answers `benchmarks/voxelize.py`.

See `peer.py`. Open3D needs libraries of the system (libusb-1.0, libX11); where they are missing,
`missing` says so.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peer import serve

try:
    import open3d as o3d

    REASON = None
except (ImportError, OSError) as error:
    REASON = f"cannot be imported: {error}"

_told: dict[str, Any] = {}


def missing() -> dict[str, str | None]:
    return {"reason": REASON}


def setup(file: str, dim: int) -> dict[str, str]:
    """Points (clouds, N, 3) in the unit cube or not, to go into dim^3 voxels."""
    _told.update(points=np.load(file), dim=dim)
    return {"open3d": o3d.__version__}


def occupancy() -> dict[str, float]:
    began = time.perf_counter()
    _grids()
    return {"seconds": time.perf_counter() - began}


def write(file: str) -> dict[str, str]:
    np.save(file, _grids())
    return {"file": file}


def _grids() -> NDArray[np.bool_]:
    """(clouds, dim, dim, dim): what is outside is left out, as VoxelGrid would not."""
    dim = _told["dim"]
    grids = np.zeros((len(_told["points"]), dim, dim, dim), bool)
    for points, grid in zip(_told["points"], grids, strict=True):
        inside = points[((points >= 0) & (points < 1)).all(axis=1)].astype(np.float64)
        cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(inside))
        made = o3d.geometry.VoxelGrid.create_from_point_cloud_within_bounds(
            cloud, 1 / dim, np.zeros(3), np.ones(3)
        )
        index = np.array([voxel.grid_index for voxel in made.get_voxels()])
        grid[tuple(index.T)] = True
    return grids


if __name__ == "__main__":
    serve({"missing": missing, "setup": setup, "occupancy": occupancy, "write": write})
