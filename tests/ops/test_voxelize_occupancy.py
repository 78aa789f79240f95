"""Occupied voxels of points and of depth images."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import robocache
from robocache.core.errors import ConfigError, ShapeError
from robocache.ops import deproject, voxelize, voxelize_occupancy

K = torch.tensor([[2.0, 0.0, 1.0], [0.0, 2.0, 1.0], [0.0, 0.0, 1.0]])
ABOVE = torch.tensor([[1.0, 0, 0, 5], [0, -1, 0, 5], [0, 0, -1, 3], [0, 0, 0, 1]])
"""Pose of a camera that looks down from 3 m above (5, 5)."""


def test_it_is_at_the_top() -> None:
    assert robocache.voxelize_occupancy is voxelize_occupancy
    assert robocache.deproject is deproject


def test_depth_by_hand() -> None:
    depth = torch.zeros(2, 3, 3)
    depth[0, 1, 1] = 2.5  # on the optical axis: at (5, 5, 0.5)
    depth[0, 1, 2] = 2.0  # one pixel to the right: at (6, 5, 1)
    depth[1, 0, 1] = 2.0  # one pixel up: at (5, 6, 1)
    grid, dropped = voxelize_occupancy(
        depth, 1.0, (10, 10, 3), intrinsics=K, extrinsics=ABOVE, return_dropped=True
    )
    assert isinstance(grid, torch.Tensor) and grid.dtype == torch.bool
    assert grid.nonzero().tolist() == [[0, 5, 5, 0], [0, 6, 5, 1], [1, 5, 6, 1]]
    assert dropped.tolist() == [7, 8], "pixels without a measurement"


@pytest.mark.parametrize("convention", ["opencv", "opengl"])
@pytest.mark.parametrize("lead", [(), (4,), (2, 3), (0,)])
def test_depth_is_points_seen(lead: tuple[int, ...], convention: Any) -> None:
    depth = torch.rand(*lead, 5, 7) * 3
    points = deproject(depth, K, ABOVE, convention).flatten(-3, -2)
    size, dims, origin = (0.5, 0.4, 1.0), (9, 8, 7), (3.0, 3.5, 0.0)
    wanted = voxelize(points, size, dims, origin)
    found = voxelize_occupancy(depth, size, dims, origin, K, ABOVE, convention=convention)
    assert isinstance(found, torch.Tensor) and torch.equal(found, wanted)  # type: ignore
    out = torch.ones_like(found)
    asked = (depth, size, dims, origin, K, ABOVE)
    assert voxelize_occupancy(*asked, convention=convention, out=out) is out
    assert torch.equal(out, found) and (found.any() or not found.numel())
    assert torch.equal(voxelize_occupancy(points, size, dims, origin), found)  # type: ignore


def test_it_compiles_without_a_break() -> None:
    def run(depth: torch.Tensor) -> Any:
        return voxelize_occupancy(depth, 0.5, (8, 8, 6), (3.0, 3.0, 0.0), K, ABOVE)

    depth = torch.rand(2, 5, 7) * 3
    assert torch.equal(torch.compile(run, fullgraph=True, backend="aot_eager")(depth), run(depth))


def test_what_does_not_belong_together() -> None:
    with pytest.raises(ConfigError, match="extrinsics without intrinsics"):
        voxelize_occupancy(torch.zeros(5, 3), 1.0, (1, 1, 1), extrinsics=ABOVE)
    with pytest.raises(ShapeError, match=r"got \(2, 48, 64\); depth needs intrinsics"):
        voxelize_occupancy(torch.zeros(2, 48, 64), 1.0, (1, 1, 1))
    with pytest.raises(ShapeError, match=r"depth must be \(\.\.\., H, W\) floating"):
        voxelize_occupancy(torch.zeros(2, 4, 4, dtype=torch.int16), 1.0, (1, 1, 1), intrinsics=K)
    with pytest.raises(ShapeError, match=r"intrinsics must be \(3, 3\)"):
        voxelize_occupancy(torch.zeros(2, 4, 4), 1.0, (1, 1, 1), intrinsics=torch.eye(4))
    with pytest.raises(ConfigError, match="would take 2000 bytes"):
        voxelize_occupancy(torch.zeros(2, 4, 4), 1.0, (10,) * 3, intrinsics=K, max_bytes=1999)
