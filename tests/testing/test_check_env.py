"""check_env passes a good environment and names each broken promise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from robocache.core.env import EnvSpec, Samples, Step
from robocache.core.errors import EnvError
from robocache.core.seeding import generator
from robocache.core.stream import StreamSpec
from robocache.testing import check_env


class Good:
    """A point that moves as told, watched by one sensor at twice the control rate."""

    def __init__(self) -> None:
        self.spec = EnvSpec(
            name="toy",
            version="1",
            control_rate_hz=10.0,
            action_low=np.full(1, -1, np.float32),
            action_high=np.full(1, 1, np.float32),
            streams={"x": StreamSpec((1,), rate_hz=20.0)},
            max_steps=8,
        )
        self.instruction = "move"

    def reset(self, seed: int) -> Step:
        self.count = 0
        self.position = float(generator(seed, "start").normal())
        return Step(now_s=0.0, samples=self.samples([0.0]))

    def samples(self, times: list[float]) -> dict[str, Samples]:
        values = np.full((len(times), 1), self.position, np.float32)
        return {"x": Samples(values, np.array(times))}

    def step(self, action: NDArray[np.float32]) -> Step:
        assert action.dtype == np.float32
        self.count += 1
        self.position += float(action[0])
        now = self.count / 10
        return Step(
            now_s=now,
            samples=self.samples([now - 0.05, now]),
            reward=-abs(self.position),
            truncated=self.count == 8,
        )

    def expert_action(self) -> NDArray[np.float32]:
        return np.clip(np.array([-self.position], np.float32), -1, 1)

    def close(self) -> None:
        pass


def test_a_good_environment_passes() -> None:
    check_env(Good, episodes=3)
    check_env(Good, steps=3)


class GlobalRandomness(Good):
    draws = np.random.default_rng(0)

    def step(self, action: NDArray[np.float32]) -> Step:
        self.position += float(self.draws.normal())
        return super().step(action)


class LeftOver(Good):
    total = 0

    def reset(self, seed: int) -> Step:
        self.total = self.total + 1
        step = super().reset(seed)
        self.position += 1e-3 * (self.total > 2)
        return step


class IgnoresSeed(Good):
    def reset(self, seed: int) -> Step:
        return super().reset(0)


class OtherWords(Good):
    def reset(self, seed: int) -> Step:
        self.instruction = f"move {np.random.default_rng().integers(2**40)}"
        return super().reset(seed)


class NoInstruction(Good):
    def reset(self, seed: int) -> Step:
        self.instruction = None  # type: ignore[assignment]
        return super().reset(seed)


class SameBuffer(Good):
    def __init__(self) -> None:
        super().__init__()
        self.buffer = np.zeros((2, 1), np.float32)

    def samples(self, times: list[float]) -> dict[str, Samples]:
        self.buffer[:] = self.position
        return {"x": Samples(self.buffer[: len(times)], np.array(times))}


class NeverEnds(Good):
    def step(self, action: NDArray[np.float32]) -> Step:
        return replace(super().step(action), truncated=False)


class EndsEarly(Good):
    def step(self, action: NDArray[np.float32]) -> Step:
        return replace(super().step(action), truncated=self.count >= 3)


class BadReward(Good):
    def step(self, action: NDArray[np.float32]) -> Step:
        return replace(super().step(action), reward=float("nan"))


class ClockGoesOn(Good):
    now = 0.0

    def step(self, action: NDArray[np.float32]) -> Step:
        self.now += 0.2
        return replace(super().step(action), now_s=self.now)


class LoudExpert(Good):
    def expert_action(self) -> NDArray[np.float32]:
        return np.full(1, 3.0, np.float32)


class DoubleExpert(Good):
    def expert_action(self) -> NDArray[np.float32]:
        return np.zeros(1)  # type: ignore[return-value]


def samples_with(change: Callable[[Samples], Samples], name: str = "x") -> type[Good]:
    class Changed(Good):
        def samples(self, times: list[float]) -> dict[str, Samples]:
            good = super().samples(times)["x"]
            return (
                {name: change(good) if self.count >= 2 else good} if name == "x" else {name: good}
            )

    return Changed


def spec_with(**changes: object) -> type[Good]:
    class Changed(Good):
        def __init__(self) -> None:
            super().__init__()
            self.spec = replace(self.spec, **changes)  # type: ignore[arg-type]

    return Changed


BROKEN = [
    (GlobalRandomness, "does not come from the seed"),
    (OtherWords, "does not come from the seed"),
    (LeftOver, "leaves something over"),
    (IgnoresSeed, "does not use its seed"),
    (NoInstruction, "instruction must be a str"),
    (SameBuffer, "one buffer"),
    (NeverEnds, "not truncated at max_steps"),
    (EndsEarly, "truncated before max_steps"),
    (BadReward, "reward nan"),
    (ClockGoesOn, "advance by 1 / control_rate_hz"),
    (LoudExpert, "expert_action"),
    (DoubleExpert, "expert_action"),
    (samples_with(lambda s: s._replace(values=s.values[:, 0])), "no leading sample axis"),
    (samples_with(lambda s: s._replace(values=s.values.astype(float))), "expected dtype float32"),
    (samples_with(lambda s: s._replace(values=s.values * np.float32(np.nan))), "NaN or infinity"),
    (samples_with(lambda s: s._replace(times_s=s.times_s[::-1].copy())), "increase strictly"),
    (samples_with(lambda s: s._replace(times_s=s.times_s - 0.1)), "returned twice"),
    (samples_with(lambda s: s._replace(times_s=s.times_s + 0.01)), "after now"),
    (samples_with(lambda s: s._replace(times_s=s.times_s.astype(np.float32))), "float64"),
    (samples_with(lambda s: s._replace(available_s=s.times_s - 1e-6)), "before its capture"),
    (samples_with(lambda s: s, name="y"), "no such stream"),
    (spec_with(action_low=np.full(1, -1.0)), "action_low must be"),
    (spec_with(action_low=np.full(1, 2, np.float32)), "must not exceed"),
    (spec_with(control_rate_hz=0.0), "control_rate_hz must be positive"),
]


@pytest.mark.parametrize(("broken", "message"), BROKEN)
def test_each_broken_promise_is_named(broken: type[Good], message: str) -> None:
    with pytest.raises(EnvError, match=message):
        check_env(broken)


def test_one_episode_cannot_show_that_seeds_differ() -> None:
    with pytest.raises(EnvError, match="episodes >= 2"):
        check_env(Good, episodes=1)
