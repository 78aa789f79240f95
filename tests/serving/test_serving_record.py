"""Requests kept as episodes that our readers can open."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import Plus, ask, running, seen, sockets

from robocache.core import Episode
from robocache.core.errors import StorageError
from robocache.datasets import open_dataset, write_shard
from robocache.serving import ModalityConfig
from robocache.serving.recording import EpisodeLog

SECOND = 10**9
CAMERA = {**Plus().modality_config(), "video": ModalityConfig([-1, 0], ["front"])}


class Clock:
    now_ns = 1_700_000_000 * SECOND

    def __call__(self) -> int:
        return self.now_ns


def moved(one: float, two: float) -> dict[str, Any]:
    return {"move": seen(one, two)["state"]["x"] + np.ones((3, 1), np.float32)}


def test_sessions_of_two_clients_become_episodes(tmp_path: Path) -> None:
    def write(episodes: Sequence[Episode]) -> None:
        write_shard(tmp_path / f"{episodes[0].key}.episodes.parquet", episodes)

    log = EpisodeLog(write, Plus().modality_config(), actor="abc")
    with running(Plus(), record=log) as (_, address), sockets(address, 2) as (one, two):
        for step in range(3):
            ask(one, "get_action", observation=seen(step, 1, "open"))
            ask(two, "get_action", observation=seen(step, 2, "close"))
        ask(one, "reset")
        ask(one, "get_action", observation=seen(9, 1, "open"))
        ask(one, "get_action", observation={"language": {}})  # refused, not kept
    log.close()
    dataset = open_dataset(tmp_path)
    assert not list(dataset.problems()) and len(dataset) == 3
    by_words = {(e.instruction, e.outcome.steps): e for e in dataset}
    whole = by_words["open", 3]
    assert whole.stream("x").values.tolist() == [[0, 1], [1, 1], [2, 1]]
    assert whole.stream("move.chunk").values[2].tolist() == [[3, 2], [4, 3], [5, 4]]
    assert whole.provenance.actor == "abc"
    assert by_words["close", 3].stream("x").values[:, 1].tolist() == [2, 2, 2]
    assert by_words["open", 1].stream("x").values.tolist() == [[9, 1]]


def kept(**settings: Any) -> tuple[EpisodeLog, list[Episode], Clock]:
    written: list[Episode] = []
    clock = Clock()
    return EpisodeLog(written.extend, CAMERA, clock_ns=clock, **settings), written, clock


def picture(value: int, words: str = "go") -> dict[str, Any]:
    frames = np.full((1, 2, 4, 5, 3), value, np.uint8)
    frames[:, 0] = 0  # history
    return {**seen(value, 0, words), "video": {"front": frames}}


def test_times_are_when_requests_came_and_were_answered() -> None:
    log, written, clock = kept()
    for value in (1, 2, 3):
        clock.now_ns += SECOND if value < 3 else 0  # the clock may stand still
        log.answered(b"a", picture(value), moved(value, 0), latency_s=0.25)
    log.close()
    (episode,) = written
    episode.check()
    assert episode.start_ns == 1_700_000_000 * SECOND + SECOND * 3 // 4
    assert episode.stream("front").values[:, 0, 0, 0].tolist() == [1, 2, 3]
    times = episode.stream("x").times_s
    assert times[:2].tolist() == [0, 1] and times[2] > 1 and times[2] < 1 + 1e-9
    chunk = episode.stream("move.chunk")
    np.testing.assert_array_equal(chunk.usable_s(), times + 0.25)
    assert chunk.values.shape == (3, 3, 2)


def test_flat_observations_are_kept_alike() -> None:
    log, written, _ = kept()
    whole = picture(7)
    flat = {"video.front": whole["video"]["front"], "state.x": whole["state"]["x"], "task": ["go"]}
    log.answered(b"a", {**flat, "other": object()}, {"action.move": moved(7, 0)["move"]}, 0.0)
    log.answered(b"b", whole, moved(7, 0), 0.0)
    log.close()
    one, two = written
    assert one.streams.keys() == two.streams.keys() == {"front", "x", "move.chunk"}
    assert one.instruction == two.instruction == "go"


def test_what_ends_an_episode() -> None:
    log, written, clock = kept(idle_s=10)
    log.answered(b"a", picture(1), moved(1, 0), 0.0)
    log.answered(b"b", picture(2), moved(1, 0), 0.0)
    log.answered(b"a", picture(3, "other words"), moved(1, 0), 0.0)
    clock.now_ns += 9 * SECOND
    log.answered(b"b", picture(4), moved(1, 0), 0.0)
    clock.now_ns += 2 * SECOND  # a has said nothing for 11 s, b for 2
    log.answered(b"c", picture(5), moved(1, 0), 0.0)
    log.began(b"c")
    log.close()
    assert [e.stream("front").values[:, 0, 0, 0].tolist() for e in written] == [
        [1],
        [3],
        [5],
        [2, 4],
    ]
    assert len({episode.key for episode in written}) == 4


def test_memory_is_bounded() -> None:
    size = 60 + 8 + 24
    log, written, _ = kept(episode_bytes=3 * size)
    for value in range(7):
        log.answered(b"a", picture(value), moved(1, 0), 0.0)
    log.close()
    assert [episode.outcome.steps for episode in written] == [3, 3, 1]
    log, written, _ = kept(total_bytes=4 * size)
    for number in range(50):
        log.answered(b"%d" % number, picture(1), moved(1, 0), 0.0)
        assert log.gauges()["episode_bytes_held"] <= 4 * size
    log.close()
    assert len(written) + log.dropped == 50 and len(written) >= 4
    assert log.gauges()["episode_bytes_held"] == 0


def test_a_full_disk_does_not_end_serving(caplog: pytest.LogCaptureFixture) -> None:
    def write(episodes: Sequence[Episode]) -> None:
        raise StorageError("the disk is full")

    log = EpisodeLog(write, Plus().modality_config())
    with running(Plus(), record=log) as (_, address), sockets(address, 1) as (one,):
        for _ in range(2):
            assert "move" in ask(one, "get_action", observation=seen(1, 2))[0]
            ask(one, "reset")
        log.close()
        assert "robocache_episodes_failed 2" in ask(one, "metrics")
    assert "the disk is full" in caplog.text


def test_a_policy_that_accepts_other_forms_is_served_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = EpisodeLog(print, CAMERA)  # it says it reads a camera, and is happy without one
    with running(Plus(), record=log) as (_, address), sockets(address, 1) as (one,):
        assert "move" in ask(one, "get_action", observation=seen(1, 2))[0]
    log.close()
    assert log.dropped == 1 and "not kept" in caplog.text
