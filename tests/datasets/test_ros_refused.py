"""Files that are no bag, cut, altered or hostile."""

import sqlite3
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from mcap.writer import IndexType
from ros_bags import Row, arm_rows, encoded, joints, number, write_bag, write_mcap

from robocache.core.episode import stream_hash
from robocache.core.errors import CorruptFileError, DataError
from robocache.datasets.ros import RosDataset
from robocache.datasets.ros.storage import LARGEST_UNPACKED


def told(dataset: RosDataset) -> list[str]:
    return [str(problem) for problem in dataset.problems()]


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    return write_mcap(tmp_path / "plain.mcap", arm_rows())


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
        (b"#ROSBAG V2.0\n", "ROS 1"),
        (b"", "neither MCAP nor SQLite"),
        (b"\x28\xb5\x2f\xfd junk", "does not unpack"),
        (b"SQLite format 3\0 junk", "SQLite says"),
        (b"\x89MCAP0\r\n", "cut off"),
    ],
)
def test_files_that_are_no_bag(tmp_path: Path, data: bytes, why: str) -> None:
    path = tmp_path / "bag.mcap"
    path.write_bytes(data)
    dataset = RosDataset(path)
    assert why in "\n".join(told(dataset))
    assert "bag.mcap" in told(dataset)[0]
    assert dataset.report()["streams"] == {}


def test_a_cut_recording_is_read_as_far_as_it_goes(plain: Path, tmp_path: Path) -> None:
    whole = RosDataset(plain)[0].streams["/joints/position"]
    size = plain.stat().st_size
    for share in (0.3, 0.6):
        cut = tmp_path / f"cut_{share}.mcap"
        cut.write_bytes(plain.read_bytes()[: int(size * share)])
        dataset = RosDataset(cut)
        part = dataset[0].streams["/joints/position"]
        assert 0 < len(part) < len(whole)
        np.testing.assert_array_equal(part.values, whole.values[: len(part)])
        assert any("truncated" in problem and "byte" in problem for problem in told(dataset))


def test_no_summary_and_no_index(tmp_path: Path, plain: Path) -> None:
    bare = write_mcap(
        tmp_path / "bare.mcap",
        arm_rows(),
        use_statistics=False,
        use_summary_offsets=False,
        repeat_channels=False,
        repeat_schemas=False,
        index_types=IndexType.NONE,
    )
    dataset = RosDataset(bare)
    for name, stream in RosDataset(plain)[0].streams.items():
        assert stream_hash(dataset[0].streams[name]) == stream_hash(stream)
    assert any("has no summary" in problem for problem in told(dataset))


def test_altered_content_is_refused_and_named(plain: Path, tmp_path: Path) -> None:
    data = bytearray(plain.read_bytes())
    at = data.index(encoded(np.full((16, 24, 3), 8, np.uint8), "JPEG")[:40]) + 20
    data[at] ^= 0xFF
    path = tmp_path / "altered.mcap"
    path.write_bytes(data)
    dataset = RosDataset(path)
    with pytest.raises(CorruptFileError, match=r"altered\.mcap.*byte \d+: the CRC of a chunk"):
        dataset[0]
    problems = "\n".join(told(dataset))
    assert "CRC of a chunk" in problems and "the summary counts" in problems

    loose = write_mcap(
        tmp_path / "loose.mcap", arm_rows(), use_chunking=False, enable_data_crcs=True
    )
    data = bytearray(loose.read_bytes())
    data[data.index(b"\xff\xd8\xff") + 20] ^= 0xFF
    loose.write_bytes(data)
    with pytest.raises(CorruptFileError, match="CRC of the data section"):
        RosDataset(loose)[0]


def test_sizes_are_checked_before_anything_is_allocated(tmp_path: Path) -> None:
    path = write_mcap(tmp_path / "huge.mcap", arm_rows(), "zstd", chunk_size=10**6)
    data = bytearray(path.read_bytes())
    at = data.index(b"\x06", 8)
    while data[at + 9 + 28 : at + 9 + 36] != b"\4\0\0\0zstd":
        at = data.index(b"\x06", at + 1)
    for claim in (2**62, LARGEST_UNPACKED - 1):
        data[at + 25 : at + 33] = struct.pack("<Q", claim)
        path.write_bytes(data)
        tracemalloc.start()
        with pytest.raises(CorruptFileError, match="chunk"):
            RosDataset(path)[0]
        assert tracemalloc.get_traced_memory()[1] < 20e6
        tracemalloc.stop()
    data[at + 1 : at + 9] = struct.pack("<Q", 2**60)
    path.write_bytes(data)
    with pytest.raises(CorruptFileError, match="does not fit into the file"):
        RosDataset(path)[0]


def test_a_file_that_unpacks_without_end_is_refused(tmp_path: Path) -> None:
    packed = tmp_path / "bomb.mcap.zstd"
    packed.write_bytes(pa.compress(bytes(100 * 2**20), codec="zstd", asbytes=True))
    dataset = RosDataset(packed)
    assert dataset.keys() == ["bomb"]
    with pytest.raises(CorruptFileError, match="unpacks to more than"):
        dataset[0]
    assert list((tmp_path / "robocache-home" / "cache" / "bags").iterdir()) == []


def test_sqlite_that_is_no_bag_or_altered(tmp_path: Path) -> None:
    folder = write_bag(tmp_path / "bag", arm_rows())
    file = folder / "bag.db3"
    whole = file.read_bytes()

    def altered(*statements: str) -> RosDataset:
        file.write_bytes(whole)
        database = sqlite3.connect(file)
        for statement in statements:
            database.execute(statement)
        database.commit()
        database.close()
        return RosDataset(folder)

    for statements, why in (
        (("DROP TABLE messages",), "no table 'messages'"),
        (
            (
                "ALTER TABLE messages RENAME TO real",
                "CREATE VIEW messages AS WITH RECURSIVE n(id, topic_id, timestamp, data) AS "
                "(SELECT 1, 1, 1, x'00' UNION ALL SELECT id + 1, 1, 1, x'00' FROM n) "
                "SELECT * FROM n",
            ),
            "no table 'messages'",
        ),
        (("UPDATE messages SET timestamp = 'noon' WHERE id = 3",), "row 3 of messages"),
        (("UPDATE messages SET timestamp = -5 WHERE id = 3",), "of -5 ns"),
        (("UPDATE messages SET topic_id = 77 WHERE id = 3",), "row 3 of messages"),
    ):
        dataset = altered(*statements)
        with pytest.raises(CorruptFileError, match=f"bag.db3.*{why}"):
            dataset[0]
    file.write_bytes(whole)
    (folder / "bag.db3-wal").write_bytes(b"left over")
    assert any("write-ahead log" in problem for problem in told(RosDataset(folder)))


def test_topics_that_cannot_be_read_leave_the_others(tmp_path: Path) -> None:
    """One topic declared with two types, one empty, one whose message is cut short."""
    parts = tmp_path / "bag"
    parts.mkdir()
    write_mcap(parts / "bag_0.mcap", [Row("/a", number(1), 0), Row("/ok", number(1), 0)])
    write_mcap(parts / "bag_1.mcap", [Row("/a", joints(1, [1, 2]), 1), Row("/ok", number(2), 1)])
    dataset = RosDataset(parts)
    assert set(dataset[0].streams) == {"/ok"}
    np.testing.assert_array_equal(dataset[0].streams["/ok"].values[:, 0], [1, 2])
    assert "of two types" in dataset.report()["not_read"]["/a"]

    folder = write_bag(tmp_path / "short", arm_rows())
    database = sqlite3.connect(folder / "short.db3")
    database.execute("UPDATE messages SET data = substr(data, 1, 40) WHERE id = 5")
    database.execute("INSERT INTO topics VALUES (9, '/silent', 'std_msgs/msg/Bool', 'cdr', '', '')")
    database.commit()
    database.close()
    problems = {problem.stream: str(problem) for problem in RosDataset(folder).problems()}
    assert "too short" in problems["/joints"]
    assert "has no message" in problems["/silent"]
    assert set(RosDataset(folder)[0].streams) == {"/camera"}


def test_a_file_that_changes_while_it_is_used(tmp_path: Path) -> None:
    for options in ({}, {"use_chunking": False}):
        path = write_mcap(tmp_path / "bag.mcap", arm_rows(), **options)
        stream = RosDataset(path)[0].streams["/camera"]
        path.write_bytes(path.read_bytes()[:300])
        with pytest.raises(DataError, match=r"bag\.mcap"):
            stream.values[9]
