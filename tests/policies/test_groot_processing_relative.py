"""Relative actions against scipy's rotations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from small_groot_processing import rows6

from robocache.core.errors import DataError, ShapeError
from robocache.policies.groot_n16.processing.modality import (
    ActionConfig,
    ActionFormat,
    ActionType,
    Representation,
)
from robocache.policies.groot_n16.processing.relative import from_relative, to_relative

H = 5
EEF, RELATIVE, DELTA = ActionType.EEF, Representation.RELATIVE, Representation.DELTA
FORMATS = list(ActionFormat)


def matrices(seed: int, count: int) -> np.ndarray:
    """(count, 4, 4) poses."""
    random = np.random.default_rng(seed)
    poses = np.zeros((count, 4, 4))
    poses[:, :3, :3] = Rotation.random(count, rng=random).as_matrix()
    poses[:, :3, 3] = random.normal(size=(count, 3))
    poses[:, 3, 3] = 1
    return poses


def written(poses: np.ndarray, how: ActionFormat) -> np.ndarray:
    if how is ActionFormat.DEFAULT:
        return poses.reshape(-1, 16)
    rotation = Rotation.from_matrix(poses[:, :3, :3])
    turned = rows6(rotation) if how is ActionFormat.XYZ_ROT6D else rotation.as_rotvec()
    return np.concatenate([poses[:, :3, 3], turned], axis=1)


@pytest.mark.parametrize("how", FORMATS)
def test_a_pose_is_taken_in_the_frame_of_the_reference(how: ActionFormat) -> None:
    reference, poses = matrices(0, 1)[0], matrices(1, H)
    expected = written(np.linalg.inv(reference) @ poses, how)
    config = ActionConfig(RELATIVE, EEF, how)
    found = to_relative(written(poses, how), written(reference[None], how)[0], config)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("how", FORMATS)
def test_a_delta_is_taken_from_the_pose_before(how: ActionFormat) -> None:
    poses = matrices(2, H + 1)
    expected = written(np.linalg.inv(poses[:-1]) @ poses[1:], how)
    config = ActionConfig(DELTA, EEF, how)
    found = to_relative(written(poses[1:], how), written(poses[:1], how)[0], config)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_numbers_are_subtracted() -> None:
    actions, state = np.array([[1.0, 2.0], [4.0, 8.0]]), np.array([1.0, -1.0])
    relative = to_relative(actions, state, ActionConfig(RELATIVE))
    delta = to_relative(actions, state, ActionConfig(DELTA))
    assert relative.tolist() == [[0, 3], [3, 9]]
    assert delta.tolist() == [[0, 3], [3, 6]]


@pytest.mark.parametrize("rep", [RELATIVE, DELTA])
@pytest.mark.parametrize("how", FORMATS)
def test_a_batch_comes_back(rep: Representation, how: ActionFormat) -> None:
    config = ActionConfig(rep, EEF, how)
    actions = written(matrices(3, 3 * H), how).reshape(3, H, -1)
    states = written(matrices(4, 3), how)
    back = from_relative(to_relative(actions, states, config), states, config)
    np.testing.assert_allclose(back, actions, atol=1e-12)


@pytest.mark.parametrize("how", [ActionFormat.DEFAULT, ActionFormat.XYZ_ROT6D])
def test_a_predicted_pose_becomes_a_rotation(how: ActionFormat) -> None:
    config = ActionConfig(RELATIVE, EEF, how)
    random = np.random.default_rng(5)
    state = written(matrices(6, 1), how)[0]
    noisy = written(matrices(7, H), how) + random.normal(0, 0.1, (H, len(state)))
    back = from_relative(noisy, state, config)
    if how is ActionFormat.DEFAULT:
        turned = back.reshape(H, 4, 4)[:, :3, :3]
        expected = np.linalg.inv(state.reshape(4, 4)[:3, :3]) @ turned
        nearest = Rotation.from_matrix(noisy.reshape(H, 4, 4)[:, :3, :3]).as_matrix()
        np.testing.assert_allclose(expected, nearest, atol=1e-9)
    else:
        rows = back[:, 3:].reshape(H, 2, 3)
        np.testing.assert_allclose(
            rows @ rows.swapaxes(1, 2), np.tile(np.eye(2), (H, 1, 1)), atol=1e-12
        )


def test_what_is_no_pose_is_refused() -> None:
    rot6d = ActionConfig(RELATIVE, EEF, ActionFormat.XYZ_ROT6D)
    with pytest.raises(ShapeError, match="XYZ_ROT6D has 9 numbers, got 7"):
        to_relative(np.ones((H, 7)), np.ones(7), rot6d)
    with pytest.raises(ShapeError, match="3 numbers cannot be relative to a state of 2"):
        to_relative(np.ones((H, 3)), np.ones(2), ActionConfig(RELATIVE))
    with pytest.raises(DataError, match="no rotation"):
        to_relative(np.zeros((H, 9)), np.ones(9), rot6d)
    with pytest.raises(DataError, match="singular"):
        to_relative(np.zeros((H, 16)), np.zeros(16), ActionConfig(RELATIVE, EEF))
