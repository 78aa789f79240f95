"""Which time a sample has, against hand examples."""

from pathlib import Path

import numpy as np
import pytest
from ros_bags import START_NS, Row, joints, number, write_mcap

from robocache.datasets.ros import RosDataset
from robocache.datasets.ros.clocks import Times, make_timeline, measure

MS = 1_000_000
NAME = "/joints/position"


def opened(tmp_path: Path, *rows: tuple[int | None, int | None, int]) -> RosDataset:
    """Joint messages of (header stamp, publish time, log time) in ms; position: their number."""
    messages = [
        Row(
            "/joints",
            joints(None if stamp is None else stamp * MS, [at], ("a",)),
            log * MS,
            None if publish is None else publish * MS,
        )
        for at, (stamp, publish, log) in enumerate(rows)
    ]
    return RosDataset(write_mcap(tmp_path / "bag.mcap", messages))


def told(dataset: RosDataset) -> str:
    return "\n".join(str(problem) for problem in dataset.problems())


def test_header_stamps_first(tmp_path: Path) -> None:
    dataset = opened(tmp_path, (10, 15, 20), (30, 35, 50))
    stream = dataset[0].streams[NAME]
    assert dataset[0].start_ns == START_NS + 10 * MS
    assert stream.times_s.tolist() == [0.0, 0.02]
    assert stream.available_s is not None
    assert stream.available_s.tolist() == [0.01, 0.04]
    assert dataset.report()["streams"][NAME]["capture"] == "header"
    assert told(dataset) == ""


def test_then_publish_times_then_log_times(tmp_path: Path) -> None:
    dataset = opened(tmp_path, (None, 15, 20), (None, 35, 50))
    assert dataset.report()["streams"][NAME]["capture"] == "publish"
    assert dataset[0].streams[NAME].times_s.tolist() == [0.0, 0.02]
    assert dataset[0].streams[NAME].usable_s().tolist() == [0.005, 0.035]
    dataset = opened(tmp_path, (None, None, 20), (None, None, 50))
    assert dataset.report()["streams"][NAME]["capture"] == "log"
    assert dataset[0].streams[NAME].times_s.tolist() == [0.0, 0.03]
    assert told(dataset) == ""


def test_mixed_stamps_are_not_used(tmp_path: Path) -> None:
    dataset = opened(tmp_path, (10, None, 20), (None, None, 50), (60, None, 70))
    assert dataset[0].streams[NAME].times_s.tolist() == [0.0, 0.03, 0.05]
    assert "only 2 of 3 messages have a header stamp" in told(dataset)


def test_skew_is_told_and_shifts_nothing(tmp_path: Path) -> None:
    dataset = opened(tmp_path, (10, None, 20), (38, None, 30), (41, None, 40))
    stream = dataset[0].streams[NAME]
    assert stream.times_s.tolist() == [0.0, 0.028, 0.031]
    assert stream.usable_s().tolist() == [0.01, 0.028, 0.031]
    assert "2 of 3 messages" in told(dataset) and "by up to 8.000 ms" in told(dataset)
    stream.check()


def test_stamps_of_another_clock_are_not_used(tmp_path: Path) -> None:
    hour = 3_600_000
    dataset = opened(tmp_path, (10 - hour, None, 20), (30 - hour, None, 50))
    assert dataset.report()["streams"][NAME]["capture"] == "log"
    assert "another clock (-3600.015 s" in told(dataset)


def test_order_is_by_capture_and_equal_ones_are_dropped(tmp_path: Path) -> None:
    """The message logged first keeps its time, even if it is later in the file."""
    dataset = opened(
        tmp_path, (10, None, 20), (30, None, 45), (20, None, 50), (30, None, 40), (40, None, 60)
    )
    stream = dataset[0].streams[NAME]
    assert stream.values[:, 0].tolist() == [0, 2, 3, 4]
    assert stream.times_s.tolist() == [0.0, 0.01, 0.02, 0.03]
    assert stream.usable_s().tolist() == [0.01, 0.04, 0.03, 0.05]
    assert "1 samples arrived after later ones" in told(dataset)
    assert "1 samples have the time of another one" in told(dataset)


def test_streams_share_the_episodes_clock(tmp_path: Path) -> None:
    rows = [Row("/joints", joints(5 * MS, [1], ("a",)), 9 * MS), Row("/x", number(2), 7 * MS)]
    episode = RosDataset(write_mcap(tmp_path / "bag.mcap", rows))[0]
    assert episode.start_ns == START_NS + 5 * MS
    assert episode.streams["/x"].times_s.tolist() == [0.002]


def test_measures_of_a_stream_with_drops() -> None:
    """100 Hz; samples 3, and 6 to 8, are missing; every arrival is 2 ms late, the last one 10."""
    capture = np.array([0, 1, 2, 4, 5, 9, 10]) * 10 * MS
    log = capture + 2 * MS
    log[-1] += 8 * MS
    line = make_timeline(Times(capture, log, log), "header")
    found = measure(line)
    assert (found["rate_hz"], found["gaps"], found["missing"]) == (100.0, 1, 4)
    assert found["longest_gap_s"] == pytest.approx(0.04)
    assert found["jitter_s"] == 0
    assert found["latency_s"]["median"] == pytest.approx(0.002)
    assert 0.009 < found["latency_s"]["p99"] <= 0.010


def test_gaps_are_problems_of_periodic_streams_only(tmp_path: Path) -> None:
    periodic = opened(tmp_path, *((at, None, at) for at in [*range(1, 100, 10), 151, 161]))
    assert "1 gaps above 3 periods of a 100.0 Hz stream, the longest 0.060 s" in told(periodic)
    events = opened(tmp_path, *((at, None, at) for at in [1, 5, 80, 85, 300, 700]))
    assert events.report()["streams"][NAME]["rate_hz"] is None
    assert told(events) == ""


def test_one_sample_and_none() -> None:
    one = np.array([5])
    assert measure(make_timeline(Times(one, one, one), "log"))["rate_hz"] is None
    empty = np.array([], np.int64)
    assert measure(make_timeline(Times(empty, empty, empty), "log"))["samples"] == 0
