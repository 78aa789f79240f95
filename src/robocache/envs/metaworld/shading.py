"""A depth image with class labels as a picture for people, without GL."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

Pixel = TypeVar("Pixel", bound=np.generic)

_BACKGROUND = (243, 245, 248)
_BASE_COLOURS = (
    _BACKGROUND,  # nothing
    (122, 142, 166),  # robot
    (58, 62, 72),  # gripper
    (205, 193, 176),  # scenery
)
_OBJECT_COLOURS = (
    (222, 96, 62),
    (38, 139, 155),
    (240, 180, 41),
    (126, 87, 194),
    (86, 160, 74),
    (214, 77, 134),
)
_LIGHT = np.array([-0.40, -0.65, -0.65]) / np.linalg.norm([-0.40, -0.65, -0.65])
_AMBIENT = 0.45
_OUTLINE = 0.62
_SMOOTHING_PASSES = 2
_NEAR, _CREASE = 0.03, 0.04


def shade(
    depth_mm: NDArray[np.uint16], segmentation: NDArray[np.uint8], intrinsics: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """False colours by class, diffuse light from above left, dark outlines between classes.

    Args:
        depth_mm: (H, W) distance along the optical axis, 0 where nothing was hit.
        segmentation: (H, W) class ids: 0 nothing, 1 robot, 2 gripper, 3 scenery, 4... objects.
        intrinsics: (3, 3) of the camera, OpenCV convention.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    nearness = 1000.0 / np.maximum(depth_mm, 1)
    # The meshes of the arm have gaps a pixel wide.
    nearness = np.where(segmentation == 1, median_filter(nearness, 3), nearness)
    nearness = _smoothed(nearness, segmentation)
    normals = _normals(_points(1 / nearness, intrinsics))
    light = _AMBIENT + (1 - _AMBIENT) * np.clip(normals @ _LIGHT, 0, 1)
    light = np.where(_outlines(nearness, segmentation), light * _OUTLINE, light)
    light = np.where(segmentation == 0, 1.0, light)
    return np.rint(_palette()[segmentation] * light[..., None]).astype(np.uint8)


def _palette() -> NDArray[np.float64]:
    """(256, 3) colour of each class."""
    objects = [_OBJECT_COLOURS[index % len(_OBJECT_COLOURS)] for index in range(252)]
    return np.array([*_BASE_COLOURS, *objects], np.float64)


def _shifted(image: NDArray[Pixel], down: int, right: int) -> NDArray[Pixel]:
    """The image moved by at most one pixel, its border repeated."""
    padded = np.pad(image, 1, mode="edge")
    height, width = image.shape
    return padded[1 - down : 1 - down + height, 1 - right : 1 - right + width]


def _smoothed(
    nearness: NDArray[np.float64], segmentation: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """One over depth, averaged with near neighbours of one class: hides whole-millimetre steps.

    One over depth is linear in the pixel over a plane, so averaging leaves planes as they are.
    """
    for _ in range(_SMOOTHING_PASSES):
        total, count = nearness.copy(), np.ones_like(nearness)
        for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (-1, -1), (1, -1), (-1, 1)):
            neighbour = _shifted(nearness, down, right)
            same = _shifted(segmentation, down, right) == segmentation
            near = same & (np.abs(neighbour - nearness) < _NEAR * nearness)
            total += np.where(near, neighbour, 0)
            count += near
        nearness = total / count
    return nearness


def _points(depth_m: NDArray[np.float64], intrinsics: NDArray[np.float64]) -> NDArray[np.float64]:
    """(H, W, 3) in the camera frame: x right, y down, z ahead, metres."""
    rows, columns = np.indices(depth_m.shape)
    x = (columns - intrinsics[0, 2]) / intrinsics[0, 0]
    y = (rows - intrinsics[1, 2]) / intrinsics[1, 1]
    return np.stack([x, y, np.ones_like(x)], axis=-1) * depth_m[..., None]


def _normals(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(H, W, 3) unit normals towards the camera, each from its flatter pair of neighbours."""
    normal = np.cross(_slope(points, axis=0), _slope(points, axis=1))
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    return np.where(length > 0, normal / np.where(length > 0, length, 1), (0.0, 0.0, -1.0))


def _slope(points: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Difference to the neighbour before or after along one axis, whichever is nearer in depth."""
    step = np.diff(points, axis=axis)
    after = np.concatenate([step, np.take(step, [-1], axis=axis)], axis=axis)
    before = np.concatenate([np.take(step, [0], axis=axis), step], axis=axis)
    return np.where(np.abs(after[..., 2:]) < np.abs(before[..., 2:]), after, before)


def _outlines(nearness: NDArray[np.float64], segmentation: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(H, W) pixels that border on another class, or where the surface breaks off."""
    edge = np.zeros(segmentation.shape, bool)
    for down, right in ((0, 1), (1, 0)):
        before, after = _shifted(nearness, down, right), _shifted(nearness, -down, -right)
        edge |= _shifted(segmentation, -down, -right) != segmentation
        edge |= 2 * nearness - before - after > _CREASE * nearness
    return edge
