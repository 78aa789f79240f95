"""Camera frames: seen by the policy, kept only for a purpose."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from camera_env import CameraEnv
from robocache.core import ActionChunk, Episode, Observation, Samples, Step, StreamInput, StreamSpec
from robocache.core.errors import ConfigError, EnvError, MissingStreamError
from robocache.datasets import EpisodeStore
from robocache.envs import make_env
from robocache.rollouts import PolicySource, RolloutPlan, execute
from robocache.rollouts.actors import PolicyActor
from robocache.rollouts.recorder import Recorder, is_camera
from robocache.rollouts.rollout import run_episodes
from robocache.runs import Ledger, LedgerRow, open_database
from robocache.sim_to_real import LatencyConfig

DEPTH = "topview_depth"


def plan_of(**changes: object) -> RolloutPlan:
    plan = RolloutPlan(
        ("camera_env:CameraEnv",), 12, 0, "evaluate", "gaze", "point 1",
        env_options={"max_steps": 25},
    )  # fmt: skip
    return dataclasses.replace(plan, **changes)


@pytest.mark.parametrize(
    ("spec", "camera"),
    [
        (StreamSpec((84, 84), "uint16"), True),  # depth in millimetres
        (StreamSpec((84, 84), "float32"), True),  # depth in metres
        (StreamSpec((84, 84), "uint8"), True),  # segmentation
        (StreamSpec((84, 84, 3), "uint8"), True),
        (StreamSpec((3, 84, 84), "float32"), True),  # channels first
        (StreamSpec((2, 84, 84, 3), "uint8"), True),  # a pair of cameras
        (StreamSpec((5, 4), "uint8"), True),
        (StreamSpec((2, 7)), False),  # two poses
        (StreamSpec((4, 4), "float64"), False),  # a transformation
        (StreamSpec((29, 3)), False),  # points
        (StreamSpec((84,), "uint8"), False),
        (StreamSpec(()), False),
    ],
)
def test_what_is_a_camera(spec: StreamSpec, camera: bool) -> None:
    assert is_camera(spec) is camera


def test_the_state_of_meta_world_is_no_camera() -> None:
    sensors = ("joints", "end_effector", "object_pose", "corner_depth", "topview_segmentation")
    env = make_env("metaworld/reach", sensors=sensors, image_height=12, image_width=16)
    cameras = {name for name, spec in env.spec.streams.items() if is_camera(spec)}
    assert cameras == {"corner_depth", "topview_segmentation"}
    env.close()


def executed(folder: Path, plan: RolloutPlan) -> tuple[list[LedgerRow], EpisodeStore]:
    ledger = Ledger(open_database(f"sqlite:///{folder}.db"), folder.name)
    policy = PolicySource(name="camera_env:Gaze")
    return execute(plan, folder, ledger, policy=policy, workers=0), EpisodeStore(folder)


def test_outcomes_do_not_depend_on_keeping_frames(tmp_path: Path) -> None:
    without, lean = executed(tmp_path / "without", plan_of())
    kept, full = executed(tmp_path / "kept", plan_of(frames_purpose="a test", frames_keep_days=7.0))
    outcomes = [(row.success, row.steps, row.index, row.details) for row in without]
    assert outcomes == [(row.success, row.steps, row.index, row.details) for row in kept]
    assert len({row.steps for row in without}) > 3, "episodes that differ"
    assert any(row.success for row in without)
    assert {row.sha256 for row in without}.isdisjoint(row.sha256 for row in kept)
    for one, other in zip(lean, full, strict=True):
        assert set(other.streams) - set(one.streams) == {"camera"}
        assert len(other.streams["camera"]) == other.outcome.steps + 1
        for name, stream in one.streams.items():
            np.testing.assert_array_equal(stream.values[:], other.streams[name].values[:])
    sizes = [
        sum(path.stat().st_size for path in (tmp_path / name).iterdir())
        for name in ("without", "kept")
    ]
    assert sizes[0] < sizes[1]


def test_the_policy_does_see_them(tmp_path: Path) -> None:
    """The counterpart: with the camera gone the same policy does otherwise."""
    seeing, _ = executed(tmp_path / "seeing", plan_of())
    blind = {"camera": LatencyConfig(drop_probability=1.0)}
    rows, _ = executed(tmp_path / "blind", plan_of(latency=blind))
    assert [row.steps for row in rows] != [row.steps for row in seeing]


class Peer:
    """A policy whose actions follow from every pixel of a depth image."""

    inputs = (StreamInput(DEPTH, (-0.1, 0.0)),)
    execute_steps = 2

    def act(self, observations: list[Observation], seeds: list[int]) -> list[ActionChunk]:
        chunks = []
        for seen in observations:
            image = np.where(seen.valid[DEPTH][:, None, None], seen.values[DEPTH], 0)
            numbers = image.reshape(-1).astype(np.float64)
            weights = np.random.default_rng(1).normal(size=(numbers.size, 4)) / 4000
            actions = np.tile(np.tanh(numbers @ weights), (2, 1)).astype(np.float32)
            chunks.append(ActionChunk(actions, seen.now_s + np.arange(2) / 80))
        return chunks


def test_depth_in_meta_world() -> None:
    options = {
        "sensors": ("end_effector", DEPTH), "image_height": 12, "image_width": 12, "max_steps": 30,
    }  # fmt: skip
    plan = RolloutPlan(
        ("metaworld/drawer-open",), 2, 4, "evaluate", "peer", "", env_options=options
    )

    def episodes(plan: RolloutPlan) -> list[Episode]:
        envs = [make_env(plan.tasks[0], **options) for _ in range(plan.episodes)]
        made = run_episodes(plan, plan.jobs(), lambda job: envs[job.index], PolicyActor(Peer()))
        for env in envs:
            env.close()
        return made

    lean = episodes(plan)
    full = episodes(dataclasses.replace(plan, frames_purpose="a test"))
    actions = [episode.streams["action"].values for episode in lean]
    assert not np.array_equal(*actions)
    for one, other in zip(lean, full, strict=True):
        assert one.outcome == other.outcome
        assert set(other.streams) - set(one.streams) == {DEPTH}
        frames = other.streams[DEPTH].values
        assert len(frames) > 3 and (frames[0] != frames[-1]).any()
        for name, stream in one.streams.items():
            np.testing.assert_array_equal(stream.values, other.streams[name].values)
        with pytest.raises(MissingStreamError):
            one.stream(DEPTH)


def test_the_purpose_is_part_of_the_plan() -> None:
    plans = [
        plan_of(),
        plan_of(frames_purpose="a test"),
        plan_of(frames_purpose="another"),
        plan_of(frames_purpose="a test", frames_keep_days=7.0),
    ]
    assert len({plan.digest() for plan in plans}) == 4
    assert [RolloutPlan.from_json(plan.to_json()) for plan in plans] == plans
    before = plans[0].to_json()
    del before["frames_purpose"], before["frames_keep_days"]
    assert RolloutPlan.from_json(before) == plans[0], "a plan written before there was a purpose"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames_keep_days": 3.0}, "only if they are kept for a purpose"),
        ({"frames_purpose": "x", "frames_keep_days": 0.0}, "days above 0, got 0.0"),
        ({"frames_purpose": "x", "frames_keep_days": float("inf")}, "days above 0, got inf"),
        ({"frames_purpose": "x", "frames_keep_days": float("nan")}, "days above 0, got nan"),
        ({"frames_purpose": "  "}, "a purpose of frames must be words, got '  '"),
    ],
)
def test_plans_that_make_no_sense(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_of(**changes)


@pytest.mark.parametrize("keep", [True, False])
def test_a_stream_that_was_not_declared(keep: bool) -> None:
    env = CameraEnv()
    image = Samples(np.zeros((1, 24, 24), np.uint8), np.zeros(1))
    recorder = Recorder(env.spec, keep_frames=keep)
    with pytest.raises(EnvError, match="'camera2', not in its spec"):
        recorder.start(Step(0.0, {"camera2": image}))
