"""What a depth image means in this project: pinhole cameras, depth along the optical axis.

R. Hartley, A. Zisserman, "Multiple View Geometry in Computer Vision", 2004, section 6.1.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from robocache.core.errors import ShapeError, unknown_name
from robocache.ops.arguments import require_tensors

Convention = Literal["opencv", "opengl"]


def deproject(
    depth: Tensor,
    intrinsics: Tensor,
    extrinsics: Tensor | None = None,
    convention: Convention = "opencv",
) -> Tensor:
    """The point that each pixel of a depth image sees; differentiable in all tensors.

    With `z` the depth at column `u` (to the right) and row `v` (downwards, 0 is the top row), pixel
    centres at whole numbers, and K = [[fx, s, cx], [0, fy, cy], [0, 0, 1]]:

        y = (v - cy) / fy,  x = (u - cx - s * y) / fx
        opencv (x right, y down, z forward):  point = (x * z,  y * z,  z)
        opengl (x right, y up, -z forward):   point = (x * z, -y * z, -z)

    Depth that is zero, negative, NaN or infinite is no measurement: its point is NaN.

    Args:
        depth: (..., H, W) metres along the optical axis (not along the ray); floating.
        intrinsics: (3, 3), or (..., 3, 3) one for each image; pixels.
        extrinsics: (4, 4), or (..., 4, 4): pose of the camera in the world, in the axes of
            `convention`; metres. None: points stay in the frame of the camera.
        convention: axes of the camera.

    Returns:
        (..., H, W, 3) metres, of the dtype of `depth` (float16 and bfloat16 become float32).

    Raises:
        ShapeError: depth that is not floating, or shapes that do not belong together.
        ConfigError: an unknown convention.
    """
    if convention not in get_args(Convention):
        raise unknown_name("camera convention", convention, get_args(Convention))
    require_tensors(depth=depth)
    if depth.ndim < 2 or not depth.is_floating_point():
        raise ShapeError(
            f"depth must be (..., H, W) floating, in metres; got {tuple(depth.shape)} {depth.dtype}"
        )
    images = depth.shape[:-2]
    z = depth.to(torch.promote_types(depth.dtype, torch.float32))
    z = torch.where(torch.isfinite(z) & (z > 0), z, torch.nan)[..., None]
    up = 1.0 if convention == "opencv" else -1.0
    rays = _rays(_matrices("intrinsics", intrinsics, 3, images, z), z.shape[-3:-1], up)
    if extrinsics is None:
        return _planar(rays) * z
    T = _matrices("extrinsics", extrinsics, 4, images, z)
    rotated = (T[..., :3, :3] * rays[..., None, :]).sum(dim=-1)
    return (_planar(rotated) * z).add_(T[..., :3, 3])


def _rays(K: Tensor, size: torch.Size, up: float) -> Tensor:
    """(..., H, W, 3) points at depth 1: one image of them where all images share the intrinsics."""
    height, width = size
    row = torch.arange(height, device=K.device, dtype=K.dtype)[:, None]
    column = torch.arange(width, device=K.device, dtype=K.dtype)
    y = (row - K[..., 1, 2]) / K[..., 1, 1]
    x = (column - K[..., 0, 2] - K[..., 0, 1] * y) / K[..., 0, 0]
    return torch.stack([x, (up * y).expand_as(x), torch.full_like(x, up)], dim=-1)


def _planar(points: Tensor) -> Tensor:
    """The same points, kept as an image of each coordinate, with which it goes twice as fast."""
    return points.movedim(-1, -3).contiguous().movedim(-3, -1)


def _matrices(name: str, matrices: Tensor, size: int, images: torch.Size, like: Tensor) -> Tensor:
    """(..., 1, 1, size, size) in the dtype and on the device of the depth."""
    require_tensors(**{name: matrices})
    shape = tuple(matrices.shape)
    if shape[-2:] != (size, size) or shape[:-2] not in ((), tuple(images)):
        each = f" or {(*images, size, size)}" if images else ""
        raise ShapeError(f"{name} must be {(size, size)}{each}, got {shape}")
    return matrices.to(like)[..., None, None, :, :]
