"""Errors along whole trajectories against numbers computed by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest

from robocache.core import (
    ActionChunk,
    Episode,
    Observation,
    Stream,
    StreamInput,
    StreamSpec,
    Window,
)
from robocache.core.errors import ConfigError
from robocache.datasets import WindowTable
from robocache.evaluation.open_loop_config import OpenLoopConfig
from robocache.evaluation.trajectories import (
    Trajectory,
    TrajectoryErrors,
    chunk_steps,
    evaluate_trajectories,
)


class Counting:
    """Predicts now, now + 1, ... in the first dimension and -1 in the second.

    Attributes:
        asked: moments it was asked at, and seeds.
    """

    inputs = (StreamInput("x"),)
    execute_steps = 3

    def __init__(self, horizon: int = 3) -> None:
        self.horizon = horizon
        self.asked: list[tuple[float, int]] = []

    def act(self, observations: Sequence[Observation], seeds: Sequence[int]) -> list[ActionChunk]:
        self.asked += [(view.now_s, seed) for view, seed in zip(observations, seeds, strict=True)]
        ahead = np.arange(self.horizon, dtype=np.float64)
        return [
            ActionChunk(
                np.stack([view.now_s + ahead, np.full(self.horizon, -1.0)], axis=1).astype("f4"),
                view.now_s + ahead,
            )
            for view in observations
        ]


def table(*lengths: int, rate_hz: float = 1.0, horizon: int = 3) -> WindowTable:
    """Episodes a, b, ... in which everything is zero, recorded at 1 Hz."""
    episodes = []
    for key, length in zip("abcdef", lengths, strict=False):
        times = np.arange(length, dtype=np.float64)
        x = Stream(np.zeros((length, 1), np.float32), times, StreamSpec((1,), rate_hz=1))
        zeros = np.zeros((length, 2), np.float32)
        action = Stream(zeros, times, StreamSpec((2,), rate_hz=1), times + 1)
        episodes.append(Episode(key, {"x": x, "action": action}))
    return WindowTable(episodes, Window((StreamInput("x"),), "action", rate_hz, horizon))


def test_mse_and_mae_by_hand() -> None:
    policy = Counting()
    errors, kept = evaluate_trajectories(
        policy, table(5, 2), OpenLoopConfig("unused", chunk=2, steps=0, plots=1)
    )
    # Five steps: asked at 0, 2, 4 for two of its three actions; the last chunk goes past the end.
    assert [now for now, _ in policy.asked] == [0, 2, 4, 0]
    assert len({seed for _, seed in policy.asked}) == 4
    first, second = errors.episodes
    assert (first.episode, first.steps, second.steps) == ("a", 5, 2)
    assert first.mse == pytest.approx(((0 + 1 + 4 + 9 + 16) / 5 + 1) / 2)
    assert first.mae == pytest.approx(((0 + 1 + 2 + 3 + 4) / 5 + 1) / 2)
    assert second.mse == pytest.approx((0.5 + 1) / 2)
    assert errors.mse == pytest.approx((3.5 + 0.75) / 2)
    assert errors.mae == pytest.approx((1.5 + 0.75) / 2)
    np.testing.assert_allclose(errors.absolute, [(2 + 0.5) / 2, 1])
    np.testing.assert_allclose(errors.square, [(6 + 0.5) / 2, 1])
    (drawn,) = kept
    assert drawn.starts.tolist() == [0, 2, 4]
    assert drawn.times_s.tolist() == [0, 1, 2, 3, 4]
    assert drawn.predicted[:, 0].tolist() == [0, 1, 2, 3, 4]
    again = Trajectory.from_json(json.loads(json.dumps(drawn.to_json())))
    assert again.to_json() == drawn.to_json()
    read = TrajectoryErrors.from_json(json.loads(json.dumps(errors.to_json())))
    assert read.to_json() == errors.to_json()


def test_at_most_so_many_steps_even_within_a_chunk() -> None:
    policy = Counting()
    errors, (drawn, *_) = evaluate_trajectories(
        policy, table(9), OpenLoopConfig("unused", chunk=3, steps=4)
    )
    assert [now for now, _ in policy.asked] == [0, 3]
    assert errors.episodes[0].steps == 4 and drawn.starts.tolist() == [0, 3]
    assert errors.mae == pytest.approx(((0 + 1 + 2 + 3) / 4 + 1) / 2)


def test_a_slower_policy_is_asked_at_its_own_pace() -> None:
    """Actions at 0.5 Hz of a recording at 1 Hz: two of them last four seconds."""
    policy = Counting(2)
    window = table(9, rate_hz=0.5, horizon=2)
    _, (drawn,) = evaluate_trajectories(policy, window, OpenLoopConfig("unused", chunk=2))
    assert [now for now, _ in policy.asked] == [0, 4, 8]
    assert drawn.times_s.tolist() == [0, 2, 4, 6, 8]


def test_only_what_is_predicted_counts() -> None:
    errors, _ = evaluate_trajectories(
        Counting(), table(3), OpenLoopConfig("unused", chunk=3), np.array([False, True])
    )
    assert errors.mse == errors.mae == 1.0
    np.testing.assert_allclose(errors.absolute, [1, 1])


def test_the_same_seed_asks_the_same_whatever_else_is_judged() -> None:
    alone, together = Counting(), Counting()
    evaluate_trajectories(alone, table(5), OpenLoopConfig("unused", chunk=2))
    evaluate_trajectories(together, table(5, 4, 3), OpenLoopConfig("unused", chunk=2, steps=0))
    assert together.asked[:3] == alone.asked
    other = Counting()
    evaluate_trajectories(other, table(5), OpenLoopConfig("unused", chunk=2, seed=1))
    assert all(a[1] != b[1] for a, b in zip(other.asked, alone.asked, strict=True))


def test_the_chunk_is_sixteen_or_what_the_policy_has() -> None:
    config = OpenLoopConfig("unused")
    assert (chunk_steps(config, 40), chunk_steps(config, 4)) == (16, 4)
    with pytest.raises(ConfigError, match="chunk=5: the policy predicts 4 actions"):
        chunk_steps(OpenLoopConfig("unused", chunk=5), 4)
    with pytest.raises(ConfigError, match="chunk=3: the policy predicts 2 actions"):
        evaluate_trajectories(Counting(2), table(5), OpenLoopConfig("unused", chunk=3))


@pytest.mark.parametrize("wrong", [{"chunk": 0}, {"steps": -1}, {"plots": -1}])
def test_settings_that_make_no_sense(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        OpenLoopConfig("unused", **wrong)
