"""Sensor clocks and the quaternion of one rotation."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from robocache.envs.metaworld.rotation import quaternion_xyzw
from robocache.envs.metaworld.sampling import firing_ticks


def test_ticks_by_hand() -> None:
    clock = np.random.default_rng(0)
    assert firing_ticks(50.0, 20, 0.0, clock).tolist() == [0, 8, 16]
    assert firing_ticks(400.0, 3, 0.0, clock).tolist() == [0, 1, 2, 3]
    assert firing_ticks(30.0, 40, 0.0, clock).tolist() == [0, 14, 27, 40]


@settings(max_examples=60, deadline=None)
@given(
    rate=st.sampled_from([20.0, 50.0, 100.0, 200.0, 400.0]),
    jitter=st.floats(0, 0.2),
    seed=st.integers(0, 2**32),
    short=st.integers(0, 300),
)
def test_ticks_increase_start_at_zero_and_do_not_depend_on_the_end(
    rate: float, jitter: float, seed: int, short: int
) -> None:
    whole = firing_ticks(rate, 400, jitter, np.random.default_rng(seed))
    assert whole[0] == 0 and (np.diff(whole) > 0).all() and whole[-1] <= 400
    part = firing_ticks(rate, short, jitter, np.random.default_rng(seed))
    assert part.tolist() == whole[whole <= short].tolist()


def test_quaternions_are_scipys() -> None:
    rotations = Rotation.random(2000, rng=np.random.default_rng(0))
    angles = np.array([[0, 0, 0], [180, 0, 0], [0, 180, 0], [0, 0, 180], [90, 0, 0], [0, 0, -90]])
    matrices = np.concatenate(
        [rotations.as_matrix(), Rotation.from_euler("xyz", angles, degrees=True).as_matrix()]
    )
    expected = Rotation.from_matrix(matrices).as_quat()
    ours = [quaternion_xyzw(matrix.ravel().tolist()) for matrix in matrices]
    np.testing.assert_allclose(ours, expected, atol=1e-14)
