"""A toy environment whose sensors run at different rates, and a policy that remembers its views."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robocache.core import (
    ActionChunk,
    AlignmentPolicy,
    EnvSpec,
    Observation,
    Samples,
    Step,
    StreamInput,
    StreamSpec,
)
from robocache.sim_to_real import LatencyConfig

CONTROL_HZ = 20.0
RATES = {"imu": 173.0, "state": 61.0, "camera": 7.0}

LATENCY = {
    "imu": LatencyConfig(0.004, 0.004, 0.1, reorder=True),
    "state": LatencyConfig(0.03, 0.02, 0.05, reorder=True),
    "camera": LatencyConfig(0.12, 0.03, 0.2),
    "goal": LatencyConfig(0.11),
}

INPUTS = (
    StreamInput("imu", (-0.06, -0.011, 0.0), AlignmentPolicy("previous", max_gap_s=0.02)),
    StreamInput("state", (-0.2, -0.05, -0.031), AlignmentPolicy("linear", max_gap_s=0.04)),
    StreamInput("camera", (-0.3, 0.0), AlignmentPolicy("nearest", max_gap_s=0.15)),
    StreamInput("goal"),
    StreamInput("never"),
    StreamInput("action", (-0.1, 0.0)),
)


class MultirateEnv:
    """Three sensors with jittering clocks, a goal given once, and a sensor that never fires."""

    def __init__(self, max_steps: int = 30) -> None:
        self.spec = EnvSpec(
            name="multirate",
            version="multirate 1",
            control_rate_hz=CONTROL_HZ,
            action_low=-np.ones(2, np.float32),
            action_high=np.ones(2, np.float32),
            streams={
                "imu": StreamSpec((3,), rate_hz=RATES["imu"]),
                "state": StreamSpec((2, 2), "float64", RATES["state"]),
                "camera": StreamSpec((5, 4), "uint16", RATES["camera"]),
                "goal": StreamSpec((2,)),
                "never": StreamSpec((1,), "uint8"),
            },
            max_steps=max_steps,
        )
        self.instruction = ""

    def reset(self, seed: int) -> Step:
        self._random = np.random.default_rng(seed)
        self._tick = 0
        self._last_s = dict.fromkeys(RATES, -np.inf)
        self.instruction = f"do number {seed % 7}"
        goal = Samples(self._random.normal(size=(1, 2)).astype(np.float32), np.zeros(1))
        return Step(0.0, {**self._sense(-1.0, 0.0), "goal": goal})

    def step(self, action: NDArray[np.float32]) -> Step:
        before, self._tick = self._tick / CONTROL_HZ, self._tick + 1
        now = self._tick / CONTROL_HZ
        return Step(now, self._sense(before, now), truncated=self._tick >= self.spec.max_steps)

    def close(self) -> None: ...

    def _sense(self, after_s: float, until_s: float) -> dict[str, Samples]:
        found = {}
        for name, rate in RATES.items():
            spec = self.spec.streams[name]
            nominal = np.arange(np.floor(after_s * rate) + 1, np.floor(until_s * rate) + 1) / rate
            # Sensors fire a little before their nominal times, never before the last sample.
            times = nominal - self._random.uniform(0, 0.5 / rate, len(nominal))
            times = np.maximum(times[times >= 0], after_s + 1e-9)
            values = self._random.normal(size=(len(times), *spec.shape))
            if spec.dtype == "uint16":
                values = self._random.integers(0, 65536, (len(times), *spec.shape))
            found[name] = Samples(values.astype(spec.dtype), times)
        return found


class Remembering:
    """A policy that acts at random and keeps everything it was shown."""

    def __init__(self, inputs: tuple[StreamInput, ...], size: int, execute_steps: int) -> None:
        self.inputs = inputs
        self.execute_steps = execute_steps
        self._size = size
        self.seen: list[Observation] = []

    def act(self, observations: Sequence[Observation], seeds: Sequence[int]) -> list[ActionChunk]:
        self.seen.extend(observations)
        return [
            ActionChunk(
                np.random.default_rng(seed)
                .uniform(-1, 1, (self.execute_steps, self._size))
                .astype(np.float32),
                view.now_s + np.arange(self.execute_steps) / CONTROL_HZ,
            )
            for view, seed in zip(observations, seeds, strict=True)
        ]
