"""What a policy is given while it acts is, to the bit, what it is trained on afterwards."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from multirate_env import CONTROL_HZ, INPUTS, LATENCY, MultirateEnv, Remembering

from robocache.cli.collect import CollectConfig
from robocache.cli.configuration import load
from robocache.core import (
    AlignmentPolicy,
    Env,
    Episode,
    Observation,
    Samples,
    StreamInput,
    Window,
)
from robocache.datasets import EpisodeStore, LiveAligner, WindowTable, write_shard
from robocache.envs import make_env
from robocache.envs.sensors import SensorSuite
from robocache.rollouts import RolloutPlan
from robocache.rollouts.actors import ExpertActor, PolicyActor
from robocache.rollouts.rollout import run_episodes


def assert_identical(one: Observation, two: Observation, place: str) -> None:
    """Every bit, dtypes included."""
    assert (one.now_s, one.instruction) == (two.now_s, two.instruction), place
    for field in ("values", "valid", "age_s"):
        mine, theirs = getattr(one, field), getattr(two, field)
        assert list(mine) == list(theirs)
        for name in mine:
            where = f"{place}: {field} of {name}"
            assert mine[name].dtype == theirs[name].dtype, where
            assert mine[name].shape == theirs[name].shape, where
            assert mine[name].tobytes() == theirs[name].tobytes(), where


def played_back(
    episode: Episode, inputs: tuple[StreamInput, ...], moments: np.ndarray, *, waiting: bool
) -> list[Observation]:
    """The recording given to a live aligner: each sample when it arrived, or all in advance."""
    specs = {name: stream.spec for name, stream in episode.streams.items()}
    aligner = LiveAligner(inputs, specs)
    arrivals = sorted(
        (float(available), name, index)
        for name, stream in episode.streams.items()
        for index, available in enumerate(stream.usable_s())
    )
    seen = []
    for now in moments:
        while arrivals and (not waiting or arrivals[0][0] <= now):
            available, name, index = arrivals.pop(0)
            stream, at = episode.streams[name], slice(index, index + 1)
            aligner.push(
                name, Samples(stream.values[at], stream.times_s[at], np.array([available]))
            )
        seen.append(aligner.observe(float(now), episode.instruction))
    return seen


def window_of(inputs: tuple[StreamInput, ...], rate_hz: float) -> Window:
    return Window(inputs, "action", rate_hz, 4)


@pytest.fixture(scope="module")
def acted() -> tuple[list[Episode], list[Observation]]:
    """Three episodes of the toy environment in lockstep, and what the policy was shown."""
    plan = RolloutPlan(
        ("toy",), 3, 5, "evaluate", "remembering", "multirate 1",
        latency=LATENCY, frames_purpose="to be compared",
    )  # fmt: skip
    policy = Remembering(INPUTS, 2, execute_steps=1)

    def make(job: object) -> Env:
        return SensorSuite(MultirateEnv(), plan.latency)

    return run_episodes(plan, plan.jobs(), make, PolicyActor(policy)), policy.seen


def test_the_recordings_are_late_lossy_and_out_of_order(
    acted: tuple[list[Episode], list[Observation]],
) -> None:
    """Otherwise the tests below would prove nothing."""
    for episode in acted[0]:
        for name in ("imu", "state"):
            stream = episode.streams[name]
            assert (np.diff(stream.usable_s()) < 0).any()
            assert (stream.usable_s() > stream.times_s).mean() > 0.5
            assert np.diff(stream.times_s).max() > 1.9 / stream.spec.rate_hz
        assert len(episode.streams["never"]) == 0


def test_played_back_as_it_arrived(acted: tuple[list[Episode], list[Observation]]) -> None:
    episodes = acted[0]
    table = WindowTable(episodes, window_of(INPUTS, CONTROL_HZ))
    valid: dict[str, list[bool]] = {view.stream: [] for view in INPUTS}
    for episode in episodes:
        rows = table.rows_of(episode.key)
        for waiting in (True, False):
            seen = played_back(episode, INPUTS, table.now_s[rows], waiting=waiting)
            for row, live in zip(rows, seen, strict=True):
                assert_identical(live, table.observation(int(row)), f"{episode.key} row {row}")
                for name, flags in live.valid.items():
                    valid[name].extend(flags.tolist())
    assert not any(valid.pop("never"))
    for name, flags in valid.items():
        assert any(flags) and not all(flags), name


def test_what_the_policy_saw(
    acted: tuple[list[Episode], list[Observation]], tmp_path: Path
) -> None:
    """Through the disk, too: recorded, written, read, and cut into windows."""
    episodes, seen = acted
    write_shard(tmp_path / "a.episodes.parquet", episodes)
    store = EpisodeStore(tmp_path)
    table = WindowTable(store, window_of(INPUTS, CONTROL_HZ))
    for number, live in enumerate(seen):
        step, episode = divmod(number, len(episodes))
        row = int(table.rows_of(episodes[episode].key)[step])
        assert_identical(live, table.observation(row), f"episode {episode} step {step}")
    assert len(seen) == len(table)


@pytest.mark.parametrize("trial", range(12))
def test_nothing_from_the_future_is_seen(
    acted: tuple[list[Episode], list[Observation]], trial: int
) -> None:
    """Whatever becomes available after a moment can be anything without changing that moment."""
    random = np.random.default_rng(trial)
    episode = acted[0][trial % 3]
    window = window_of(INPUTS, CONTROL_HZ)
    table = WindowTable([episode], window)
    row = int(random.integers(1, len(table) - 5))
    now = float(table.now_s[row])
    streams = {}
    changed = 0
    for name, stream in episode.streams.items():
        late = np.flatnonzero(stream.usable_s() > now)
        values = np.array(stream.values)
        values[late] = random.integers(0, 200, (len(late), *stream.spec.shape))
        times, available = stream.times_s.copy(), stream.usable_s().copy()
        if name != "action":  # its times are the moments themselves
            # Anywhere between its neighbours, captured and available, but not before now.
            for index in late:
                low = times[index - 1] if index else times[index] - 0.01
                high = times[index + 1] if index + 1 < len(times) else times[index] + 0.01
                times[index] = random.uniform(low + 1e-6, high - 1e-6)
            available[late] = np.maximum(times[late], now + 1e-9) + random.exponential(
                0.1, len(late)
            )
        streams[name] = dataclasses.replace(
            stream, values=values, times_s=times, available_s=available
        )
        changed += len(late)
    assert changed
    other = WindowTable([dataclasses.replace(episode, streams=streams)], window)
    for earlier in range(row + 1):
        assert_identical(
            table.observation(earlier), other.observation(earlier), f"row {earlier} of {row}"
        )
    assert any(
        table.observation(later).values["imu"].tobytes()
        != other.observation(later).values["imu"].tobytes()
        for later in range(row + 1, len(table))
    )


def test_a_past_sample_is_seen(acted: tuple[list[Episode], list[Observation]]) -> None:
    """The counterpart: the comparison above does notice a change that may be seen."""
    episode = acted[0][0]
    window = window_of(INPUTS, CONTROL_HZ)
    table = WindowTable([episode], window)
    row = next(r for r in range(5, len(table)) if table.observation(r).valid["imu"][2])
    view = table.observation(row)
    captured = view.now_s - view.age_s["imu"][2]
    stream = episode.streams["imu"]
    values = np.array(stream.values)
    values[int(np.argmin(np.abs(stream.times_s - captured)))] += 1
    streams = {**episode.streams, "imu": dataclasses.replace(stream, values=values)}
    other = WindowTable([dataclasses.replace(episode, streams=streams)], window)
    difference = other.observation(row).values["imu"][2] - view.values["imu"][2]
    np.testing.assert_allclose(difference, 1, atol=1e-6)


def test_meta_world_with_the_sensors_of_a_robot() -> None:
    """A drawer opened by the expert; played back, and seen by a policy, both to the bit."""
    config, _ = load("collect", CollectConfig, ["sensors=real"])
    assert config.sensors.latency and config.sensors.clock_jitter_s > 0
    plan = RolloutPlan(
        ("metaworld/drawer-open",),
        1,
        11,
        "collect",
        "expert",
        "",
        env_options={"clock_jitter_s": config.sensors.clock_jitter_s, "max_steps": 60},
        latency=config.sensors.latency,
        expert_noise=0.1,
    )
    env = SensorSuite(make_env(plan.tasks[0], **plan.env_options), plan.latency)
    inputs = (
        StreamInput("joints", (-0.02, 0.0), AlignmentPolicy("linear")),
        StreamInput("end_effector", (-0.05, 0.0)),
        StreamInput("object_pose", (-0.05, 0.0), AlignmentPolicy("nearest", 0.05)),
        StreamInput("goal"),
        StreamInput("action", (-0.0125, 0.0)),
    )
    window = window_of(inputs, 80.0)
    (episode,) = run_episodes(plan, plan.jobs(), lambda job: env, ExpertActor(plan.expert_noise))
    table = WindowTable([episode], window)
    for waiting in (True, False):
        seen = played_back(episode, inputs, table.now_s, waiting=waiting)
        for row, live in enumerate(seen):
            assert_identical(live, table.observation(row), f"row {row}")
    ages = np.array([table.observation(row).age_s["object_pose"][1] for row in range(20, 60)])
    assert ages.mean() > 0.02, "the object's pose must arrive late"

    policy = Remembering(inputs, 4, execute_steps=3)
    (episode,) = run_episodes(plan, plan.jobs(), lambda job: env, PolicyActor(policy))
    table = WindowTable([episode], window)
    assert len(policy.seen) == 20
    for number, live in enumerate(policy.seen):
        assert_identical(live, table.observation(3 * number), f"row {3 * number}")
    env.close()
