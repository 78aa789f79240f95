"""Actions relative to a state or to the action before, and back.

Numbers are subtracted. Poses of end effectors are taken in the frame of the reference,
T_ref^-1 T in SE(3). Letters: H horizon, D dimensions; any leading dimensions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import DataError, ShapeError
from robocache.datasets.action_space import Poses, difference, moved
from robocache.datasets.rotations import from_matrix, to_matrix
from robocache.policies.groot_n16.processing.modality import (
    ActionConfig,
    ActionFormat,
    ActionType,
    Representation,
)

Numbers = NDArray[np.float64]

WIDTHS = {ActionFormat.DEFAULT: 16, ActionFormat.XYZ_ROT6D: 9, ActionFormat.XYZ_ROTVEC: 6}


def to_relative(actions_HD: NDArray[Any], reference_D: NDArray[Any], how: ActionConfig) -> Numbers:
    """(..., H, D) actions relative to (..., D) states; with DELTA each to the action before.

    Raises:
        ShapeError: D differs, or is not that of the pose format.
        DataError: numbers that are no rotation.
    """
    _check(actions_HD, reference_D, how)
    poses = _poses(actions_HD, how)
    start = _poses(reference_D[..., None, :], how)
    if how.rep is Representation.DELTA:
        start = _followed_by(start, poses)
    return _numbers(difference(poses, start, "body"), how)


def from_relative(steps_HD: NDArray[Any], reference_D: NDArray[Any], how: ActionConfig) -> Numbers:
    """The inverse of `to_relative`: absolute actions (..., H, D) float64."""
    _check(steps_HD, reference_D, how)
    steps = _poses(steps_HD, how)
    start = _poses(reference_D[..., None, :], how)
    if how.rep is not Representation.DELTA:
        return _numbers(moved(start, steps, "body"), how)
    reached = []
    for h in range(steps_HD.shape[-2]):
        start = moved(start, _at(steps, slice(h, h + 1)), "body")
        reached.append(_numbers(start, how))
    return np.concatenate(reached, axis=-2)


def _check(actions_HD: NDArray[Any], reference_D: NDArray[Any], how: ActionConfig) -> None:
    have, of = actions_HD.shape[-1], reference_D.shape[-1]
    if have != of:
        raise ShapeError(f"{have} numbers cannot be relative to a state of {of}")
    if how.type is ActionType.EEF and have != WIDTHS[how.format]:
        raise ShapeError(
            f"a pose as {how.format.name} has {WIDTHS[how.format]} numbers, got {have}"
        )


def _poses(values: NDArray[Any], how: ActionConfig) -> Poses:
    numbers = np.asarray(values, np.float64)
    if how.type is ActionType.NON_EEF:
        return Poses(numbers, None)
    if how.format is ActionFormat.DEFAULT:
        matrix = numbers.reshape(*numbers.shape[:-1], 4, 4)
        return Poses(matrix[..., :3, 3], _nearest_rotation(matrix[..., :3, :3]))
    position, rotation = numbers[..., :3], numbers[..., 3:]
    if how.format is ActionFormat.XYZ_ROTVEC:
        return Poses(position, to_matrix(rotation, "rotvec"))
    # Two rows of R are two columns of its transpose.
    return Poses(position, np.swapaxes(to_matrix(rotation, "rot6d"), -1, -2))


def _nearest_rotation(matrix: Numbers) -> Numbers:
    """The rotation with the least squared distance; a network's prediction is not quite one."""
    left, sizes, right = np.linalg.svd(matrix)
    if not (sizes[..., 1] > 1e-12).all():
        raise DataError("a 4x4 pose has a singular matrix: it is no rotation")
    left[..., :, 2] *= np.sign(np.linalg.det(left @ right))[..., None]
    return np.asarray(left @ right)


def _numbers(poses: Poses, how: ActionConfig) -> Numbers:
    if poses.rotation is None:
        return poses.position
    if how.format is ActionFormat.DEFAULT:
        matrix = np.zeros((*poses.position.shape[:-1], 4, 4))
        matrix[..., :3, :3], matrix[..., :3, 3] = poses.rotation, poses.position
        matrix[..., 3, 3] = 1
        return matrix.reshape(*matrix.shape[:-2], 16)
    if how.format is ActionFormat.XYZ_ROTVEC:
        rotation = from_matrix(poses.rotation, "rotvec")
    else:
        rotation = from_matrix(np.swapaxes(poses.rotation, -1, -2), "rot6d")
    return np.concatenate([poses.position, rotation], axis=-1)


def _at(poses: Poses, steps: slice) -> Poses:
    rotation = None if poses.rotation is None else poses.rotation[..., steps, :, :]
    return Poses(poses.position[..., steps, :], rotation)


def _followed_by(start: Poses, poses: Poses) -> Poses:
    """What each pose follows: `start`, then all poses but the last."""
    before = _at(poses, slice(None, -1))
    position = np.concatenate([start.position, before.position], axis=-2)
    if start.rotation is None or before.rotation is None:
        return Poses(position, None)
    return Poses(position, np.concatenate([start.rotation, before.rotation], axis=-3))
