"""Actions as absolute poses, deltas, and relative to a state."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from robocache.core import Episode, Stream, StreamSpec
from robocache.core.errors import ConfigError, DataError, ShapeError, TimesError
from robocache.datasets.action_space import (
    ActionConversion,
    PoseColumns,
    Poses,
    RotationConversion,
    difference,
    from_deltas,
    moved,
    to_deltas,
)

SIDE = PoseColumns((0,))
POSE = PoseColumns((0, 1, 2), (3, 4, 5))
STATE_POSE = PoseColumns((0, 1, 2), (3, 4, 5, 6), "quaternion_xyzw")
MEANINGS = ("absolute", "delta", "relative_to_first", "relative_to_state")


def stream(values: np.ndarray, times: np.ndarray, available: np.ndarray | None = None) -> Stream:
    return Stream(values, times, StreamSpec(values.shape[1:], str(values.dtype), 10.0), available)


def on_a_line() -> Episode:
    """One position and a gripper; the state of 0.2 s is available only at 0.3 s."""
    times = np.arange(4) / 10
    action = np.array([[12, 1], [13, 0], [15, 1], [14, 0]], np.float32)
    state = np.array([[10], [11], [12.5], [14.5]], np.float32)
    late = np.array([0, 0.1, 0.3, 0.3])
    return Episode("e", {"action": stream(action, times), "at": stream(state, times, late)})


def converted(episode: Episode, meaning: str, to: str, **options) -> np.ndarray:
    convert = ActionConversion(SIDE, meaning, to, state="at", state_columns=SIDE, **options)
    return convert(episode).streams["action"].values


def test_meanings_by_hand():
    episode = on_a_line()
    assert converted(episode, "absolute", "delta")[:, 0].tolist() == [2, 1, 2, -1]
    assert converted(episode, "absolute", "relative_to_first")[:, 0].tolist() == [2, 3, 5, 4]
    # the third action was given before the third state was known
    assert converted(episode, "absolute", "relative_to_state")[:, 0].tolist() == [2, 2, 4, -0.5]
    for to in MEANINGS:
        assert converted(episode, "absolute", to)[:, 1].tolist() == [1, 0, 1, 0]
        assert converted(episode, "absolute", to).dtype == np.float32


def random_poses(count: int, seed: int) -> tuple[Poses, np.ndarray, Rotation]:
    random = np.random.default_rng(seed)
    position = random.normal(size=(count, 3))
    rotation = Rotation.random(count, rng=random)
    return Poses(position, rotation.as_matrix()), position, rotation


def test_differences_agree_with_scipy():
    poses, position, rotation = random_poses(20, 1)
    starts, from_position, from_rotation = random_poses(20, 2)
    world = difference(poses, starts, "world")
    np.testing.assert_allclose(world.position, position - from_position)
    turned = rotation * from_rotation.inv()
    np.testing.assert_allclose(world.rotation, turned.as_matrix(), atol=1e-12)
    body = difference(poses, starts, "body")
    inverse = np.linalg.inv(homogeneous(starts)) @ homogeneous(poses)
    np.testing.assert_allclose(homogeneous(body), inverse, atol=1e-12)
    for frame, step in (("world", world), ("body", body)):
        np.testing.assert_allclose(
            homogeneous(moved(starts, step, frame)), homogeneous(poses), atol=1e-12
        )
    one = difference(poses, starts[:1], "body")
    np.testing.assert_allclose(
        homogeneous(one), np.linalg.inv(homogeneous(starts[:1])) @ homogeneous(poses), atol=1e-12
    )


def homogeneous(poses: Poses) -> np.ndarray:
    matrix = np.tile(np.eye(4), (len(poses), 1, 1))
    matrix[:, :3, :3], matrix[:, :3, 3] = poses.rotation, poses.position
    return matrix


@pytest.mark.parametrize("frame", ["world", "body"])
def test_deltas_add_up(frame):
    poses, _, rotation = random_poses(30, 4)
    start = random_poses(1, 5)[0]
    deltas = to_deltas(poses, start, frame)
    back = from_deltas(deltas, start, frame)
    np.testing.assert_allclose(homogeneous(back), homogeneous(poses), atol=1e-10)
    expected = rotation[8] * rotation[7].inv() if frame == "world" else (
        rotation[7].inv() * rotation[8]
    )  # fmt: skip
    np.testing.assert_allclose(deltas.rotation[8], expected.as_matrix(), atol=1e-12)


def arm(steps: int = 12) -> Episode:
    """Actions: gripper after a pose with euler angles; states with quaternions."""
    random = np.random.default_rng(7)
    times = np.arange(steps) / 10
    action = np.concatenate([random.uniform(-1, 1, (steps, 6)), random.normal(size=(steps, 1))], 1)
    quaternions = Rotation.random(steps, rng=random).as_quat()
    state = np.concatenate([random.normal(size=(steps, 3)), quaternions], 1)
    return Episode("arm", {"action": stream(action, times), "pose": stream(state, times)})


@pytest.mark.parametrize("frame", ["world", "body"])
@pytest.mark.parametrize("to", MEANINGS)
@pytest.mark.parametrize("meaning", MEANINGS)
def test_conversions_are_undone(meaning, to, frame):
    episode = arm()
    options = {"state": "pose", "state_columns": STATE_POSE, "frame": frame}
    there = ActionConversion(POSE, meaning, to, rotation="rot6d", **options)(episode)
    assert there.streams["action"].spec.shape == (10,)
    there.check()
    six = PoseColumns((0, 1, 2), tuple(range(3, 9)), "rot6d")
    back = ActionConversion(six, to, meaning, rotation="euler_xyz", **options)(there)
    np.testing.assert_allclose(
        back.streams["action"].values, episode.streams["action"].values, atol=1e-9
    )


def test_a_state_in_another_rotation_format():
    episode = arm()
    changed = RotationConversion("pose", STATE_POSE, "quaternion_wxyz")(episode)
    given, made = (e.streams["pose"].values for e in (episode, changed))
    sign = np.where(given[:, 6:] < 0, -1, 1)
    np.testing.assert_allclose(made[:, 3:], np.roll(given[:, 3:] * sign, 1, axis=1), atol=1e-12)
    np.testing.assert_array_equal(made[:, :3], given[:, :3])


def test_what_cannot_be_converted_is_explained():
    with pytest.raises(ConfigError, match="unknown meaning of actions 'delat'"):
        ActionConversion(SIDE, "delat", "absolute")
    with pytest.raises(ConfigError, match="needs state and state_columns"):
        ActionConversion(SIDE, "delta", "absolute")
    with pytest.raises(ConfigError, match="euler_xyz needs 3 columns"):
        PoseColumns((0, 1, 2), (3, 4))
    with pytest.raises(ConfigError, match="another kind"):
        ActionConversion(POSE, "delta", "absolute", state="at", state_columns=SIDE)
    episode = on_a_line()
    with pytest.raises(ShapeError, match="episode e, stream action: values of shape"):
        ActionConversion(PoseColumns((5,)), "absolute", "absolute")(episode)
    late = replace(episode.streams["at"], available_s=np.full(4, 0.4))
    waiting = replace(episode, streams={**episode.streams, "at": late})
    with pytest.raises(TimesError, match="action 0 was given before a sample of at was available"):
        converted(waiting, "absolute", "relative_to_state")
    assert converted(waiting, "absolute", "delta")[0, 0] == 2
    zero = PoseColumns((0,), (1, 1 + 1, 3, 4), "quaternion_xyzw")
    flat = Episode("z", {"action": stream(np.zeros((2, 5)), np.arange(2.0))})
    with pytest.raises(DataError, match="episode z, stream action: a quaternion"):
        ActionConversion(zero, "absolute", "absolute")(flat)
