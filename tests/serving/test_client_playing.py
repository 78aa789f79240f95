"""The robot's side without a network: chunks by time, limits, the loop at a fixed rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from robocache_client import (
    Asked,
    ChunkPlayer,
    ControlLoop,
    Limits,
    PolicyRefused,
    PolicyUnreachable,
)

TEN = np.arange(10, dtype=np.float32)[:, None]
"""Ten actions; at 10 Hz one second."""


def played(player: ChunkPlayer, *times: float) -> list[float | None]:
    return [None if (a := player.action(t)) is None else round(float(a[0]), 5) for t in times]


def test_actions_are_played_when_they_are_due() -> None:
    player = ChunkPlayer(10)
    assert player.action(0.0) is None and player.over(0.0)
    assert player.put(TEN, 5.0, 5.25)  # it came 0.25 s after its observation
    assert played(player, 5.25, 5.3, 5.39, 5.4, 5.95) == [2, 3, 3, 4, 9]
    assert not player.over(5.95)


def test_a_time_that_is_rounded_down_plays_the_action_that_begins_then() -> None:
    player = ChunkPlayer(10)
    player.put(TEN, 0.0, 0.0)
    assert played(player, *(k * 0.1 for k in range(10))) == list(range(10))


def test_at_the_end_it_holds_or_stops() -> None:
    for at_end, after in (("hold", 9), ("stop", None)):
        player = ChunkPlayer(10, at_end=at_end)
        player.put(TEN, 0.0, 0.0)
        assert played(player, 0.95, 1.0, 7.0) == [9, after, after]
        assert player.over(1.0)


def test_stale_chunks_are_dropped() -> None:
    player = ChunkPlayer(10)
    assert player.put(TEN, 1.0, 1.1)
    assert not player.put(TEN + 50, 0.9, 1.2)  # answers an older observation
    assert not player.put(TEN + 50, 1.0, 1.2)  # the same again
    assert not player.put(TEN + 50, 1.5, 2.5)  # is over already
    assert played(player, 1.2) == [2]
    assert player.put(TEN + 50, 1.15, 1.2)
    assert played(player, 1.25) == [51]
    player.clear()
    assert player.action(1.3) is None


def test_a_new_chunk_takes_over_at_once_or_linearly() -> None:
    player = ChunkPlayer(10, blend_s=0.2)
    player.put(0 * TEN, 0.0, 0.0)
    assert played(player, 0.3) == [0]
    player.put(0 * TEN + 8, 0.3, 0.3)
    assert played(player, 0.3, 0.35, 0.4, 0.5, 0.6) == [0, 2, 4, 8, 8]
    player.put(0 * TEN, 0.7, 0.7)
    assert played(player, 0.8) == [4]
    player.put(0 * TEN + 6, 0.8, 0.8)  # while the one before was still taking over: no jump
    assert played(player, 0.8, 0.9, 1.0) == [4, 5, 6]
    sudden = ChunkPlayer(10)
    sudden.put(0 * TEN, 0.0, 0.0)
    sudden.action(0.1)
    sudden.put(0 * TEN + 8, 0.1, 0.1)
    assert played(sudden, 0.1) == [8]


@pytest.mark.parametrize("bad", [np.zeros(3), np.zeros((0, 2)), np.full((2, 2), np.nan)])
def test_what_is_no_chunk_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match="a chunk must be"):
        ChunkPlayer(10).put(bad, 0.0, 0.0)


@pytest.mark.parametrize(
    "settings", [{"rate_hz": 0}, {"rate_hz": 1, "at_end": "go on"}, {"rate_hz": 1, "blend_s": -1}]
)
def test_settings_of_the_player_are_checked(settings: Any) -> None:
    with pytest.raises(ValueError, match=r"must be one of|> 0"):
        ChunkPlayer(**settings)


def test_limits_of_range_and_rate() -> None:
    limits = Limits([-1, -1], [1, 2], max_change_per_s=[1, 10], start=[0, 0])
    first = limits.apply(np.array([5, 5], np.float32), 0.5)
    assert first.action.tolist() == [0.5, 2]
    assert first.range_clipped.tolist() == [True, True]
    assert first.rate_clipped.tolist() == [True, False]
    second = limits.apply(np.array([0.25, 1], np.float32), 0.5)
    assert second.action.tolist() == [0.25, 1]
    assert not second.range_clipped.any() and not second.rate_clipped.any()


def test_the_first_action_without_a_start_is_limited_in_range_only() -> None:
    limits = Limits(-1, 1, max_change_per_s=1)
    assert limits.apply(np.array([3.0], np.float32), 0.1).action.tolist() == [1]
    assert limits.apply(np.array([0.0], np.float32), 0.25).action.tolist() == [0.75]


def test_limits_are_checked() -> None:
    with pytest.raises(ValueError, match="low must not be above high"):
        Limits([0, 2], [1, 1])
    with pytest.raises(ValueError, match="max_change_per_s"):
        Limits(0, 1, 0)
    with pytest.raises(ValueError, match="finite"):
        Limits(0, 1).apply(np.array([np.nan], np.float32), 1)
    limits = Limits(-1, 1, start=[0, 0])
    with pytest.raises(ValueError, match="expected actions"):
        limits.apply(np.zeros(3, np.float32), 1)


class World:
    """A clock that only `sleep` and the robot move, a robot, and a policy that takes its time.

    Args:
        latency: number of the question -> seconds until it is answered; None: never.
    """

    def __init__(self, latency: Callable[[int], float | Exception]) -> None:
        self.now = 100.0
        self.acted: list[tuple[float, float]] = []
        self.observed = 0
        self.slow: dict[int, float] = {}
        self.submitted: list[float] = []
        self._latency = latency
        self._pending: tuple[float, Asked] | None = None
        self.closed = False

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds

    def observe(self) -> dict[str, Any]:
        self.observed += 1
        return {}

    def act(self, action: np.ndarray) -> None:
        self.acted.append((round(self.now - 100, 6), round(float(action[0]), 5)))
        self.now += self.slow.get(len(self.acted), 0.0)

    def submit(self, observation: Any, observed_s: float) -> bool:
        number = len(self.submitted)
        self.submitted.append(round(observed_s - 100, 6))
        latency = self._latency(number)
        if isinstance(latency, Exception):
            self._pending = (self.now + 0.15, Asked(observed_s, error=latency))  # type: ignore[arg-type]
        else:
            chunk = {"action": TEN[None] + 100 * number}
            self._pending = (self.now + latency, Asked(observed_s, chunk, {}))
        return True

    def idle(self) -> bool:
        return self._pending is None

    def poll(self) -> Asked | None:
        if self._pending is None or self.now < self._pending[0] - 1e-9:
            return None
        asked, self._pending = self._pending[1], None
        return asked

    def close(self) -> None:
        self.closed = True

    def loop(self, *, player: ChunkPlayer | None = None, **settings: Any) -> ControlLoop:
        return ControlLoop(
            self,
            self,
            player or ChunkPlayer(10),
            **{"rate_hz": 10, "ask_every_s": 0.5, **settings},
            clock=self.clock,
            sleep=self.sleep,
        )


def test_it_acts_at_its_rate_and_asks_in_time() -> None:
    world = World(lambda _: 0.1)
    with world.loop() as loop:
        report = loop.run(ticks=12)
    assert [time for time, _ in world.acted] == pytest.approx([k / 10 for k in range(1, 12)])
    assert [action for _, action in world.acted] == [1, 2, 3, 4, 5, 101, 102, 103, 104, 105, 201]
    assert world.submitted == pytest.approx([0, 0.5, 1.0])
    assert (report.ticks, report.asked, report.answered) == (12, 3, 3)
    assert (report.overruns, report.stale, report.starved) == (0, 0, 1)
    assert world.closed


def test_delays_do_not_add_up_and_overruns_are_counted() -> None:
    world = World(lambda _: 0.05)
    world.slow = {2: 0.04, 4: 0.25}
    report = world.loop().run(ticks=10)
    times = [time for time, _ in world.acted]
    assert times == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.65, 0.7, 0.8, 0.9])
    assert report.overruns == 1  # the tick at 0.5; the one at 0.6 began 0.05 s late
    assert report.latest_s == pytest.approx(0.05)
    assert report.ticks == 9


def test_while_the_server_is_away_it_holds_then_goes_on() -> None:
    gone = PolicyUnreachable("away")
    world = World(lambda number: gone if 1 <= number <= 4 else 0.1)
    report = world.loop().run(ticks=28)
    assert report.failed == {"PolicyUnreachable": 4}
    held = [action for time, action in world.acted if 0.9 <= time < 2.6]
    assert held == [9] * 17
    assert world.acted[-1] == (2.7, 502)
    stopping = World(lambda number: gone if number else 0.1)
    report = stopping.loop(player=ChunkPlayer(10, at_end="stop")).run(ticks=35)
    assert [time for time, _ in stopping.acted] == pytest.approx([k / 10 for k in range(1, 10)])
    assert report.starved == 26


def test_answers_that_come_too_late_are_dropped() -> None:
    world = World(lambda number: 3.0 if number == 0 else 0.1)
    report = world.loop().run(ticks=33)
    assert report.stale == 1 and report.starved == 31
    assert world.acted[0][1] == 101


def test_limits_are_kept_and_reported() -> None:
    world = World(lambda _: 0.1)
    limits = Limits(0, 4.5, max_change_per_s=20, start=[0])
    report = world.loop(limits=limits).run(ticks=7)
    assert [action for _, action in world.acted] == [1, 2, 3, 4, 4.5, 4.5]
    assert report.range_clipped == 2
    assert report.rate_clipped == 0
    fast = World(lambda _: 0.1)
    report = fast.loop(limits=Limits(0, 500, max_change_per_s=5, start=[0])).run(ticks=4)
    assert [action for _, action in fast.acted] == [0.5, 1.0, 1.5]
    assert report.rate_clipped == 3


def test_answers_that_are_no_chunks_are_counted() -> None:
    world = World(lambda _: 0.1)
    report = world.loop(action_keys=["arm", "hand"]).run(ticks=4)
    assert report.failed == {"BadAnswer": 1} and world.acted == []


def test_actions_are_put_side_by_side_in_the_order_asked_for() -> None:
    world = World(lambda _: 0.1)
    loop = world.loop(action_keys=["b", "a"])
    joined = loop._joined({"a": np.zeros((1, 4, 2)), "b": np.ones((1, 4, 3))})  # type: ignore[dict-item]
    assert joined[0].tolist() == [1, 1, 1, 0, 0]


def test_it_can_be_stopped() -> None:
    world = World(lambda _: 0.1)
    loop = world.loop()
    act = world.act

    def act_and_stop(action: np.ndarray) -> None:
        act(action)
        if len(world.acted) == 3:
            loop.stop()

    world.act = act_and_stop  # type: ignore[method-assign]
    assert loop.run(seconds=60).ticks == 4


def test_errors_of_the_server_have_a_kind() -> None:
    assert PolicyRefused("BusyError: 64 requests are waiting").kind == "BusyError"
    assert PolicyRefused("Something went wrong: x").kind == ""
