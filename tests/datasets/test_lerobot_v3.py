"""LeRobot v3.0 folders that are whole: as the lerobot package and as third parties write them."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lerobot_folder import add_feature, change_info, feature
from lerobot_v3_folder import (
    FRONT,
    LENGTHS,
    RATE_HZ,
    SIDE,
    data_file,
    level,
    listing,
    make_v3,
    rows_of,
    video_file,
    write_data,
    write_listing,
)
from PIL import Image

from robocache.core.errors import CorruptFileError
from robocache.datasets import columns, open_dataset, video
from robocache.datasets.lerobot import LeRobotDataset


@pytest.fixture
def root(tmp_path) -> Path:
    return make_v3(tmp_path)


def test_a_third_party_folder(root):
    dataset = open_dataset(root)
    assert isinstance(dataset, LeRobotDataset)
    assert dataset.keys() == [f"episode_{k:06d}" for k in range(4)]
    assert list(dataset.problems()) == []
    for index, episode in enumerate(dataset):
        episode.check()
        rows, count = rows_of(index), LENGTHS[index]
        assert sorted(episode.streams) == ["action", FRONT, SIDE, "observation.state"]
        for name in ("observation.state", "action"):
            expected = rows[name].astype(np.float32)
            np.testing.assert_array_equal(episode.stream(name).values, expected)
        np.testing.assert_array_equal(episode.stream(SIDE).times_s, np.arange(count) / RATE_HZ)
        np.testing.assert_allclose(
            episode.stream("action").available_s, (np.arange(count) + 1) / RATE_HZ
        )
        assert episode.stream("action").spec.clock == "synthetic"
        for camera in (FRONT, SIDE):
            means = episode.stream(camera).values[:].mean(axis=(1, 2, 3))
            expected = [level(camera, index, k) for k in range(count)]
            np.testing.assert_allclose(means, expected, atol=2.4)
        assert episode.instruction == f"task {index % 2}"
        assert episode.provenance.index == index and episode.outcome.steps == count
    report = dataset.report()
    assert report["format"] == "lerobot v3.0" and report["fps"] == RATE_HZ
    assert report["frames"] == sum(LENGTHS) and "synthetic" in report["times"]
    assert "list<" in report["streams"]["action"]["stored_as"]


def test_one_episode_opens_only_its_files(root, monkeypatch):
    dataset = LeRobotDataset(root)
    opened = []
    read, decode = columns.pq.ParquetFile, video.av.open

    def note(path, *args, **kwargs):
        opened.append(Path(str(path)).relative_to(root).as_posix())
        return (read if str(path).endswith(".parquet") else decode)(path, *args, **kwargs)

    monkeypatch.setattr(columns.pq, "ParquetFile", note)
    monkeypatch.setattr(av, "open", note)
    episode = dataset[2]
    episode.stream(SIDE).values[3]
    side, front = (video_file(root, c, k).relative_to(root) for c, k in ((SIDE, 2), (FRONT, 0)))
    data = data_file(root, 1).relative_to(root)
    assert set(opened) == {side.as_posix(), front.as_posix(), data.as_posix()}


def test_large_row_groups_are_read_in_pieces(root, monkeypatch):
    dataset = LeRobotDataset(root)
    before = [episode.stream("action").values for episode in dataset]
    monkeypatch.setattr(columns, "KEPT_BYTES", 0)
    for episode, expected in zip(LeRobotDataset(root), before, strict=True):
        np.testing.assert_array_equal(episode.stream("action").values, expected)


def test_files_in_other_places(root):
    (root / "videos").rename(root / "video")
    (root / "data").rename(root / "parquet")
    dataset = LeRobotDataset(root)
    assert list(dataset.problems()) == [] and len(dataset) == 4
    assert dataset[3].stream(SIDE).values[4].mean() == pytest.approx(level(SIDE, 3, 4), abs=2.4)


def test_without_episode_index_the_listing_counts(root):
    for number, members in ((0, (0, 1)), (1, (2, 3))):
        parts = [rows_of(k) for k in members]
        for rows in parts:
            del rows["episode_index"]
        write_data(data_file(root, number), parts)
    info = json.loads((root / "meta/info.json").read_text())
    del info["features"]["episode_index"]
    change_info(root, features=info["features"])
    dataset = LeRobotDataset(root)
    assert list(dataset.problems()) == []
    np.testing.assert_array_equal(
        dataset[3].stream("action").values, rows_of(3)["action"].astype(np.float32)
    )


def test_modality_and_tasks_of_the_rows(root):
    (root / "meta/modality.json").write_text(
        json.dumps(
            {
                "state": {"hand": {"start": 3, "end": 5}},
                "video": {"ego": {"original_key": FRONT}},
                "annotation": {"task": {"original_key": "task_index"}},
            }
        )
    )
    told = listing()
    del told["tasks"]
    write_listing(root, told)
    dataset = LeRobotDataset(root)
    assert list(dataset.problems()) == []
    episode = dataset[1]
    assert episode.instruction == "task 1"
    whole = episode.stream("observation.state").values
    np.testing.assert_array_equal(episode.stream("state.hand").values, whole[:, 3:])
    assert episode.stream("annotation.task").values[:, 0].tolist() == [1] * LENGTHS[1]
    np.testing.assert_array_equal(
        episode.stream("video.ego").values[2], episode.stream(FRONT).values[2]
    )


def picture(index: int, frame: int, kind: str) -> bytes:
    pixels = np.random.default_rng([index, frame]).integers(0, 255, (8, 10, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=kind, quality=90)
    return buffer.getvalue()


def test_pictures_in_columns_equal_pillow(root):
    add_feature(root, "wrist", feature("image", 8, 10, 3))
    (root / "images").mkdir()
    (root / "images/0.jpg").write_bytes(picture(9, 9, "jpeg"))
    for number, members in ((0, (0, 1)), (1, (2, 3))):
        parts = []
        for k in members:
            kind = "png" if k % 2 else "jpeg"
            cells = [{"bytes": picture(k, f, kind), "path": "x"} for f in range(LENGTHS[k])]
            if k == 3:
                cells[1] = {"bytes": None, "path": "images/0.jpg"}
                cells[2] = {"bytes": None, "path": "../outside.jpg"}
            parts.append({**rows_of(k), "wrist": cells})
        write_data(data_file(root, number), parts)
    dataset = LeRobotDataset(root)
    for k in range(4):
        frames = dataset[k].stream("wrist").values
        assert frames.shape == (LENGTHS[k], 8, 10, 3)
        for frame in (0, 4):
            data = picture(k, frame, "png" if k % 2 else "jpeg")
            np.testing.assert_array_equal(frames[frame], np.asarray(Image.open(io.BytesIO(data))))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(frames))[4], frames[4])
    named = np.asarray(Image.open(root / "images/0.jpg"))
    np.testing.assert_array_equal(frames[1], named)
    with pytest.raises(CorruptFileError, match="outside the dataset") as caught:
        frames[2]
    assert caught.value.file == str(data_file(root, 1)) and caught.value.stream == "wrist"


def test_fingerprint_follows_the_content(root, tmp_path):
    first = LeRobotDataset(root).fingerprint
    moved = root.rename(tmp_path / "elsewhere")
    assert LeRobotDataset(moved).fingerprint == first
    rows = rows_of(3)
    rows["action"][3, 1] += 1e-3
    write_data(data_file(moved, 1), [rows_of(2), rows])
    assert LeRobotDataset(moved).fingerprint != first


def test_written_by_lerobot(shared_data):
    folder = shared_data / "lerobot_v30_written"
    dataset = LeRobotDataset(folder)
    assert list(dataset.problems()) == [] and len(dataset) == 4
    table = pq.read_table(folder / "data/chunk-000/file-000.parquet")
    with av.open(str(folder / f"videos/{FRONT}/chunk-000/file-000.mp4")) as container:
        decoded = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    rows = 0
    for index, episode in enumerate(dataset):
        mine = table.filter(pa.compute.equal(table["episode_index"], index))
        for name in ("observation.state", "action"):
            expected = np.array(mine[name].to_pylist(), np.float32)
            np.testing.assert_array_equal(episode.stream(name).values, expected)
        wrist = episode.stream("observation.images.wrist").values
        cells = mine["observation.images.wrist"].to_pylist()
        expected = np.stack([np.asarray(Image.open(io.BytesIO(c["bytes"]))) for c in cells])
        np.testing.assert_array_equal(wrist[:], expected)
        front = episode.stream(FRONT).values
        np.testing.assert_array_equal(front[:], np.stack(decoded[rows : rows + len(mine)]))
        rows += len(mine)
        assert episode.instruction == f"task {index % 2}" or index
    assert rows == len(decoded) == 86


def test_both_versions_hold_the_same_kind_of_content(shared_data):
    old = LeRobotDataset(shared_data / "lerobot_v21_written")
    new = LeRobotDataset(shared_data / "lerobot_v30_written")
    assert old.keys() == new.keys() and old.tasks == new.tasks
    for before, after in zip(old, new, strict=True):
        assert before.instruction == after.instruction
        assert sorted(before.streams) == sorted(after.streams)
        for name, stream in before.streams.items():
            other = after.stream(name)
            assert stream.spec == other.spec and len(stream) == len(other)
            np.testing.assert_array_equal(stream.times_s, other.times_s)
            np.testing.assert_array_equal(stream.usable_s(), other.usable_s())


def test_the_same_numbers_as_version_21_gave(shared_data):
    old = LeRobotDataset(shared_data / "lerobot_v21_written")[0].stream("observation.state")
    new = LeRobotDataset(shared_data / "lerobot_v30_written")[0].stream("observation.state")
    np.testing.assert_array_equal(old.values, new.values)
