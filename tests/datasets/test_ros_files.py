"""Files and folders of bags: compressions, splits, metadata, and files that are cut or altered."""

import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from ros_bags import Row, arm_rows, compressed, encoded, number, write_bag, write_mcap
from rosbags.rosbag2 import CompressionFormat, CompressionMode

from robocache.core.episode import Episode, episode_hash
from robocache.core.errors import ConfigError, CorruptFileError
from robocache.datasets.reader import Reader
from robocache.datasets.ros import RosDataset
from robocache.datasets.ros.mcap_file import McapFile


def content(episode: Episode) -> str:
    """Hash of an episode, whatever it is called."""
    return episode_hash(Episode("", episode.streams, start_ns=episode.start_ns))


def told(dataset: RosDataset) -> list[str]:
    return [str(problem) for problem in dataset.problems()]


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    return write_mcap(tmp_path / "plain.mcap", arm_rows())


def test_every_storage_holds_the_same(plain: Path, tmp_path: Path) -> None:
    zstd = {"fmt": CompressionFormat.ZSTD}
    paths = [
        write_mcap(tmp_path / "lz4.mcap", arm_rows(), "lz4"),
        write_mcap(tmp_path / "zstd.mcap", arm_rows(), "zstd"),
        write_mcap(tmp_path / "no_chunks.mcap", arm_rows(), use_chunking=False),
        write_bag(tmp_path / "sqlite", arm_rows()),
        write_bag(tmp_path / "mcap", arm_rows(), "mcap"),
        write_bag(tmp_path / "messages", arm_rows(), mode=CompressionMode.MESSAGE, **zstd),
        write_bag(tmp_path / "file", arm_rows(), mode=CompressionMode.FILE, **zstd),
        write_bag(
            tmp_path / "file_mcap",
            arm_rows(),
            "mcap",
            mode=CompressionMode.FILE,
            **zstd,
        ),
    ]
    assert next((tmp_path / "file").glob("*.db3.zstd"))
    expected = content(RosDataset(plain)[0])
    for path in paths:
        dataset = RosDataset(path)
        assert content(dataset[0]) == expected, path
        assert told(dataset) == [], path


def test_values_equal_the_official_reader(plain: Path) -> None:
    episode = RosDataset(plain)[0]
    with plain.open("rb") as file:
        rows = list(make_reader(file, decoder_factories=[DecoderFactory()]).iter_decoded_messages())
    expected = [row.decoded_message.velocity for row in rows if row.channel.topic == "/joints"]
    np.testing.assert_array_equal(episode.streams["/joints/velocity"].values[:], expected)
    pictures = [bytes(row.decoded_message.data) for row in rows if row.channel.topic == "/camera"]
    stream = episode.streams["/camera"]
    assert [stream.values.encoded(at) for at in range(len(stream))] == pictures


def test_it_is_a_reader(plain: Path, tmp_path: Path) -> None:
    dataset = RosDataset(plain)
    assert isinstance(dataset, Reader)
    assert (dataset.name, dataset.keys(), len(dataset)) == ("plain", ["plain"], 1)
    assert [episode.key for episode in dataset] == ["plain"]
    assert dataset["plain"].provenance.source == "plain.mcap"
    with pytest.raises(ConfigError, match="did you mean 'plain'"):
        dataset["plane"]
    (tmp_path / "copy").mkdir()
    copy = tmp_path / "copy" / "plain.mcap"
    copy.write_bytes(plain.read_bytes())
    assert RosDataset(copy).fingerprint == dataset.fingerprint
    copy.write_bytes(plain.read_bytes()[:-1])
    assert RosDataset(copy).fingerprint != dataset.fingerprint


def test_episodes_can_be_pickled(plain: Path) -> None:
    dataset = RosDataset(plain)
    episode = pickle.loads(pickle.dumps(dataset[0]))
    np.testing.assert_array_equal(
        episode.streams["/camera"].values[[3, 1]], dataset[0].streams["/camera"].values[[3, 1]]
    )
    assert content(pickle.loads(pickle.dumps(dataset))[0]) == content(dataset[0])


def test_folder_of_bags(tmp_path: Path) -> None:
    """A folder with metadata, split files without it, loose files, and files of one stem."""
    root = tmp_path / "root"
    for name in ("split", "loose", "nested/deep"):
        (root / name).mkdir(parents=True)
    write_bag(root / "whole", arm_rows())
    rows = arm_rows()
    for part in range(12):
        write_mcap(root / "split" / f"split_{part}.mcap", rows[part * 4 : part * 4 + 4])
    for name in ("one_0", "one_1"):
        write_mcap(root / "loose" / f"{name}.mcap", [Row("/x", number(1), 0)])
    write_mcap(root / "nested" / "deep" / "a.mcap", [Row("/x", number(1), 0)])
    (root / "nested" / "deep" / "a.db3").write_bytes(b"")
    dataset = RosDataset(root)
    assert dataset.keys() == [
        "loose/one_0",
        "loose/one_1",
        "nested/deep/a.db3",
        "nested/deep/a.mcap",
        "split",
        "whole",
    ]
    plain = write_mcap(tmp_path / "some.mcap", rows[:48])
    assert content(dataset["split"]) == content(RosDataset(plain)[0])
    assert dataset["split"].provenance.source == "split"
    assert dataset["loose/one_1"].provenance.source == "loose/one_1.mcap"
    assert RosDataset(root / "whole").keys() == ["whole"]


def test_no_bag(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="holds no bag"):
        RosDataset(tmp_path / "empty")
    with pytest.raises(ConfigError, match="neither a file nor a folder"):
        RosDataset(tmp_path / "absent")


def test_metadata_that_does_not_agree(tmp_path: Path) -> None:
    folder = write_bag(tmp_path / "bag", arm_rows(), "mcap")
    metadata = folder / "metadata.yaml"
    text = metadata.read_text()
    metadata.write_text(text.replace("message_count: 40", "message_count: 41"))
    (problem,) = told(RosDataset(folder))
    assert "stream /joints: counts 41 messages, the files hold 40" in problem

    metadata.write_text(text.replace("- bag.mcap", "- ../../bag.mcap\n  - bag_1.mcap"))
    write_mcap(folder / "stray.mcap", arm_rows())
    problems = "\n".join(told(RosDataset(folder)))
    assert "bag_1.mcap" in problems and "not in the folder" in problems
    assert "stray.mcap" in problems and "not named by metadata.yaml" in problems
    assert len(RosDataset(folder)[0].streams) == 3

    for broken in ("rosbag2_bagfile_information: [", "rosbag2_bagfile_information: 3", "a: !!x b"):
        metadata.write_text("# rosbag2_bagfile_information\n" + broken)
        problems = "\n".join(told(RosDataset(folder)))
        assert "metadata.yaml" in problems
    metadata.write_text(
        "rosbag2_bagfile_information: !!python/object/apply:os.system ['touch hacked']"
    )
    assert any("cannot be read" in problem for problem in told(RosDataset(folder)))
    assert not Path("hacked").exists()


def test_named_files_that_are_all_missing(tmp_path: Path) -> None:
    folder = write_bag(tmp_path / "bag", arm_rows())
    (folder / "bag.db3").unlink()
    with pytest.raises(CorruptFileError, match=r"metadata\.yaml.*none of the storage files"):
        RosDataset(folder)[0]
    assert len(told(RosDataset(folder))) >= 2


def test_pictures_stay_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 300, 3), dtype=np.uint8)
    data = encoded(noise, "JPEG")
    rows = [Row("/camera", compressed(at, data), at) for at in range(200)]
    path = write_mcap(tmp_path / "long.mcap", rows, chunk_size=200_000)
    assert path.stat().st_size > 7_000_000
    read = []
    original = McapFile.read
    monkeypatch.setattr(
        McapFile, "read", lambda self, where: read.append(where) or original(self, where)
    )
    tracemalloc.start()
    stream = RosDataset(path)[0].streams["/camera"]
    assert tracemalloc.get_traced_memory()[1] < 3_000_000
    tracemalloc.stop()
    assert len(read) == 1  # the first picture gives the shape
    stream.values[[7, 150]]
    assert len(read) == 3
