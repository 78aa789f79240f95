"""SensorSuite: what a latency model does to an environment's samples."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.typing import NDArray

from rgb_env import RgbEnv
from robocache.core.env import EnvSpec, Expert, Samples, Step
from robocache.core.errors import ConfigError
from robocache.core.stream import StreamSpec
from robocache.envs import SensorSuite
from robocache.sim_to_real import (
    DepthRanges,
    ImageRanges,
    LatencyConfig,
    LatencySimulator,
    Randomization,
)
from robocache.testing import check_env
from scan_env import ScanEnv


class Counter:
    """Two sensors at 100 Hz and 50 Hz whose value is the time of capture."""

    instruction = "count"

    def __init__(self) -> None:
        self.spec = EnvSpec(
            name="counter",
            version="1",
            control_rate_hz=50.0,
            action_low=np.zeros(1, np.float32),
            action_high=np.ones(1, np.float32),
            streams={"fast": StreamSpec((), "float64", 100.0), "slow": StreamSpec((), "float64")},
            max_steps=40,
        )

    def reset(self, seed: int) -> Step:
        self.count, self.seed = 0, seed
        zero = np.zeros(1)
        return Step(0.0, {"fast": Samples(zero, zero), "slow": Samples(zero, zero)})

    def step(self, action: NDArray[np.float32]) -> Step:
        self.count += 1
        now = self.count / 50
        fast, slow = np.array([now - 0.01, now]), np.array([now])
        values = fast + 1e-3 * self.seed
        return Step(
            now,
            {"fast": Samples(values, fast), "slow": Samples(slow, slow)},
            truncated=self.count == 40,
        )

    def close(self) -> None:
        self.closed = True


class WithExpert(Counter):
    def expert_action(self) -> NDArray[np.float32]:
        return np.full(1, 0.5, np.float32)


LATENCY = LatencyConfig(mean_s=0.03, jitter_s=0.01, drop_probability=0.3)


def collect(seed: int) -> dict[str, list[Samples]]:
    suite = SensorSuite(Counter(), {"fast": LATENCY})
    seen: dict[str, list[Samples]] = {}
    for step in [suite.reset(seed)] + [suite.step(np.zeros(1, np.float32)) for _ in range(40)]:
        for name, samples in step.samples.items():
            assert len(samples.times_s)
            seen.setdefault(name, []).append(samples)
    return seen


def test_samples_are_those_of_the_latency_simulator() -> None:
    seen = collect(9)
    fast = seen["fast"]
    times = np.concatenate([[0.0], *[[k / 50 - 0.01, k / 50] for k in range(1, 41)]])
    kept, available = LatencySimulator(LATENCY, 9, "fast").deliver(times)
    assert 0 < kept.sum() < len(times)
    np.testing.assert_array_equal(np.concatenate([s.times_s for s in fast]), times[kept])
    assert all(s.available_s is not None for s in fast)
    np.testing.assert_array_equal(
        np.concatenate([s.available_s for s in fast if s.available_s is not None]),
        available[kept],
    )
    values = np.concatenate([s.values for s in fast])
    np.testing.assert_allclose(values[1:], times[kept][1:] + 9e-3)
    assert all(s.available_s is None for s in seen["slow"]) and len(seen["slow"]) == 41


def test_the_suite_keeps_the_contract() -> None:
    for env in (WithExpert, Counter):
        check_env(lambda env=env: SensorSuite(env(), {"fast": LATENCY, "slow": LATENCY}))


def test_delays_add_up() -> None:
    """A suite around a suite starts from when the inner one delivers."""
    inner = SensorSuite(Counter(), {"slow": LatencyConfig(mean_s=0.1)})
    suite = SensorSuite(inner, {"slow": LatencyConfig(mean_s=0.2)})
    slow = suite.reset(0).samples["slow"]
    assert slow.times_s.tolist() == [0.0] and slow.available_s == pytest.approx([0.3])


def test_unknown_streams_are_named() -> None:
    with pytest.raises(ConfigError, match="did you mean 'fast'"):
        SensorSuite(Counter(), {"fst": LatencyConfig()})
    with pytest.raises(ConfigError, match="did you mean 'slow'"):
        SensorSuite(Counter(), {}, Randomization(lidar=("slw",)))


def test_expert_and_close_pass_through() -> None:
    env = WithExpert()
    suite = SensorSuite(env, {})
    assert suite.expert_action() == 0.5 and suite.instruction == "count" and suite.spec is env.spec
    suite.close()
    assert env.closed
    assert isinstance(suite, Expert) and not isinstance(SensorSuite(Counter(), {}), Expert)


def filmed(seed: int, config: Randomization, steps: int = 4) -> NDArray[np.uint8]:
    suite = SensorSuite(RgbEnv(), {}, config)
    begun = suite.reset(seed)
    seen = [begun, *(suite.step(np.zeros(2, np.float32)) for _ in range(steps))]
    return np.concatenate([step.samples["camera"].values for step in seen])


def test_a_camera_is_changed_alike_for_an_episode_with_noise_in_every_frame() -> None:
    config = Randomization(ImageRanges(brightness=(0.5, 1.5), noise=(0.02, 0.02)))
    first, again, other = filmed(3, config), filmed(3, config), filmed(4, config)
    np.testing.assert_array_equal(first, again)
    level = first.astype(float).mean(axis=(1, 2, 3))
    assert np.ptp(level) < 2
    assert abs(other.astype(float).mean() - level.mean()) > 5
    assert not np.array_equal(first[0], first[1])
    plain = filmed(3, Randomization())
    assert set(np.unique(plain)) == {100, 128, 200}


def test_a_changed_environment_keeps_the_protocol() -> None:
    config = Randomization(ImageRanges(hue=(-0.5, 0.5), blur_px=(0.5, 1), blur_probability=1))
    check_env(lambda: SensorSuite(RgbEnv(), {"camera": LATENCY}, config))


def test_frames_may_be_read_only() -> None:
    class Fixed(RgbEnv):
        def _filmed(self, step: Step) -> Step:
            step = super()._filmed(step)
            step.samples["camera"].values.flags.writeable = False
            return step

    suite = SensorSuite(Fixed(), {}, Randomization(ImageRanges(brightness=(0.5, 0.5))))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert suite.reset(0).samples["camera"].values.max() == 100


def test_lost_returns_of_a_lidar_are_zeros() -> None:
    """NaN could be neither recorded nor trained on."""
    config = Randomization(depth=DepthRanges(dropout=(0.5, 0.5)), lidar=("scan",))
    check_env(lambda: SensorSuite(ScanEnv(), {}, config))
    scan, plain = (
        SensorSuite(ScanEnv(), {}, changes).reset(0).samples["scan"].values[0]
        for changes in (config, None)
    )
    lost = (scan == 0).all(axis=1)
    assert 8 < lost.sum() < 24
    np.testing.assert_array_equal(scan[~lost], plain[~lost])
