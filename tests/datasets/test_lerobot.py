"""LeRobot folders that are whole: made here, real, and made by the official writer."""

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
from lerobot_folder import (
    CAMERA,
    LENGTHS,
    RATE_HZ,
    add_feature,
    change_info,
    data_file,
    feature,
    make_folder,
    places,
    rows_of,
    write_table,
)

from robocache.core.errors import (
    ConfigError,
    CorruptFileError,
    MissingStreamError,
)
from robocache.datasets.lerobot import LeRobotDataset


@pytest.fixture
def root(tmp_path) -> Path:
    return make_folder(tmp_path)


def test_a_whole_folder(root):
    dataset = LeRobotDataset(root)
    assert dataset.name == "pick" and len(dataset) == 3 and list(dataset.problems()) == []
    assert dataset.keys() == ["episode_000000", "episode_000001", "episode_000002"]
    for index, episode in enumerate(dataset):
        episode.check()
        rows = rows_of(index)
        assert sorted(episode.streams) == ["action", CAMERA, "observation.state"]
        state, action = episode.stream("observation.state"), episode.stream("action")
        np.testing.assert_array_equal(state.values, rows["observation.state"].astype(np.float32))
        np.testing.assert_array_equal(action.values, rows["action"].astype(np.float32))
        np.testing.assert_array_equal(state.times_s, np.arange(LENGTHS[index]) / RATE_HZ)
        assert state.available_s is None and episode.stream(CAMERA).available_s is None
        np.testing.assert_allclose(action.available_s, action.times_s + 0.08)
        assert state.spec.clock == "synthetic" and state.spec.rate_hz == RATE_HZ
        means = episode.stream(CAMERA).values[:].mean(axis=(1, 2, 3))
        np.testing.assert_allclose(means, 20 + 20 * np.arange(LENGTHS[index]), atol=4)
        assert episode.instruction == f"task {index % 2}"
        assert episode.outcome.steps == LENGTHS[index] and episode.outcome.success is None
        assert episode.provenance.source == data_file(root, index).relative_to(root).as_posix()
    assert dataset[-1].key == dataset["episode_000002"].key == "episode_000002"
    with pytest.raises(IndexError):
        dataset[3]
    with pytest.raises(ConfigError, match="did you mean 'episode_00000"):
        dataset["episode_00007"]


def test_report_says_what_is_stored(root):
    add_feature(root, "observation.depth", feature("video", 8, 8, 1))
    report = LeRobotDataset(root).report()
    assert report["format"] == "lerobot v2.1" and report["fps"] == RATE_HZ
    assert report["episodes"] == 3 and report["frames"] == sum(LENGTHS)
    state = report["streams"]["observation.state"]
    assert state["stored_as"].startswith("list<") and "double" in state["stored_as"]
    assert state["dtype"] == "float32" and state["shape"] == [5]
    assert state["clock"] == "synthetic" and state["rate_hz"] == RATE_HZ
    assert report["not_read"] == ["observation.depth"]
    assert report["tasks"] == {"0": "task 0", "1": "task 1"}
    json.dumps(report)


def test_fingerprint_follows_the_content(root, tmp_path):
    first = LeRobotDataset(root).fingerprint
    moved = root.rename(tmp_path / "elsewhere")
    assert LeRobotDataset(moved).fingerprint == first
    rows = rows_of(1)
    rows["action"][3, 1] += 1e-3
    write_table(data_file(moved, 1), rows)
    assert LeRobotDataset(moved).fingerprint != first


def test_episodes_may_be_sent_to_another_process(root):
    episode = LeRobotDataset(root)[0]
    copy = pickle.loads(pickle.dumps(episode))
    np.testing.assert_array_equal(copy.stream(CAMERA).values[5], episode.stream(CAMERA).values[5])


def test_folders_and_keys_of_the_wild(root):
    (root / "videos").rename(root / "video")
    for index in range(3):
        rows = rows_of(index)
        rows["state"], rows["actions"] = rows.pop("observation.state"), rows.pop("action")
        del rows["frame_index"]
        write_table(data_file(root, index), rows)
    info = json.loads((root / "meta" / "info.json").read_text())
    features = info["features"]
    features["state"], features["actions"] = (
        features.pop("observation.state"),
        features.pop("action"),
    )
    del features["frame_index"]
    change_info(root, features=features)
    dataset = LeRobotDataset(root)
    assert list(dataset.problems()) == []
    episode = dataset[0]
    assert sorted(episode.streams) == ["actions", CAMERA, "state"]
    assert len(episode.stream(CAMERA)) == LENGTHS[0]
    np.testing.assert_allclose(episode.stream("actions").available_s[0], 0.08)


def test_fixed_size_lists_and_float32_read_the_same(root):
    before = LeRobotDataset(root)[0].stream("action").values
    rows = rows_of(0)
    columns = {name: pa.array(list(values)) for name, values in rows.items()}
    flat = pa.array(rows["action"].astype(np.float32).ravel())
    columns["action"] = pa.FixedSizeListArray.from_arrays(flat, 3)
    pq.write_table(pa.table(columns), data_file(root, 0), row_group_size=4)
    np.testing.assert_array_equal(LeRobotDataset(root)[0].stream("action").values, before)


def test_matrices_scalars_and_flags(root):
    add_feature(root, "observation.pose", feature("float32", 2, 2))
    add_feature(root, "next.done", feature("bool", 1))
    add_feature(root, "next.reward", feature("float32", 1))
    add_feature(root, "note", feature("string", 1))
    for index, count in enumerate(LENGTHS):
        rows = rows_of(index)
        rows["observation.pose"] = np.arange(count * 4.0).reshape(count, 2, 2).tolist()
        rows["next.done"] = np.arange(count) == count - 1
        rows["next.reward"] = np.full(count, 0.5)
        rows["note"] = ["x"] * count
        write_table(data_file(root, index), rows)
    dataset = LeRobotDataset(root)
    assert list(dataset.problems()) == []
    episode = dataset[1]
    assert episode.stream("observation.pose").values[1].tolist() == [[4, 5], [6, 7]]
    assert episode.stream("next.done").values.dtype == bool
    assert episode.stream("next.done").available_s[0] == pytest.approx(0.08)
    assert episode.outcome.reward == 0.5 * LENGTHS[1]
    assert "note" not in episode.streams and dataset.report()["not_read"] == ["note"]


def png(level: int) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="image2pipe") as container:
        stream = container.add_stream("png", rate=1)
        stream.height, stream.width, stream.pix_fmt = 8, 10, "rgb24"
        frame = np.full((8, 10, 3), level, np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def test_images_in_a_column(root):
    add_feature(root, "wrist", feature("image", 8, 10, 3))
    (root / "images").mkdir()
    (root / "images/0.png").write_bytes(png(77))
    for index, count in enumerate(LENGTHS):
        cells = [{"bytes": png(10 * k), "path": "x.png"} for k in range(count)]
        cells[4] = {"bytes": None, "path": "images/0.png"}
        if index == 1:
            cells[0] = {"bytes": b"not an image", "path": "x.png"}
        write_table(data_file(root, index), {**rows_of(index), "wrist": cells})
    dataset = LeRobotDataset(root)
    images = dataset[0].stream("wrist").values
    assert images.shape == (9, 8, 10, 3)
    assert images[[2, -1, 4]][:, 3, 3, 1].tolist() == [20, 80, 77]
    assert pickle.loads(pickle.dumps(images))[3].max() == 30
    assert places(dataset) == [(CorruptFileError, "episode_000001", "wrist")]


MODALITY = {
    "state": {"arm": {"start": 0, "end": 3}, "hand": {"start": 3, "end": 5, "absolute": True}},
    "action": {"all": {"start": 0, "end": 3, "original_key": "action"}},
    "video": {"ego": {"original_key": CAMERA}, "front": {}},
    "annotation": {"human.task": {"original_key": "task_index"}},
}


def test_modality_parts(root):
    (root / "meta/modality.json").write_text(json.dumps(MODALITY))
    dataset = LeRobotDataset(root)
    assert list(dataset.problems()) == []
    episode = dataset[1]
    episode.check()
    whole = episode.stream("observation.state").values
    np.testing.assert_array_equal(episode.stream("state.hand").values, whole[:, 3:])
    np.testing.assert_array_equal(
        episode.stream("action.all").available_s, episode.stream("action").available_s
    )
    np.testing.assert_array_equal(
        episode.stream("video.ego").values[2], episode.stream("video.front").values[2]
    )
    labels = episode.stream("annotation.human.task").values
    assert [dataset.tasks[k] for k in labels[:, 0].tolist()] == ["task 1"] * LENGTHS[1]


def test_real_gr1(shared_data):
    dataset = LeRobotDataset(shared_data / "gr1_lerobot_v20")
    assert [e.outcome.steps for e in dataset] == [416, 470, 470, 412, 328]
    episode = dataset[0]
    episode.check(finite=False)
    assert episode.instruction == "pick the squash from the counter and place it in the plate"
    assert episode.stream("observation.state").spec.shape == (44,)
    path = shared_data / "gr1_lerobot_v20" / episode.provenance.source
    stored = np.stack(pq.read_table(path)["action"].to_pylist()).astype(np.float32)
    np.testing.assert_array_equal(episode.stream("action.waist").values, stored[:, 41:44])
    assert episode.stream("video.ego_view").spec.shape == (256, 256, 3)
    np.testing.assert_array_equal(episode.stream("action").times_s, np.arange(416) / 20)
    told = sorted((type(p), p.stream) for p in dataset.problems() if p.stream)
    assert told == [(MissingStreamError, "observation.images.egoview")]
    assert "total_videos is 2" in str(next(iter(dataset.problems())))


def test_real_video_frames_by_index(shared_data):
    folder = shared_data / "gr1_lerobot_v20"
    frames = LeRobotDataset(folder)[4].stream("video.ego_view").values
    wanted = [0, 5, 327, 249, 250, 251, 3]
    path = folder / "videos/chunk-000/observation.images.ego_view/episode_000004.mp4"
    with av.open(str(path)) as container:
        decoded = {
            k: frame.to_ndarray(format="rgb24")
            for k, frame in enumerate(container.decode(video=0))
            if k in wanted
        }
    np.testing.assert_array_equal(frames[wanted], np.stack([decoded[k] for k in wanted]))


def test_written_by_lerobot(shared_data):
    dataset = LeRobotDataset(shared_data / "lerobot_v21_written")
    assert list(dataset.problems()) == [] and len(dataset) == 4
    episode = dataset[3]
    assert len(episode.stream("action")) == 23 and episode.instruction == "task 1"
    assert episode.stream("observation.images.front").values[22].shape == (128, 160, 3)
    assert episode.stream("observation.images.wrist").values[:].std() > 0


def test_real_g1_with_most_files_missing(shared_data):
    dataset = LeRobotDataset(shared_data / "unitree_g1_lerobot_v21")
    assert dataset.keys() == ["episode_000001", "episode_000002", "episode_000004"]
    camera = "observation.images.cam_high"
    assert [camera in episode.streams for episode in dataset] == [True, False, False]
    problems = list(dataset.problems())
    absent = [p for p in problems if "no Parquet file" in p.problem]
    videos = [p.episode for p in problems if p.stream == camera]
    assert len(absent) == 97 and videos == ["episode_000002", "episode_000004"]
    assert len(problems) == 97 + 2 + 1
