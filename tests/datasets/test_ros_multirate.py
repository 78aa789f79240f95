"""The multirate recording against the official MCAP reader, and as training data."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from PIL import Image

from robocache.core.stream import AlignmentPolicy
from robocache.core.window import StreamInput, Window
from robocache.datasets.alignment import LiveAligner
from robocache.datasets.ros import RosDataset
from robocache.datasets.windows import WindowTable

CAMERA = "/camera/color/image_raw/compressed"


@pytest.fixture(scope="module")
def dataset(shared_data: Path) -> RosDataset:
    return RosDataset(shared_data / "mcap_multirate")


@pytest.fixture(scope="module")
def official(shared_data: Path) -> dict[str, list[tuple[int, int, Any]]]:
    """Topic -> (stamp, log time, message), by the official reader."""
    found: dict[str, list[tuple[int, int, Any]]] = {}
    with (shared_data / "mcap_multirate" / "mcap_multirate.mcap").open("rb") as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        for row in reader.iter_decoded_messages():
            stamp = row.decoded_message.header.stamp
            when = stamp.sec * 10**9 + stamp.nanosec
            found.setdefault(row.channel.topic, []).append(
                (when, row.message.log_time, row.decoded_message)
            )
    return {topic: sorted(rows, key=lambda row: row[0]) for topic, rows in found.items()}


def test_times_are_the_header_stamps_and_log_times(dataset: RosDataset, official: Any) -> None:
    episode = dataset[0]
    assert episode.start_ns == min(rows[0][0] for rows in official.values())
    for name, stream in episode.streams.items():
        topic = dataset.report()["streams"][name]["topic"]
        stamps = np.array([row[0] for row in official[topic]])
        logs = np.array([row[1] for row in official[topic]])
        np.testing.assert_array_equal(stream.times_s, (stamps - episode.start_ns) / 1e9)
        np.testing.assert_array_equal(stream.available_s, (logs - episode.start_ns) / 1e9)
        assert stream.spec.clock == "measured"
    episode.check()


def test_values_equal_the_official_reader(dataset: RosDataset, official: Any) -> None:
    streams = dataset["mcap_multirate"].streams
    for topic in ("/joint_states", "/cmd"):
        for part in ("position", "velocity", "effort"):
            expected = np.array([getattr(row[2], part) for row in official[topic]])
            np.testing.assert_array_equal(streams[f"{topic}/{part}"].values[:], expected)
    wrench = [
        [
            getattr(getattr(row[2].wrench, part), axis)
            for part in ("force", "torque")
            for axis in "xyz"
        ]
        for row in official["/ft_sensor"]
    ]
    np.testing.assert_array_equal(streams["/ft_sensor"].values[:], np.array(wrench))


def test_pictures_equal_pillow(dataset: RosDataset, official: Any) -> None:
    stream = dataset[0].streams[CAMERA]
    for number in (0, 41, 86):
        data = bytes(official[CAMERA][number][2].data)
        with Image.open(io.BytesIO(data)) as picture:
            np.testing.assert_array_equal(stream.values[number], np.asarray(picture))
        assert stream.values.encoded(number) == data


def test_rates_drops_and_latencies(dataset: RosDataset) -> None:
    streams = dataset.report()["streams"]
    rates = {name: about["rate_hz"] for name, about in streams.items()}
    assert rates[CAMERA] == 30.0
    assert rates["/ft_sensor"] == 500.0
    assert rates["/joint_states/position"] == 100.0
    assert rates["/cmd/position"] == 20.0
    assert streams[CAMERA]["missing"] == 3  # 90 frames at 30 Hz in 3 s, of which 87 are there
    assert streams[CAMERA]["samples"] == 87
    assert streams[CAMERA]["jitter_s"] > 0.001
    assert streams[CAMERA]["latency_s"]["median"] == pytest.approx(0.012)
    assert streams["/joint_states/position"]["fields"] == [f"joint{n}" for n in range(7)]
    (gap,) = dataset.problems()
    assert gap.stream == CAMERA
    assert "gaps above 3 periods" in str(gap)


def test_it_trains_on_what_had_arrived(dataset: RosDataset, official: Any) -> None:
    """Inputs hold what had arrived when a command was given; the live aligner says the same."""
    episode = dataset[0]
    inputs = (
        StreamInput("/joint_states/position", (-0.05, 0.0), AlignmentPolicy("linear")),
        StreamInput(CAMERA),
    )
    table = WindowTable([episode], Window(inputs, "/cmd/position", rate_hz=20.0, horizon=8))
    assert len(table) == 60
    row = 30
    batch = table.batch(np.array([row]))
    assert batch.action_valid.all()
    np.testing.assert_allclose(
        batch.actions[0].numpy(),
        [official["/cmd"][row + ahead][2].position for ahead in range(8)],
        rtol=1e-6,
    )
    now = official["/cmd"][row][0]
    arrived = [data for _, log, data in official[CAMERA] if log <= now]
    with Image.open(io.BytesIO(bytes(arrived[-1].data))) as picture:
        np.testing.assert_array_equal(batch.values[CAMERA][0, 0].numpy(), np.asarray(picture))

    live = LiveAligner(inputs, table.specs)
    for view in inputs:
        stream = episode.streams[view.stream]
        seen = stream.available_s <= table.now_s[row]
        live.push(
            view.stream, (stream.values[seen], stream.times_s[seen], stream.available_s[seen])
        )
    observed = live.observe(float(table.now_s[row]), episode.instruction)
    for name, value in table.observation(row).values.items():
        np.testing.assert_array_equal(observed.values[name], value)
