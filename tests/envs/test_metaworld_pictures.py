"""Judged episodes as pictures: the right moments, upright, the goal marked where it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from robocache.core import Episode, Outcome, Provenance, Stream, StreamSpec
from robocache.core.errors import EnvError

pytest.importorskip("metaworld")

from robocache.envs.metaworld import MetaWorldConfig, MetaWorldEnv
from robocache.envs.metaworld.pictures import GOAL_COLOUR, draw_moments
from robocache.envs.metaworld.shading import _BACKGROUND

SEED = 11


def recorded(task: str, steps: int) -> Episode:
    """An expert's episode with nothing but its actions."""
    env = MetaWorldEnv(MetaWorldConfig(task=task, sensors=()))
    env.reset(SEED)
    actions, solved = [], False
    for _ in range(steps):
        actions.append(env.expert_action())
        solved |= env.step(actions[-1]).success
    stream = Stream(np.array(actions), np.arange(steps) / 80, StreamSpec((4,), rate_hz=80.0))
    return Episode(
        key="e",
        streams={"action": stream},
        outcome=Outcome(success=solved, steps=steps),
        provenance=Provenance(task=f"metaworld/{task}"),
    )


def ring(picture: np.ndarray) -> np.ndarray:
    """(n, 2) rows and columns of the ring's pixels."""
    return np.argwhere((picture == GOAL_COLOUR).all(axis=-1))


def test_moments_are_spread_over_the_episode_and_the_scene_is_upright() -> None:
    pictures, times = draw_moments(recorded("drawer-open", 40), SEED, {"phrases": "held_out"}, 3)
    assert times == ["0.00 s", "0.25 s", "0.50 s"]
    assert [picture.shape for picture in pictures] == [(180, 240, 3)] * 3
    sky = (pictures[0] == _BACKGROUND).all(axis=-1).mean(axis=1)
    assert sky[:20].mean() > 0.5 and sky[-60:].max() == 0
    assert (pictures[0] != pictures[2]).any(axis=-1).mean() > 0.02
    assert all(len(ring(picture)) == 0 for picture in pictures)


def test_the_ring_stays_at_the_goal_and_the_hand_comes_to_it() -> None:
    episode = recorded("reach", 60)
    assert episode.outcome.success
    pictures, _ = draw_moments(episode, SEED, {}, 2)
    before, after = (ring(picture) for picture in pictures)
    assert len(before) > 60
    np.testing.assert_array_equal(before, after)
    row, column = before.mean(axis=0).round().astype(int)
    near = (slice(row - 14, row + 14), slice(column - 14, column + 14))
    gripper = [(picture[near].max(axis=-1) < 73).mean() for picture in pictures]
    assert gripper[1] > gripper[0] + 0.1


def test_an_episode_that_plays_out_otherwise_is_refused() -> None:
    episode = recorded("reach", 5)
    wrong = replace(episode, outcome=Outcome(success=True, steps=5))
    with pytest.raises(EnvError, match="recorded as solved and is now not solved"):
        draw_moments(wrong, SEED, {}, 2)
