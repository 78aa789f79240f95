"""Rotations in the formats that datasets use.

| name | numbers | meaning |
| --- | --- | --- |
| `euler_xyz` | 3 | radians about the fixed axes x, then y, then z (Rz Ry Rx) |
| `quaternion_xyzw`, `quaternion_wxyz` | 4 | of any length but zero; given back with w >= 0 |
| `rotvec` | 3 | axis times angle in radians |
| `rot6d` | 6 | first, then second column of the matrix |
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import ConfigError, DataError, ShapeError, unknown_name

RotationFormat = Literal["euler_xyz", "quaternion_xyzw", "quaternion_wxyz", "rotvec", "rot6d"]
WIDTHS = {"euler_xyz": 3, "quaternion_xyzw": 4, "quaternion_wxyz": 4, "rotvec": 3, "rot6d": 6}

Numbers = NDArray[np.float64]


def convert_rotation(values: NDArray[Any], source: RotationFormat, to: RotationFormat) -> Numbers:
    """The same rotations, (..., W) float64, in another format."""
    return from_matrix(to_matrix(values, source), to)


def to_matrix(values: NDArray[Any], source: RotationFormat) -> Numbers:
    """(..., 3, 3) rotation matrices of (..., W) numbers.

    Raises:
        ConfigError: unknown format.
        ShapeError: W is not the format's.
        DataError: numbers that are no rotation, such as a quaternion of zeros.
    """
    require_format(source)
    numbers = np.asarray(values, np.float64)
    if numbers.shape[-1] != WIDTHS[source]:
        raise ShapeError(f"{source} has {WIDTHS[source]} numbers, got {numbers.shape[-1]}")
    if source == "euler_xyz":
        return _from_euler(numbers)
    if source == "rotvec":
        return _from_quaternion(_quaternion_of_rotvec(numbers))
    if source == "rot6d":
        return _from_columns(numbers)
    return _from_quaternion(numbers if source == "quaternion_xyzw" else np.roll(numbers, -1, -1))


def from_matrix(matrix: NDArray[Any], to: RotationFormat) -> Numbers:
    """(..., W) numbers of (..., 3, 3) rotation matrices."""
    require_format(to)
    rotation = np.asarray(matrix, np.float64)
    if to == "euler_xyz":
        return _to_euler(rotation)
    if to == "rot6d":
        return np.concatenate([rotation[..., 0], rotation[..., 1]], axis=-1)
    quaternion = _to_quaternion(rotation)
    if to == "rotvec":
        return _to_rotvec(quaternion)
    return quaternion if to == "quaternion_xyzw" else np.roll(quaternion, 1, -1)


def require_format(name: str) -> None:
    """Raise ConfigError unless this is a format's name."""
    if name not in get_args(RotationFormat):
        raise unknown_name("rotation format", name, get_args(RotationFormat))


def _from_euler(angles: Numbers) -> Numbers:
    (cx, cy, cz), (sx, sy, sz) = (np.moveaxis(f(angles), -1, 0) for f in (np.cos, np.sin))
    rows = [
        [cy * cz, sx * sy * cz - cx * sz, cx * sy * cz + sx * sz],
        [cy * sz, sx * sy * sz + cx * cz, cx * sy * sz - sx * cz],
        [-sy, sx * cy, cx * cy],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def _to_euler(r: Numbers) -> Numbers:
    level = np.hypot(r[..., 0, 0], r[..., 1, 0])
    locked = level < 1e-7  # pitch of 90 degrees: only a sum of the others is known, z gets none
    x = np.where(
        locked,
        np.arctan2(-r[..., 1, 2], r[..., 1, 1]),
        np.arctan2(r[..., 2, 1], r[..., 2, 2]),
    )
    z = np.where(locked, 0.0, np.arctan2(r[..., 1, 0], r[..., 0, 0]))
    return np.stack([x, np.arctan2(-r[..., 2, 0], level), z], axis=-1)


def _from_quaternion(xyzw: Numbers) -> Numbers:
    x, y, z, w = np.moveaxis(_unit(xyzw, "a quaternion"), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def _to_quaternion(r: Numbers) -> Numbers:
    """(..., 4) xyzw with w >= 0: a column of 4 q q^T, the one with the largest diagonal."""
    outer = np.empty((*r.shape[:-2], 4, 4))
    trace = np.trace(r, axis1=-2, axis2=-1)
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        outer[..., i, i] = 1 + 2 * r[..., i, i] - trace
        outer[..., i, j] = outer[..., j, i] = r[..., j, i] + r[..., i, j]
        outer[..., i, 3] = outer[..., 3, i] = r[..., k, j] - r[..., j, k]
    outer[..., 3, 3] = 1 + trace
    best = np.argmax(np.diagonal(outer, axis1=-2, axis2=-1), axis=-1)
    column = np.take_along_axis(outer, best[..., None, None], axis=-1)[..., 0]
    unit = column / np.linalg.norm(column, axis=-1, keepdims=True)
    return np.asarray(np.where(unit[..., 3:] < 0, -unit, unit))


def _quaternion_of_rotvec(rotvec: Numbers) -> Numbers:
    angle = np.linalg.norm(rotvec, axis=-1, keepdims=True)
    # numpy's sinc(x) is sin(pi x) / (pi x), and 1 at 0
    return np.concatenate(
        [rotvec * np.sinc(angle / (2 * np.pi)) / 2, np.cos(angle / 2)],
        axis=-1,
    )


def _to_rotvec(xyzw: Numbers) -> Numbers:
    half = np.arctan2(np.linalg.norm(xyzw[..., :3], axis=-1, keepdims=True), xyzw[..., 3:])
    return np.asarray(xyzw[..., :3] * 2 / np.sinc(half / np.pi))


def _from_columns(numbers: Numbers) -> Numbers:
    """Gram-Schmidt: the first column keeps its direction."""
    first = _unit(numbers[..., :3], "the first column of a rot6d")
    along = np.sum(first * numbers[..., 3:], axis=-1, keepdims=True)
    second = _unit(numbers[..., 3:] - along * first, "the second column of a rot6d")
    return np.stack([first, second, np.cross(first, second)], axis=-1)


def _unit(vectors: Numbers, what: str) -> Numbers:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    if not (length > 1e-12).all():
        raise DataError(f"{what} has no direction (zeros or NaN): it is no rotation")
    return np.asarray(vectors / length)


def check_columns(columns: tuple[int, ...], format: RotationFormat) -> None:
    """Raise ConfigError unless these columns can hold rotations of this format, or are none."""
    require_format(format)
    if columns and len(columns) != WIDTHS[format]:
        raise ConfigError(f"{format} needs {WIDTHS[format]} columns, got {columns}")
