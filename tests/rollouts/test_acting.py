"""Who acts: the expert with its noise, and policies, sound and broken."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from examples.point_env import PointEnv
from examples.point_policy import Steer

from robocache.core import ActionChunk, Episode, Observation, Policy, StreamInput
from robocache.core.errors import ConfigError, MissingStreamError, PolicyError
from robocache.core.seeding import derive_seed
from robocache.envs.sensors import SensorSuite
from robocache.evaluation.closed_loop import paired_outcomes, summarise
from robocache.rollouts import RolloutPlan
from robocache.rollouts.actors import ExpertActor, PolicyActor
from robocache.rollouts.rollout import Actor, run_episodes
from robocache.rollouts.worker import ledger_row


def plan_of(episodes: int = 3, **changes: Any) -> RolloutPlan:
    return RolloutPlan(("point",), episodes, 0, "evaluate", "x", "point 1", **changes)


def played(actor: Actor, plan: RolloutPlan, env: Callable[[], Any] = PointEnv) -> list[Episode]:
    return run_episodes(plan, plan.jobs(), lambda job: env(), actor)


def test_the_example_policy_solves_the_example() -> None:
    plan = plan_of(40)
    episodes = played(PolicyActor(Steer()), plan)
    from pathlib import Path

    rows = [ledger_row(Path("x"), episode) for episode in episodes]
    assert summarise(rows).overall.rate == 1.0
    assert len(paired_outcomes(rows)) == 40
    assert all(not e.outcome.truncated and e.outcome.steps <= 25 for e in episodes)


def test_what_is_recorded() -> None:
    plan = plan_of(2, expert_noise=0.5, steps_after_success=3)
    for episode, job in zip(played(ExpertActor(0.5), plan), plan.jobs(), strict=True):
        outcome, streams = episode.outcome, episode.streams
        assert set(streams) == {"point", "goal", "action", "expert_action"}
        assert outcome.success and outcome.steps == len(streams["action"])
        times = np.arange(outcome.steps) / 10
        np.testing.assert_array_equal(streams["action"].times_s, times)
        np.testing.assert_array_equal(
            streams["action"].available_s, (np.arange(len(times)) + 1) / 10
        )
        assert streams["expert_action"].spec.privileged
        assert not streams["action"].spec.privileged
        # The clean label belongs to where the noise had led: replay it in a new environment.
        env = PointEnv()
        env.reset(job.seed)
        distances = []
        for action, label in zip(
            streams["action"].values, streams["expert_action"].values, strict=True
        ):
            np.testing.assert_array_equal(env.expert_action(), label)
            step = env.step(action)
            distances.append(-step.reward)
        point = streams["point"].values
        assert len(point) == outcome.steps + 1
        np.testing.assert_allclose(step.samples["point"].values[0], point[-1])
        first = int(np.argmax(np.array(distances) < 0.1))
        assert outcome.steps == first + 1 + 3
        assert outcome.reward == pytest.approx(-sum(distances))
        differs = streams["action"].values != streams["expert_action"].values
        assert differs.any() and (np.abs(streams["action"].values) <= 1).all()
        assert episode.provenance.index == job.index and episode.provenance.seed == 0


def test_noise_follows_from_the_episode_alone() -> None:
    plan = plan_of(5, expert_noise=0.5)
    together = played(ExpertActor(0.5), plan)
    alone = run_episodes(plan, plan.jobs()[3:4], lambda job: PointEnv(), ExpertActor(0.5))
    one, two = (e.streams["action"].values for e in (together[3], alone[0]))
    np.testing.assert_array_equal(one, two)
    assert len({e.streams["action"].values.tobytes() for e in together}) == 5


class Chunks:
    """A policy that returns what it is told to, and notes when it was asked."""

    inputs = (StreamInput("point"),)
    execute_steps = 3

    def __init__(self, answer: Callable[[Observation], Any]) -> None:
        self._answer = answer
        self.asked: list[tuple[float, int]] = []

    def act(self, observations: Sequence[Observation], seeds: Sequence[int]) -> list[Any]:
        self.asked += [(o.now_s, s) for o, s in zip(observations, seeds, strict=True)]
        return [ActionChunk(self._answer(view), np.zeros(1)) for view in observations]


def test_receding_horizon_clipping_and_seeds() -> None:
    policy = Chunks(lambda view: np.full((5, 2), 7.0))
    assert isinstance(policy, Policy)
    plan = plan_of(1)
    (episode,) = played(PolicyActor(policy), plan, lambda: PointEnv(max_steps=8))
    assert [round(now * 10) for now, _ in policy.asked] == [0, 3, 6]
    seeds = [derive_seed(plan.jobs()[0].seed, "policy", 0, step) for step in (0, 3, 6)]
    assert [seed for _, seed in policy.asked] == seeds
    actions = episode.streams["action"].values
    assert actions.dtype == np.float32 and (actions == 1).all() and len(actions) == 8
    assert episode.outcome.truncated and episode.outcome.success is False


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda view: np.full((2, 2), np.nan), "NaN or infinity"),
        (lambda view: np.array([[0.0, np.inf]]), "NaN or infinity"),
        (lambda view: np.zeros((4, 3)), r"must be \(H, 2\) .* returned \(4, 3\)"),
        (lambda view: np.zeros(2), r"returned \(2,\)"),
        (lambda view: np.zeros((0, 2)), r"returned \(0, 2\)"),
        (lambda view: None, r"returned \(\)"),
    ],
)
def test_broken_answers_name_the_episode(answer: Callable[..., Any], message: str) -> None:
    plan = plan_of(2)
    key = re.escape(plan.jobs()[1].key)

    def later(view: Observation) -> Any:
        """Broken in the second episode, at its second question."""
        mine = view.values["point"][0, 0] == second and view.now_s > 0
        return answer(view) if mine else np.zeros((3, 2))

    env = PointEnv()
    second = env.reset(plan.jobs()[1].seed).samples["point"].values[0, 0]
    with pytest.raises(PolicyError, match=rf"episode {key}, step 3: .*{message}"):
        played(PolicyActor(Chunks(later)), plan)


def test_too_few_answers() -> None:
    class One(Chunks):
        def act(self, observations: Sequence[Observation], seeds: Sequence[int]) -> list[Any]:
            return super().act(observations, seeds)[:1]

    with pytest.raises(PolicyError, match="returned 1 chunks for 3 observations"):
        played(PolicyActor(One(lambda view: np.zeros((3, 2)))), plan_of(3))


def test_a_stream_that_is_not_offered() -> None:
    policy = Chunks(lambda view: np.zeros((3, 2)))
    policy.inputs = (StreamInput("camera"),)  # type: ignore[misc]
    with pytest.raises(
        MissingStreamError, match=r"stream camera: not offered .*action, goal, point"
    ):
        played(PolicyActor(policy), plan_of(1))


class Unscripted:
    """The point environment without its expert."""

    def __init__(self) -> None:
        env = PointEnv()
        self.spec, self.instruction = env.spec, env.instruction
        self.reset, self.step, self.close = env.reset, env.step, env.close


def test_an_environment_without_expert() -> None:
    for env in (Unscripted, lambda: SensorSuite(Unscripted(), {})):
        with pytest.raises(ConfigError, match="point has no scripted expert"):
            played(ExpertActor(0.0), plan_of(1), env)


def test_keys_say_what_determines_an_episode() -> None:
    plan = plan_of(2)
    assert len({job.key for job in plan.jobs()}) == 2
    others = [
        {"expert_noise": 0.1},
        {"env_options": {"max_steps": 3}},
        {"steps_after_success": 1},
    ]
    digests = {plan.digest(), *(plan_of(2, **change).digest() for change in others)}
    assert len(digests) == 4
    assert plan_of(9).jobs()[:2] == plan.jobs(), "more episodes leave the first as they are"
    seeds = {
        RolloutPlan(("a",), 1, 0, purpose, "x", "1").jobs()[0].seed
        for purpose in ("collect", "evaluate")
    }
    assert len(seeds) == 2, "layouts of collecting and evaluating never coincide"
    with pytest.raises(ConfigError, match="named twice"):
        RolloutPlan(("a", "a"), 1, 0, "collect", "x", "1")
    with pytest.raises(ConfigError, match="needs tasks and episodes"):
        RolloutPlan((), 1, 0, "collect", "x", "1")
