"""Damaged LeRobot folders: each fault is told with its file, episode and stream."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from lerobot_folder import (
    CAMERA,
    LENGTHS,
    add_feature,
    change_info,
    data_file,
    feature,
    make_folder,
    places,
    rows_of,
    video_file,
    write_table,
    write_video,
)

from robocache.core.errors import (
    ConfigError,
    CorruptFileError,
    MissingStreamError,
    NonFiniteError,
    ShapeError,
    TimesError,
)
from robocache.datasets.columns import samples
from robocache.datasets.lerobot import LeRobotDataset


@pytest.fixture
def root(tmp_path) -> Path:
    return make_folder(tmp_path)


def test_modality_that_does_not_fit(root):
    wrong = {
        "state": {"arm": {"start": 3, "end": 6}},
        "action": {"x": {"start": 0, "end": 1, "original_key": "actions"}},
        "video": {"wrist": {}},
    }
    (root / "meta/modality.json").write_text(json.dumps(wrong))
    dataset = LeRobotDataset(root)
    with pytest.raises(ShapeError, match=r"takes 3\.\.6 of 'observation.state', which has 5"):
        dataset[0]
    expected = [
        (ShapeError, "state.arm"),
        (MissingStreamError, "action.x"),
        (MissingStreamError, "video.wrist"),
    ]
    assert [(p[0], p[2]) for p in places(dataset)] == expected * 3
    for text in ("{", '{"state": {"arm": {"start": 5, "end": 3}}}', '{"state": [1]}', "[]"):
        (root / "meta/modality.json").write_text(text)
        with pytest.raises(CorruptFileError, match=r"modality\.json"):
            LeRobotDataset(root)


def poison(name: str, row: int, value):
    def change(rows: dict) -> None:
        rows[name][row] = value

    return change


def shorten(rows: dict) -> None:
    rows["action"] = rows["action"][:, :2]


def one_longer_row(rows: dict) -> None:
    rows["action"] = [list(r) + [0.0] * (k == 2) for k, r in enumerate(rows["action"])]


def as_text(rows: dict) -> None:
    rows["action"] = ["left"] * len(rows["action"])


def hole(rows: dict) -> None:
    rows["action"] = [None if k == 3 else list(r) for k, r in enumerate(rows["action"])]


@pytest.mark.parametrize(
    ("change", "error", "stream", "message"),
    [
        (poison("action", (4, 1), np.nan), NonFiniteError, "action", "row 4 is NaN"),
        (poison("action", (0, 0), 1e300), NonFiniteError, "action", "row 0 is NaN or infinite"),
        (poison("timestamp", 3, 0.01), TimesError, "timestamp", "increase strictly: row 3"),
        (poison("timestamp", 3, np.nan), NonFiniteError, "timestamp", "row 3"),
        (poison("frame_index", 5, 7), TimesError, "frame_index", "must count .* row 5 holds 7"),
        (shorten, ShapeError, "action", r"expected samples of shape \(3,\), got 2 values"),
        (one_longer_row, ShapeError, "action", "row 2 holds 4 values, the first 3"),
        (as_text, ShapeError, "action", "expected numbers, got"),
        (hole, NonFiniteError, "action", "row 3 has no value"),
    ],
)
def test_bad_rows_are_named(root, change, error, stream, message):
    rows = rows_of(1)
    change(rows)
    write_table(data_file(root, 1), rows)
    dataset = LeRobotDataset(root)
    with pytest.raises(error, match=message) as caught:
        dataset["episode_000001"]
    assert caught.value.file == str(data_file(root, 1))
    assert caught.value.episode == "episode_000001" and caught.value.stream == stream
    assert dataset[0].key and dataset[2].key
    assert (error, "episode_000001", stream) in places(dataset)
    assert {episode for _, episode, _ in places(dataset)} == {"episode_000001"}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_truncated_files_are_named(root):
    cut(data_file(root, 0))
    cut(video_file(root, 2))
    dataset = LeRobotDataset(root)
    with pytest.raises(CorruptFileError, match="not a readable Parquet file") as caught:
        dataset[0]
    assert caught.value.file == str(data_file(root, 0))
    assert caught.value.episode == "episode_000000"
    with pytest.raises(CorruptFileError, match="video") as caught:
        dataset[2]
    assert caught.value.file == str(video_file(root, 2)) and caught.value.stream == CAMERA
    assert places(dataset) == [
        (CorruptFileError, "episode_000000", None),
        (CorruptFileError, "episode_000002", CAMERA),
    ]


def test_video_of_another_length(root):
    write_video(video_file(root, 1), LENGTHS[1] - 1)
    with pytest.raises(TimesError, match="5 frames, but its Parquet file has 6 rows") as caught:
        LeRobotDataset(root)[1]
    assert caught.value.file == str(video_file(root, 1)) and caught.value.stream == CAMERA


def test_everything_wrong_at_once_is_told(root):
    data_file(root, 0).unlink()
    video_file(root, 1).unlink()
    rows = rows_of(2)
    rows["action"][1, 0] = np.inf
    rows["timestamp"] = rows["timestamp"] * 3
    rows["task_index"][:] = 9
    write_table(data_file(root, 2), {name: values[:-1] for name, values in rows.items()})
    write_table(data_file(root, 7), rows_of(0))
    add_feature(root, "observation.images.ghost", feature("video", 4, 4, 3))
    add_feature(root, "observation.effort", feature("float32", 2))
    change_info(root, total_episodes=10, total_frames=1)
    with (root / "meta/episodes.jsonl").open("a") as file:
        file.write('{"episode_index": 3, "ta')
    dataset = LeRobotDataset(root)
    assert dataset.keys() == ["episode_000001", "episode_000002"]
    assert CAMERA not in dataset[0].streams
    with pytest.raises(MissingStreamError):
        dataset[0].stream(CAMERA)
    problems = [str(problem) for problem in dataset.problems()]
    expected = [
        "episodes.jsonl: line 4 is not an object",
        "total_episodes is 10, but there are 3",
        "total_frames is 1, but there are 22",
        "total_videos is 3, but there are 2",
        "stream observation.images.ghost: a video feature without a video in any episode",
        "episode_000007.parquet: not listed",
        "episode episode_000000: listed, but has no Parquet file",
        f"episode episode_000001, stream {CAMERA}: the video is missing",
        "episode episode_000001, stream observation.effort: declared in meta/info.json",
        "episode episode_000002, stream action: row 1 is NaN or infinite",
        f"episode episode_000002, stream {CAMERA}: 7 frames, but its Parquet file has 6 rows",
        "gives 7 frames, the file has 6 rows",
        "stream observation.effort: declared in meta/info.json",
        "stream timestamp: timestamps do not run at 12.5 Hz: row 1",
        "task_index ['9'] is not in meta/tasks.jsonl",
    ]
    for text in expected:
        assert any(text in problem for problem in problems), text
    assert len(problems) == len(expected)


def test_pictures_of_another_size_than_declared(root):
    add_feature(root, CAMERA, feature("video", 3, 32, 48))
    assert list(LeRobotDataset(root).problems()) == []
    add_feature(root, CAMERA, feature("video", 48, 32, 3))
    assert places(LeRobotDataset(root))[0] == (ShapeError, "episode_000000", CAMERA)


def test_without_lists_the_files_are_the_episodes(root):
    (root / "meta/episodes.jsonl").unlink()
    dataset = LeRobotDataset(root)
    assert len(dataset) == 3 and dataset[1].instruction == "task 1"
    assert [p.file for p in dataset.problems()] == [str(root / "meta/episodes.jsonl")]


def test_folders_that_cannot_be_read(root, tmp_path):
    with pytest.raises(ConfigError, match="not a LeRobot dataset"):
        LeRobotDataset(tmp_path)
    change_info(root, codebase_version="v1.6")
    with pytest.raises(ConfigError, match=r"version v1\.6; this reader takes v2\.0, v2\.1, v3\.0"):
        LeRobotDataset(root)
    change_info(root, codebase_version="v2.0", fps=0)
    with pytest.raises(CorruptFileError, match=r"info\.json: fps must be"):
        LeRobotDataset(root)
    change_info(root, fps=10, chunks_size="many")
    with pytest.raises(CorruptFileError, match="chunks_size"):
        LeRobotDataset(root)
    change_info(root, chunks_size=1000, data_path="{episode}.parquet")
    with pytest.raises(CorruptFileError, match="cannot be filled in"):
        LeRobotDataset(root)
    change_info(root, features={"action": {"dtype": "float32", "shape": ["x"]}})
    with pytest.raises(CorruptFileError, match="features must be"):
        LeRobotDataset(root)
    (root / "meta/info.json").write_text('{"codebase_version": "v2')
    with pytest.raises(CorruptFileError, match="not a JSON file"):
        LeRobotDataset(root)


def test_a_signalling_nan_is_named_without_a_warning():
    """Its cast to float32 makes numpy warn, which is an error where warnings are."""
    values = np.array([0x3FF0000000000000, 0x7FF0000000000001], np.uint64).view(np.float64)
    with pytest.raises(NonFiniteError, match="row 1 is NaN or infinite"):
        samples(pa.chunked_array([pa.array(values)]), (1,), np.float32)
