"""Rotation formats against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from robocache.core.errors import ConfigError, DataError, ShapeError
from robocache.datasets.rotations import WIDTHS, convert_rotation, from_matrix, to_matrix

RANDOM = Rotation.random(200, rng=np.random.default_rng(3))
TURNS = [
    Rotation.from_rotvec(np.array(axis) * angle)
    for axis in ([1, 0, 0], [0, 1, 0], [0, 0, 1], [0.6, 0.0, 0.8])
    for angle in (0.0, 1e-12, 1e-6, 1.0, np.pi / 2 - 0.01, np.pi - 1e-6, np.pi)
]
ROTATIONS = Rotation.concatenate([RANDOM, *TURNS])


def by_scipy(rotations: Rotation, name: str) -> np.ndarray:
    if name == "euler_xyz":
        return rotations.as_euler("xyz")
    if name == "rotvec":
        return rotations.as_rotvec()
    if name == "rot6d":
        return np.concatenate([rotations.as_matrix()[:, :, 0], rotations.as_matrix()[:, :, 1]], 1)
    return rotations.as_quat(canonical=True, scalar_first=name == "quaternion_wxyz")


@pytest.mark.parametrize("name", WIDTHS)
def test_formats_agree_with_scipy(name):
    matrices = ROTATIONS.as_matrix()
    np.testing.assert_allclose(to_matrix(by_scipy(ROTATIONS, name), name), matrices, atol=1e-12)
    made = from_matrix(RANDOM.as_matrix(), name)
    np.testing.assert_allclose(made, by_scipy(RANDOM, name), atol=1e-12)
    np.testing.assert_allclose(to_matrix(from_matrix(matrices, name), name), matrices, atol=1e-12)


@pytest.mark.parametrize("source", WIDTHS)
@pytest.mark.parametrize("to", WIDTHS)
def test_conversions_are_undone(source, to):
    values = by_scipy(RANDOM, source)
    there = convert_rotation(values, source, to)
    np.testing.assert_allclose(there, by_scipy(RANDOM, to), atol=1e-12)
    np.testing.assert_allclose(convert_rotation(there, to, source), values, atol=1e-12)


def test_known_rotations():
    quarter = np.pi / 2
    assert convert_rotation(np.array([0, 0, quarter]), "rotvec", "quaternion_wxyz") == (
        pytest.approx([np.sqrt(0.5), 0, 0, np.sqrt(0.5)])
    )
    # x first, then z, both about fixed axes: the y axis goes to z and stays there
    turned = to_matrix(np.array([quarter, 0, quarter]), "euler_xyz")
    np.testing.assert_allclose(turned @ [0, 1, 0], [0, 0, 1], atol=1e-12)
    # the x axis goes to y: first column of the matrix
    np.testing.assert_allclose(
        convert_rotation(np.array([0, 0, quarter]), "euler_xyz", "rot6d"),
        [0, 1, 0, -1, 0, 0],
        atol=1e-12,
    )


def test_pitch_of_a_right_angle_keeps_the_rotation():
    angles = np.array([[0.3, np.pi / 2, -0.4], [0.3, -np.pi / 2, -0.4]])
    matrix = to_matrix(angles, "euler_xyz")
    np.testing.assert_allclose(
        to_matrix(from_matrix(matrix, "euler_xyz"), "euler_xyz"), matrix, atol=1e-7
    )


def test_lengths_do_not_matter_and_zero_is_refused():
    quaternion = by_scipy(RANDOM, "quaternion_xyzw")
    np.testing.assert_allclose(
        to_matrix(-3 * quaternion, "quaternion_xyzw"), RANDOM.as_matrix(), atol=1e-12
    )
    with pytest.raises(DataError, match="no rotation"):
        to_matrix(np.zeros(4), "quaternion_wxyz")
    with pytest.raises(DataError, match="no rotation"):
        to_matrix(np.array([1.0, 0, 0, 2, 0, 0]), "rot6d")
    with pytest.raises(DataError, match="no rotation"):
        to_matrix(np.full(4, np.nan), "quaternion_xyzw")


def test_wrong_names_and_widths_are_refused():
    with pytest.raises(ConfigError, match="did you mean 'quaternion_xyzw'"):
        to_matrix(np.zeros(4), "quaternion_xyz")
    with pytest.raises(ShapeError, match="rot6d has 6 numbers, got 9"):
        to_matrix(np.zeros(9), "rot6d")
