"""Open-loop errors against numbers computed by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

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
from robocache.core.errors import DataError
from robocache.datasets import WindowTable
from robocache.datasets.dimensions import Dimension
from robocache.evaluation.open_loop import OpenLoopResult, evaluate_open_loop
from robocache.evaluation.open_loop_config import OpenLoopConfig

ACTIONS = np.array([[0.0], [1.0], [3.0], [6.0]], np.float32)


class Guess:
    """Predicts 2 for each of two actions, plus or minus 1 by turns of the seed's parity."""

    inputs = (StreamInput("x"),)
    execute_steps = 2

    def act(self, observations: Sequence[Observation], seeds: Sequence[int]) -> list[ActionChunk]:
        self.asked = getattr(self, "asked", 0) + len(observations)
        return [
            ActionChunk(np.full((2, 1), 2.0 + (-1) ** n, np.float32), view.now_s + np.arange(2.0))
            for n, view in enumerate(observations)
        ]


def table(actions: np.ndarray) -> WindowTable:
    times = np.arange(len(actions), dtype=np.float64)
    x = Stream(np.zeros((len(actions), 1), np.float32), times, StreamSpec((1,), rate_hz=1))
    action = Stream(actions, times, StreamSpec((1,), rate_hz=1), times + 1)
    window = Window((StreamInput("x"),), "action", 1.0, 2)
    return WindowTable([Episode("e", {"x": x, "action": action})], window)


def test_errors_by_hand() -> None:
    policy = Guess()
    config = OpenLoopConfig("unused", samples=2)
    result = evaluate_open_loop(policy, table(ACTIONS), np.array([2.5]), config)
    # Windows at 1, 2, 3 predict (1, 3), (3, 6), (6, -); the mean of the samples is 2.
    assert policy.asked == 6
    assert result.windows.tolist() == [3, 2]
    np.testing.assert_allclose(result.absolute["policy"][:, 0], [(1 + 1 + 4) / 3, (1 + 4) / 2])
    np.testing.assert_allclose(result.square["policy"][:, 0], [(1 + 1 + 16) / 3, (1 + 16) / 2])
    # Held: 0, 1, 3.
    np.testing.assert_allclose(result.absolute["hold"][:, 0], [(1 + 2 + 3) / 3, (3 + 5) / 2])
    np.testing.assert_allclose(result.absolute["mean"][:, 0], [(1.5 + 0.5 + 3.5) / 3, 4 / 2])
    assert result.overall()["policy"] == pytest.approx((1 + 1 + 4 + 1 + 4) / 5)
    assert result.overall("square")["policy"] == pytest.approx(((1 + 1 + 16 + 1 + 16) / 5) ** 0.5)
    assert result.first_step()["policy"] == pytest.approx((1 + 1 + 4) / 3)
    assert result.first_step("square")["hold"] == pytest.approx(((1 + 4 + 9) / 3) ** 0.5)
    assert result.per_dimension()["policy"] == pytest.approx([(1 + 1 + 4 + 1 + 4) / 5])
    named = replace(result, dimensions=(Dimension("elbow", "rad"),))
    (told,) = named.to_json()["dimensions"]
    assert (told["name"], told["unit"]) == ("elbow", "rad")
    assert told["absolute"]["policy"] == pytest.approx(11 / 5)
    assert told["first_step"]["policy"] == pytest.approx(6 / 3)
    for one in (result, named):
        again = OpenLoopResult.from_json(json.loads(json.dumps(one.to_json())))
        assert again.to_json() == one.to_json()


def test_figures_of_before_there_were_names_can_be_read() -> None:
    result = evaluate_open_loop(Guess(), table(ACTIONS), np.array([2.5]), OpenLoopConfig("unused"))
    old = {name: result.to_json()[name] for name in ("windows", "absolute", "square")}
    again = OpenLoopResult.from_json(old)
    assert [one.name for one in again.named()] == ["0"] and again.trajectories is None


def test_one_action_is_not_enough() -> None:
    with pytest.raises(DataError, match="only one action"):
        evaluate_open_loop(Guess(), table(ACTIONS[:1]), np.zeros(1), OpenLoopConfig("unused"))
