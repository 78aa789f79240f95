"""Judged episodes as pictures: the right moments, upright, the goal marked where it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from robocache.core import Episode, Outcome, Provenance, Stream, StreamSpec
from robocache.core.errors import EnvError

pytest.importorskip("metaworld")

from robocache.envs.metaworld import MetaWorldConfig, MetaWorldEnv
from robocache.envs.metaworld.pictures import GOAL_COLOUR, Stage
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


def drawn(episode: Episode, count: int, **options: object) -> tuple[list[np.ndarray], list[str]]:
    return Stage(episode.provenance.task, options).draw_moments(episode, SEED, count)


def ring(picture: np.ndarray) -> np.ndarray:
    """(n, 2) rows and columns of the ring's pixels."""
    return np.argwhere((picture == GOAL_COLOUR).all(axis=-1))


def test_moments_are_spread_over_the_episode_and_the_scene_is_upright() -> None:
    pictures, times = drawn(recorded("drawer-open", 40), 3, phrases="held_out")
    assert times == ["0.00 s", "0.25 s", "0.50 s"]
    assert [picture.shape for picture in pictures] == [(135, 180, 3)] * 3
    sky = (pictures[0] == _BACKGROUND).all(axis=-1).mean(axis=1)
    assert sky[:15].mean() > 0.5 and sky[-45:].max() == 0
    assert (pictures[0] != pictures[2]).any(axis=-1).mean() > 0.02
    assert all(len(ring(picture)) == 0 for picture in pictures)


def test_the_ring_stays_at_the_goal_and_the_hand_comes_to_it() -> None:
    episode = recorded("reach", 60)
    assert episode.outcome.success
    pictures, _ = drawn(episode, 2)
    before, after = (ring(picture) for picture in pictures)
    assert len(before) > 40
    np.testing.assert_array_equal(before, after)
    row, column = before.mean(axis=0).round().astype(int)
    near = (slice(row - 10, row + 10), slice(column - 10, column + 10))
    gripper = [(picture[near].max(axis=-1) < 73).mean() for picture in pictures]
    assert gripper[1] > gripper[0] + 0.1


def test_an_episode_that_plays_out_otherwise_is_refused() -> None:
    episode = recorded("reach", 5)
    wrong = replace(episode, outcome=Outcome(success=True, steps=5))
    with pytest.raises(EnvError, match="recorded as solved and is now not solved"):
        drawn(wrong, 2)


def test_a_stage_draws_an_episode_the_same_whatever_was_played_before() -> None:
    episode, other = recorded("reach", 20), recorded("reach", 33)
    stage = Stage("metaworld/reach", {})
    first, _ = stage.draw_moments(episode, SEED, 2)
    stage.draw_moments(other, SEED, 2)
    again, _ = stage.draw_moments(episode, SEED, 2)
    np.testing.assert_array_equal(first, again)
