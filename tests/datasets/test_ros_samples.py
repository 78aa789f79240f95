"""The recorded bags of the ROS 2 project: each opens, or says why not."""

from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory

from robocache.datasets.ros import RosDataset

WIDTHS = [f"{kind}{bits}" for bits in (8, 16, 32, 64) for kind in ("int", "uint")]
BASIC = ["bool", "byte", "char", "float32", "float64", *WIDTHS]


@pytest.fixture(scope="module")
def dataset(shared_data: Path) -> RosDataset:
    return RosDataset(shared_data / "rosbag2")


def test_all_sixteen_are_found(dataset: RosDataset) -> None:
    assert len(dataset) == 16
    assert "rosbag2_py/test/resources/mcap/reindex_test_bags/multiple_files" in list(dataset.keys())
    for episode in dataset:
        episode.check()


def test_no_sound_bag_has_a_file_problem(dataset: RosDataset) -> None:
    """Counts, CRCs and names of files agree; what is told is about types and empty topics."""
    for problem in dataset.problems():
        known = ("standard types", "no message", "could be read", "bytes more", "is not defined")
        assert any(words in str(problem) for words in known), problem


@pytest.mark.parametrize(
    ("key", "topic"),
    [
        ("rosbag2_py/test/resources/mcap/convert_a", "b_basictypes"),
        ("rosbag2_transport/test/resources/mcap/rewriter_a", "b_basictypes"),
        ("rosbag2_transport/test/resources/mcap/test_bag_for_seek", "topic1"),
    ],
)
def test_numbers_equal_the_official_reader(dataset: RosDataset, key: str, topic: str) -> None:
    (path,) = (dataset.path / key).glob("*.mcap")
    with path.open("rb") as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        rows = list(reader.iter_decoded_messages(topics=[topic]))
    stream = dataset[key].streams[topic]
    expected = [[getattr(row.decoded_message, f"{n}_value") for n in BASIC] for row in rows]
    np.testing.assert_array_equal(stream.values[:], np.array(expected, np.float64))
    logs = np.array([row.message.log_time for row in rows])
    np.testing.assert_array_equal(stream.times_s, (logs - logs[0]) / 1e9)
    assert dataset[key].start_ns == logs[0]


def test_split_bags_are_one_episode(dataset: RosDataset) -> None:
    for kind in ("mcap", "sqlite3"):
        key = f"rosbag2_py/test/resources/{kind}/wbag"
        counts = {name: about["messages"] for name, about in dataset.report(key)["topics"].items()}
        assert counts == {
            "AAA": 804,
            "BBB": 742,
            "CCC": 742,
            "DDD": 753,
            "EEE": 804,
            "FFF": 772,
            "GGG": 731,
            "HHH": 726,
        }
        key = f"rosbag2_py/test/resources/{kind}/reindex_test_bags/multiple_files"
        assert dataset.report(key)["topics"]["/chatter"]["messages"] == 1324 + 1324 + 529


def test_types_that_are_not_there_are_named(dataset: RosDataset) -> None:
    report = dataset.report("rosbag2_py/test/resources/sqlite3/convert_a")
    assert "test_msgs/msg/BasicTypes" in report["not_read"]["b_basictypes"]
    assert report["topics"]["b_basictypes"]["messages"] == 50
    assert report["streams"] == {}
