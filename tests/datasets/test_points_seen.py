"""Points of several samples, each with its own camera."""

from __future__ import annotations

import numpy as np
import torch

from robocache.datasets.cameras import points_seen
from robocache.ops import deproject


def _cameras(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    intrinsics = torch.eye(3, dtype=torch.float64).repeat(count, 1, 1)
    intrinsics[:, 0, 0] = 5 + torch.rand(count, generator=random)
    intrinsics[:, 1, 1] = 6
    poses = torch.eye(4, dtype=torch.float64).repeat(count, 1, 1)
    poses[:, :3, 3] = torch.rand(count, 3, generator=random)
    return intrinsics, poses


def test_each_sample_by_its_own_camera() -> None:
    depth = 1 + torch.rand(3, 2, 5, 4, generator=torch.Generator().manual_seed(1))
    intrinsics, poses = _cameras(3)
    points = points_seen(depth, intrinsics, poses, "opengl")
    for sample in range(3):
        alone = deproject(depth[sample], intrinsics[sample], poses[sample], "opengl")
        assert torch.equal(points[sample], alone)
    assert not torch.equal(points[1], deproject(depth[1], intrinsics[0], poses[0], "opengl"))


def test_one_camera_gives_the_same_bits_as_equal_ones() -> None:
    depth = 1 + torch.rand(3, 2, 5, 4, generator=torch.Generator().manual_seed(1))
    intrinsics, poses = (matrices[:1].repeat(3, 1, 1) for matrices in _cameras(1))
    shared = points_seen(depth, intrinsics, poses)
    each = deproject(
        depth, intrinsics[:, None].repeat(1, 2, 1, 1), poses[:, None].repeat(1, 2, 1, 1)
    )
    assert torch.equal(shared, each)
    moved = poses.clone()
    moved[2, 0, 3] += 1
    beside = points_seen(depth, intrinsics, moved)[2, ..., 0]
    np.testing.assert_allclose(beside, shared[2, ..., 0] + 1, atol=1e-6)
