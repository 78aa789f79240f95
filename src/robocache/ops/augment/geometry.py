"""What `augment` did to where things are seen, done to depth, masks, labels and intrinsics.

Letters: N pictures, H rows, W columns.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from robocache.core.errors import ConfigError, ShapeError
from robocache.ops.arguments import require_tensors
from robocache.ops.augment.parameters import ImageParameters
from robocache.ops.augment.reference import inside_box, positions
from robocache.ops.augment.tables import check_rows, tables_for


def augment_geometry(
    maps: Tensor, parameters: ImageParameters, *, covered: float | None = None
) -> Tensor:
    """Depth, masks or labels cropped, and covered, as `augment` did with the pictures they are of.

    Each pixel has the value of the one nearest to what it shows now, so that values are never
    mixed; colours, light, blur and noise are none of it. PyTorch on every device.

    Args:
        maps: (N, H, W, ...) of any dtype.
        parameters: of N pictures.
        covered: what lies under the boxes becomes: 0 for depth that is not seen, the number of the
            background for labels. None: boxes are left out.

    Returns:
        (N, H, W, ...), as `maps`; floats have a gradient.

    Raises:
        ShapeError: maps of another shape, or parameters of another number of them.
        ConfigError: parameters of ranges, that are not finite, or `covered` does not fit the dtype.
    """
    require_tensors(maps=maps)
    if maps.ndim < 3 or min(maps.shape[1:3]) < 1:
        raise ShapeError(f"maps must be (N, H, W, ...), got {tuple(maps.shape)}")
    height, width = maps.shape[1:3]
    tables = tables_for(parameters, height, width, maps.device)
    check_rows(tables._asdict(), maps, "maps")
    top, left, side = tables.crop.unbind(1)
    rows, columns = _nearest(top, side, height), _nearest(left, side, width)
    number = torch.arange(len(maps), device=maps.device)[:, None, None]
    seen = maps[number, rows[:, :, None], columns[:, None, :]]
    if covered is None:
        return seen
    value = torch.tensor(covered, dtype=torch.float64).to(maps.dtype)
    if value.double() != covered and not (math.isnan(covered) and maps.is_floating_point()):
        raise ConfigError(f"covered={covered} cannot be held by {maps.dtype}")
    hidden = torch.zeros(maps.shape[:3], dtype=torch.bool, device=maps.device)
    for box in tables.boxes.unbind(1):
        hidden |= inside_box(box, height, width)
    hidden = hidden.reshape(*hidden.shape, *[1] * (maps.ndim - 3))
    return torch.where(hidden, value.to(maps.device), seen)


def crop_intrinsics(
    intrinsics: Tensor, parameters: ImageParameters, height: int, width: int
) -> Tensor:
    """Of the camera that would have seen the crop as its whole picture, for `deproject`.

    Args:
        intrinsics: (3, 3) or (N, 3, 3) floats, pixels, of pictures (height, width).
        parameters: of N pictures.

    Returns:
        (N, 3, 3), as `intrinsics`.

    Raises:
        ShapeError: intrinsics of another shape or dtype.
        ConfigError: as in `augment_geometry`.
    """
    require_tensors(intrinsics=intrinsics)
    if intrinsics.shape not in ((3, 3), (len(parameters), 3, 3)):
        raise ShapeError(
            f"intrinsics must be (3, 3) or ({len(parameters)}, 3, 3), got {tuple(intrinsics.shape)}"
        )
    if not intrinsics.is_floating_point():
        raise ShapeError(f"intrinsics must be floats, got {intrinsics.dtype}")
    crop = tables_for(parameters, height, width, intrinsics.device).crop.to(intrinsics.dtype)
    top, left, side = crop.unbind(1)
    seen = intrinsics.expand(len(parameters), 3, 3).clone()
    seen[:, 0, 2] -= left
    seen[:, 1, 2] -= top
    seen[:, :2] /= side[:, None, None]
    return seen


def _nearest(start: Tensor, step: Tensor, size: int) -> Tensor:
    """(N, size) the sample nearest to each place."""
    low, high, share = positions(start, step, size)
    return torch.where(share < 0.5, low, high)
