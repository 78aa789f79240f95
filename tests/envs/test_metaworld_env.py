"""Meta-World environments: seeds, sensors and their times, against Meta-World's own `step`."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from robocache.core.env import Env, Expert, Samples, Step
from robocache.core.errors import ConfigError, EnvError
from robocache.envs import make_env
from robocache.envs.metaworld import (
    ALL_TASKS,
    GOALS,
    MT10,
    SCENES,
    MetaWorldConfig,
    MetaWorldEnv,
    phrases,
)
from robocache.envs.metaworld.tasks import OBJECT_ROTATIONS
from robocache.testing import check_env

pytest.importorskip("metaworld")

QUICK = ("drawer-open", "pick-place", "hammer", "basketball", "dial-turn")


def play(env: Env, seed: int, steps: int) -> tuple[list[Step], list[NDArray[np.float32]]]:
    """Expert and random actions in turn."""
    assert isinstance(env, Expert)
    draws = np.random.default_rng(seed)
    seen, actions = [env.reset(seed)], []
    for index in range(steps):
        action = env.expert_action()
        if index % 4 == 3:
            action = draws.uniform(-1, 1, 4).astype(np.float32)
        actions.append(action)
        seen.append(env.step(action))
    return seen, actions


def stream(seen: list[Step], name: str) -> Samples:
    parts = [step.samples[name] for step in seen if name in step.samples]
    return Samples(
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.times_s for part in parts]),
    )


def theirs(task: str, layout: NDArray[np.float64]) -> tuple[Any, Any]:
    """Meta-World's own environment, set to a layout as its benchmarks do."""
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS
    from metaworld.policies import ENV_POLICY_MAP

    env = ALL_V3_ENVIRONMENTS[f"{task}-v3"]()
    env._partially_observable = False
    env._set_task_called = True
    env.__dict__.pop("sawyer_observation_space", None)
    env._freeze_rand_vec = True
    env._last_rand_vec = layout
    return env, ENV_POLICY_MAP[f"{task}-v3"]()


def check_against_theirs(task: str) -> None:
    ours = MetaWorldEnv(MetaWorldConfig(task=task, max_steps=60))
    play(ours, 1, 7)
    play(ours, 3, 20)
    seen, actions = play(ours, 7, 40)
    simulation = ours._simulation
    env, _ = theirs(task, simulation._env._last_rand_vec.copy())
    env.reset()
    observed = {}
    for index, (action, step) in enumerate(zip(actions, seen[1:], strict=True), start=1):
        obs, reward, _, _, info = env.step(action)
        observed[index] = obs
        assert step.reward == float(reward), (task, index)
        assert step.success == bool(info["success"])
        assert step.details["obj_to_target"] == float(info["obj_to_target"])
    np.testing.assert_array_equal(simulation.data.qpos, env.data.qpos, err_msg=task)
    np.testing.assert_array_equal(simulation.data.qvel, env.data.qvel, err_msg=task)
    compared = 0
    for name, part in (("end_effector", slice(0, 4)), ("object_pose", slice(4, 18))):
        samples = stream(seen, name)
        for value, time in zip(samples.values, samples.times_s, strict=True):
            index = time * 80
            if index != int(index) or not index:
                continue
            theirs_now = observed[int(index)][part].copy()
            if name == "object_pose" and task in OBJECT_ROTATIONS:
                theirs_now[3:7] = np.roll(theirs_now[3:7], 1)  # w first in every task
            np.testing.assert_allclose(
                value.ravel(), theirs_now, atol=2e-7, err_msg=f"{task} {name}"
            )
            compared += 1
    assert compared == 15  # every 4 control steps of 40 for one, every 8 for the other
    if task in GOALS:
        np.testing.assert_allclose(seen[0].samples["goal"].values[0], observed[1][36:], atol=1e-6)


@pytest.mark.parametrize("task", QUICK)
def test_bits_are_those_of_metaworld_whatever_ran_before(task: str) -> None:
    check_against_theirs(task)


@pytest.mark.slow
@pytest.mark.parametrize("task", ALL_TASKS)
def test_bits_are_those_of_metaworld_in_every_task(task: str) -> None:
    check_against_theirs(task)


@pytest.mark.parametrize("task", ["drawer-open", "reach", "stick-push", "scene-window-close"])
def test_contract(task: str) -> None:
    check_env(lambda: make_env(f"metaworld/{task}", max_steps=25, clock_jitter_s=0.001))


def test_recording_does_not_touch_the_physics() -> None:
    ends = []
    for sensors in ((), ("joints", "end_effector", "object_pose", "corner_depth")):
        env = MetaWorldEnv(MetaWorldConfig(task="pick-place", max_steps=60, sensors=sensors))
        play(env, 5, 45)
        data = env._simulation.data
        ends.append([data.qpos.copy(), data.qvel.copy(), data.qacc_warmstart.copy()])
    for without, recorded in zip(*ends, strict=True):
        np.testing.assert_array_equal(without, recorded)


def test_what_someone_moved_in_the_model_is_put_back() -> None:
    env = MetaWorldEnv(MetaWorldConfig(task="drawer-open", max_steps=60))
    before = stream(play(env, 5, 30)[0], "object_pose").values
    model = env._simulation.model
    model.body_pos[:] += 0.01
    model.site_pos[:] += 0.01
    np.testing.assert_array_equal(stream(play(env, 5, 30)[0], "object_pose").values, before)


def test_samples_are_the_state_at_their_own_time() -> None:
    """A second simulation stepped tick by tick, with positions worked out at every tick."""
    import mujoco

    env = MetaWorldEnv(MetaWorldConfig(task="drawer-open", max_steps=60, clock_jitter_s=0.003))
    twin = MetaWorldEnv(MetaWorldConfig(task="drawer-open", max_steps=60, sensors=()))
    simulation = twin._simulation
    truth: dict[int, tuple[NDArray[np.float64], ...]] = {}

    def look(tick: int) -> None:
        copy = mujoco.MjData(simulation.model)
        copy.qpos[:], copy.qvel[:] = simulation.data.qpos, simulation.data.qvel
        mujoco.mj_kinematics(simulation.model, copy)
        names = [f"right_j{number}" for number in range(7)]
        joints = np.concatenate([[copy.joint(name).qpos[0] for name in names]])
        handle = copy.body("drawer_link").xpos + np.array([0, -0.16, 0])
        truth[tick] = (joints, copy.body("hand").xpos.copy(), handle)

    twin.reset(4)
    look(0)
    simulation.next_stop, simulation.on_stop = (lambda: simulation.tick + 1), look
    seen = [env.reset(4)]
    for _ in range(50):
        action = env.expert_action()
        twin.step(action)
        seen.append(env.step(action))
    moved = 0
    for name, place, part in (
        ("joints", 0, lambda v: v[:7]),
        ("end_effector", 1, lambda v: v[:3]),
        ("object_pose", 2, lambda v: v[0, :3]),
    ):
        samples = stream(seen, name)
        for value, time in zip(samples.values, samples.times_s, strict=True):
            tick = round(time * 400)
            assert time == tick / 400
            np.testing.assert_array_equal(part(value), truth[tick][place].astype(np.float32))
            moved += tick % 5 != 0
    assert moved > 100


def test_rates_first_samples_and_slots() -> None:
    seen, _ = play(make_env("metaworld/push"), 0, 80)
    for name, rate in (("joints", 200), ("end_effector", 100), ("object_pose", 50)):
        times = stream(seen, name).times_s
        np.testing.assert_allclose(times, np.arange(rate + 1) / rate, atol=1e-12)
        assert seen[0].samples[name].times_s.tolist() == [0.0]
    poses = stream(seen, "object_pose").values
    assert poses.shape[1:] == (2, 7) and not poses[:, 1].any() and poses[:, 0].all(axis=0).all()
    assert stream(seen, "goal").times_s.tolist() == [0.0]


def test_a_goal_is_streamed_only_where_nothing_else_tells_it() -> None:
    """Over layouts, such a goal varies, and it varies against the object as well."""
    for task in ("reach", "peg-insert-side", "drawer-open", "hammer", "sweep-into"):
        env = MetaWorldEnv(MetaWorldConfig(task=task))
        goals, objects = [], []
        for seed in range(6):
            first = env.reset(seed)
            goals.append(env._simulation.goal())
            objects.append(first.samples["object_pose"].values[0, 0, :3])
            assert ("goal" in first.samples) == (task in GOALS)
        spread = min(np.std(goals, axis=0).max(), np.std(np.subtract(goals, objects), 0).max())
        assert (spread > 5e-3) == (task in GOALS), (task, spread)
        assert not env.spec.streams["goal"].privileged


def test_layouts_are_continuous() -> None:
    env = MetaWorldEnv(MetaWorldConfig(task="drawer-open"))
    x = [env.reset(seed).samples["object_pose"].values[0, 0, 0] for seed in range(40)]
    assert len(set(x)) == 40
    assert min(x) < -0.07 and max(x) > 0.07 and min(x) >= -0.1001 and max(x) <= 0.1001


def test_clock_jitter_moves_captures_not_honesty() -> None:
    env = make_env("metaworld/reach", clock_jitter_s=0.002, max_steps=80)
    times = stream(play(env, 0, 80)[0], "joints").times_s
    late = times[:150] - np.arange(150) / 200
    assert times[0] == 0.0 and (np.diff(times) > 0).all()
    assert 0.001 < late.std() < 0.003 and late.mean() == pytest.approx(0.00125, abs=0.0006)
    again = stream(play(env, 0, 80)[0], "joints").times_s
    np.testing.assert_array_equal(times, again)
    assert not np.array_equal(times[:100], stream(play(env, 1, 80)[0], "joints").times_s[:100])


def test_instruction_comes_from_the_asked_set_and_the_seed() -> None:
    for split in ("train", "held_out"):
        env = make_env("metaworld/drawer-open", phrases=split)
        said = set()
        for seed in range(12):
            env.reset(seed)
            said.add(env.instruction)
        assert len(said) > 1 and said <= set(phrases("drawer-open", split))


def test_expert_solves_and_stays_within_bounds() -> None:
    env = make_env("metaworld/button-press-topdown", max_steps=150)
    assert isinstance(env, Expert)
    env.reset(2)
    done = False
    for _ in range(150):
        action = env.expert_action()
        assert action.dtype == np.float32 and (np.abs(action) <= 1).all()
        step = env.step(action)
        done = done or step.success
    assert done and step.truncated and not step.terminated


def test_actions_are_clipped_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    env = MetaWorldEnv(MetaWorldConfig(task="reach", max_steps=3))
    with pytest.raises(EnvError, match="reset"):
        env.step(np.zeros(4, np.float32))
    env.reset(0)
    received = []
    own_step = env._simulation.step
    monkeypatch.setattr(env._simulation, "step", lambda a: (received.append(a), own_step(a))[1])
    env.step(np.array([7, -7, 0.5, 1], np.float32))
    assert received[0].tolist() == [1, -1, 0.5, 1]
    with pytest.raises(EnvError, match="finite"):
        env.step(np.array([0, np.nan, 0, 0], np.float32))
    with pytest.raises(EnvError, match=r"\(4,\)"):
        env.step(np.zeros(3, np.float32))
    for _ in range(2):
        env.step(np.zeros(4, np.float32))
    with pytest.raises(EnvError, match="no episode is running"):
        env.step(np.zeros(4, np.float32))


def test_longer_than_metaworlds_own_limit() -> None:
    env = make_env("metaworld/reach", max_steps=510, sensors=())
    env.reset(0)
    truncated = [env.step(np.zeros(4, np.float32)).truncated for _ in range(510)]
    assert truncated == [False] * 509 + [True]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "drawer-opn"}, "did you mean 'drawer-open'"),
        ({"task": "reach", "sensors": ("joint",)}, "did you mean 'joints'"),
        ({"task": "reach", "sensors": ("corner_dept",)}, "did you mean 'corner_depth'"),
        ({"task": "reach", "sensors": ("joints", "joints")}, "twice"),
        ({"task": "reach", "phrases": "test"}, "set of phrases"),
        ({"task": "reach", "max_steps": 0}, "max_steps"),
        ({"task": "reach", "clock_jitter_s": -0.1}, "clock_jitter_s"),
        ({"task": "reach", "camera_geoms": "all"}, "camera_geoms"),
    ],
)
def test_wrong_settings_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MetaWorldConfig(**options)


def test_camera_streams_share_one_clock() -> None:
    sensors = ("corner_depth", "corner_segmentation")
    env = make_env(
        "metaworld/drawer-open",
        sensors=sensors,
        image_height=12,
        image_width=16,
        clock_jitter_s=0.002,
    )
    assert env.spec.streams["corner_depth"].shape == (12, 16)
    seen, _ = play(env, 0, 40)
    depth, segmentation = (stream(seen, name) for name in sensors)
    assert depth.values.dtype == np.uint16 and segmentation.values.dtype == np.uint8
    assert 10 <= len(depth.times_s) <= 11
    np.testing.assert_array_equal(depth.times_s, segmentation.times_s)
    assert (depth.values > 0).mean() > 0.5 and (depth.values[0] != depth.values[-1]).any()


def in_new_process(code: str, gl: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "MUJOCO_GL": gl},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_names_need_no_simulator_and_environments_need_no_gl() -> None:
    code = (
        "import sys\n"
        "from robocache.envs import make_env\n"
        "from robocache.envs.metaworld import ALL_TASKS, MT10\n"
        "assert not {'mujoco', 'metaworld', 'gymnasium'} & set(sys.modules)\n"
        "env = make_env('metaworld/reach', sensors=('joints', 'corner_depth'))\n"
        "env.reset(0)\n"
        "assert 'OpenGL' not in sys.modules\n"
        "try:\n"
        "    make_env('metaworld/reach', sensors=('corner_rgb',))\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    done = in_new_process(code, "disabled")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("EnvError") and "MUJOCO_GL=egl" in done.stdout


def test_colour_images_where_there_is_gl() -> None:
    code = (
        "import numpy as np\n"
        "from robocache.core.errors import EnvError\n"
        "from robocache.envs import make_env\n"
        "try:\n"
        "    env = make_env('metaworld/reach', sensors=('corner_rgb',), image_height=24,\n"
        "                   image_width=32)\n"
        "except EnvError:\n"
        "    raise SystemExit(77)\n"
        "image = env.reset(0).samples['corner_rgb'].values[0]\n"
        "assert image.shape == (24, 32, 3) and image.dtype == np.uint8 and image.std() > 5\n"
        "env.close()\n"
    )
    done = in_new_process(code, "egl")
    if done.returncode == 77:
        pytest.skip("no OpenGL on this machine")
    assert done.returncode == 0, done.stderr


def test_task_tables_are_metaworlds() -> None:
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS, MT10_V3

    assert {f"{task}-v3" for task in ALL_TASKS} == set(ALL_V3_ENVIRONMENTS)
    assert [f"{task}-v3" for task in MT10] == list(MT10_V3)
    assert set(GOALS) <= set(ALL_TASKS)
    assert all(phrases(task, "train") for task in (*ALL_TASKS, *SCENES))


def test_spec_names_the_simulator() -> None:
    import mujoco

    spec = make_env("metaworld/reach").spec
    assert spec.name == "metaworld/reach" and spec.control_rate_hz == 80.0
    assert spec.version == f"metaworld 3.1.1, mujoco {mujoco.__version__}"


def test_expert_is_silent() -> None:
    env = MetaWorldEnv(MetaWorldConfig(task="reach"))
    env.reset(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env.expert_action()
