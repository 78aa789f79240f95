"""Two instructions, one scene: everything but the words is the same."""

from __future__ import annotations

import numpy as np
import pytest

from robocache.envs.metaworld import SCENES, MetaWorldConfig, MetaWorldEnv, phrases

pytest.importorskip("metaworld")

KINDS = ("drawer", "window")


def make(task: str) -> MetaWorldEnv:
    return MetaWorldEnv(MetaWorldConfig(task=task, max_steps=200, clock_jitter_s=0.001))


@pytest.mark.parametrize("kind", KINDS)
def test_opening_and_closing_start_and_go_on_alike(kind: str) -> None:
    opening, closing = make(f"scene-{kind}-open"), make(f"scene-{kind}-close")
    assert list(opening.spec.streams) == list(closing.spec.streams)
    for seed in (0, 11):
        steps = [opening.reset(seed), closing.reset(seed)]
        assert "goal" not in steps[0].samples
        assert opening.instruction != closing.instruction
        actions = np.random.default_rng(seed).uniform(-1, 1, (30, 4)).astype(np.float32)
        for action in (None, *actions):
            if action is not None:
                steps = [opening.step(action), closing.step(action)]
            one, two = steps
            assert one.samples.keys() == two.samples.keys()
            for name in one.samples:
                np.testing.assert_array_equal(one.samples[name].values, two.samples[name].values)
                np.testing.assert_array_equal(one.samples[name].times_s, two.samples[name].times_s)
            if action is not None:
                assert one.success == bool(two.details["opposite_success"])
                assert two.success == bool(one.details["opposite_success"])
        np.testing.assert_array_equal(opening._simulation.data.qpos, closing._simulation.data.qpos)
        np.testing.assert_array_equal(opening._simulation.data.qvel, closing._simulation.data.qvel)


@pytest.mark.parametrize("task", SCENES)
def test_no_start_is_solved_and_starts_differ(task: str) -> None:
    env = make(task)
    openings = []
    for seed in range(20):
        start = env.reset(seed).samples["end_effector"].values[0]
        step = env.step(np.zeros(4, np.float32))
        assert not step.success and not step.details["opposite_success"]
        openings.append((step.details["obj_to_target"], *start[:3]))
    assert (np.std(openings, axis=0) > [0.008, 0.01, 0.005, 0.005]).all()
    assert {env.instruction} <= set(phrases(task, "train"))


@pytest.mark.parametrize("task", SCENES)
def test_the_expert_does_what_is_asked_and_not_the_opposite(task: str) -> None:
    env = make(task)
    solved = 0
    for seed in (37, 46, 15, 100, 101, 102, 103, 104):
        env.reset(seed)
        for _ in range(150):
            step = env.step(env.expert_action())
            assert not step.details["opposite_success"]
            if step.success:
                solved += 1
                break
    assert solved == 8


@pytest.mark.parametrize(("kind", "ends"), [("drawer", (0.0, -0.16)), ("window", (0.0, 0.2))])
def test_ends_are_the_joint_limits(kind: str, ends: tuple[float, float]) -> None:
    env = make(f"scene-{kind}-open")
    scene = SCENES[f"scene-{kind}-open"]
    limits = env._simulation.model.joint(scene.joint).range
    assert sorted(limits) == sorted(ends) == sorted((scene.closed_m, scene.open_m))
