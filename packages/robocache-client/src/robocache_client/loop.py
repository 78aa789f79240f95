"""A control loop at a fixed rate that asks a policy in the background."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from robocache_client.asker import Asked
from robocache_client.chunks import ChunkPlayer
from robocache_client.client import Actions
from robocache_client.limits import Limits


class Robot(Protocol):
    """What the loop drives."""

    def observe(self) -> Mapping[str, Any]:
        """The observation for the policy, with B = 1."""
        ...

    def act(self, action: NDArray[np.float32]) -> None:
        """Do this, (D,), until the next call."""
        ...


class Asker(Protocol):
    """Who asks the policy; `PolicyAsker` does, tests bring their own."""

    def submit(self, observation: Mapping[str, Any], observed_s: float) -> bool: ...
    def idle(self) -> bool: ...
    def poll(self) -> Asked | None: ...
    def close(self) -> None: ...


@dataclass
class Report:
    """What happened.

    Attributes:
        ticks: times the robot was to act.
        overruns: ticks that were left out because the one before took too long.
        latest_s: the most that a tick began late, in seconds.
        asked, answered: questions to the policy, and chunks that came.
        stale: chunks that were dropped because a newer one was playing, or they were over.
        failed: kind of error -> questions that failed.
        starved: ticks without a chunk, or after its last action.
        range_clipped, rate_clipped: ticks in which any joint was kept within its limits.
    """

    ticks: int = 0
    overruns: int = 0
    latest_s: float = 0.0
    asked: int = 0
    answered: int = 0
    stale: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    starved: int = 0
    range_clipped: int = 0
    rate_clipped: int = 0


class ControlLoop:
    """Acts every `1 / rate_hz` seconds, counted from the start, so that delays do not add up.

    It never waits for the policy: questions are asked in the background, every `ask_every_s`, and
    at once when no chunk is left, unless the last question failed. While the server is away, the
    player holds or stops.

    Args:
        robot: what is driven.
        asker: asks the policy; closed with the loop.
        player: plays its chunks.
        rate_hz: of the loop.
        ask_every_s: seconds between questions, e.g. execute_steps / rate of the chunks.
        limits: what the robot may do; None: anything.
        action_keys: names of the actions, in the order in which the robot wants them in one vector;
            None: as the server sends them.
        clock: seconds, never going backwards.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        robot: Robot,
        asker: Asker,
        player: ChunkPlayer,
        *,
        rate_hz: float,
        ask_every_s: float,
        limits: Limits | None = None,
        action_keys: Sequence[str] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not rate_hz > 0:
            raise ValueError(f"rate_hz must be above 0, got {rate_hz}")
        self._robot, self._asker, self._player = robot, asker, player
        self._rate_hz, self._ask_every_s = rate_hz, ask_every_s
        self._limits, self._action_keys = limits, action_keys
        self._clock, self._sleep = clock, sleep
        self._asked_s = -np.inf
        self._acted_s: float | None = None
        self._failed = False
        self._stopped = False
        self.report = Report()

    def run(self, *, ticks: int | None = None, seconds: float | None = None) -> Report:
        """Drive the robot for so long, or until `stop`; what happened, also in `report`."""
        start = self._clock()
        if seconds is not None:
            ticks = round(seconds * self._rate_hz)
        number = 0
        while not self._stopped and (ticks is None or number < ticks):
            due = start + number / self._rate_hz
            if due > self._clock():
                self._sleep(due - self._clock())
            now = self._clock()
            self.report.latest_s = max(self.report.latest_s, now - due)
            self._tick(now)
            passed = int((self._clock() - start) * self._rate_hz)
            self.report.overruns += max(0, passed - number - 1)
            number = max(number + 1, passed)
        return self.report

    def stop(self) -> None:
        """End `run` after the present tick."""
        self._stopped = True

    def close(self) -> None:
        """End the asker."""
        self._asker.close()

    def __enter__(self) -> ControlLoop:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _tick(self, now_s: float) -> None:
        self.report.ticks += 1
        self._take_answer(now_s)
        due = now_s >= self._asked_s + self._ask_every_s - 1e-9
        hungry = self._player.over(now_s) and not self._failed
        if self._asker.idle() and (due or hungry):
            observation = self._robot.observe()
            if self._asker.submit(observation, now_s):
                self._asked_s = now_s
                self.report.asked += 1
        self._act(now_s)

    def _take_answer(self, now_s: float) -> None:
        asked = self._asker.poll()
        if asked is None:
            return
        self._failed = True
        if asked.actions is None:
            self.report.failed[type(asked.error).__name__] += 1
            return
        try:
            taken = self._player.put(self._joined(asked.actions), asked.observed_s, now_s)
        except (ValueError, KeyError, IndexError):
            self.report.failed["BadAnswer"] += 1
            return
        self._failed = False
        self.report.answered += 1
        self.report.stale += not taken

    def _act(self, now_s: float) -> None:
        self.report.starved += self._player.over(now_s)
        action = self._player.action(now_s)
        if action is None:
            return
        if self._limits is not None:
            elapsed = 1 / self._rate_hz if self._acted_s is None else now_s - self._acted_s
            limited = self._limits.apply(action, elapsed)
            self.report.range_clipped += bool(limited.range_clipped.any())
            self.report.rate_clipped += bool(limited.rate_clipped.any())
            action = limited.action
        self._acted_s = now_s
        self._robot.act(action)

    def _joined(self, actions: Actions) -> NDArray[np.float32]:
        """(H, D) the first row of every action, side by side."""
        names = list(actions) if self._action_keys is None else self._action_keys
        return np.concatenate([np.asarray(actions[name][0]) for name in names], axis=1)
