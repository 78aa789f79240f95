"""Damaged LeRobot v3.0 folders: each fault is told with its file, episode and stream."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from lerobot_folder import add_feature, change_info, feature, places
from lerobot_v3_folder import (
    FRONT,
    FRONT_BEFORE,
    LENGTHS,
    RATE_HZ,
    SIDE,
    SIDE_BEFORE,
    data_file,
    level,
    listing,
    make_v3,
    rows_of,
    video_file,
    write_data,
    write_levels,
    write_listing,
)

from robocache.core.errors import (
    CorruptFileError,
    MissingStreamError,
    NonFiniteError,
    ShapeError,
    TimesError,
)
from robocache.datasets.lerobot import LeRobotDataset

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n"
EPISODE = [f"episode_{k:06d}" for k in range(4)]


@pytest.fixture
def root(tmp_path) -> Path:
    return make_v3(tmp_path)


def told(root: Path) -> list[str]:
    return [str(problem) for problem in LeRobotDataset(root).problems()]


def test_missing_files_are_told_once(root):
    data_file(root, 0).unlink()
    video_file(root, SIDE, 2).unlink()
    dataset = LeRobotDataset(root)
    assert dataset.keys() == EPISODE[2:]
    assert SIDE not in dataset[0].streams and SIDE in dataset[1].streams
    assert told(root) == [
        f"file {data_file(root, 0)}: missing; it should hold 2 episodes, 0..1",
        f"file {video_file(root, SIDE, 2)}, stream {SIDE}: missing; it should hold episode 2",
    ]
    for number in (0, 1, 3):
        video_file(root, SIDE, number).unlink()
    assert (MissingStreamError, None, SIDE) in places(LeRobotDataset(root))


def test_pointers_of_git_lfs_are_named(root):
    data_file(root, 0).write_bytes(POINTER)
    video_file(root, SIDE, 3).write_bytes(POINTER)
    dataset = LeRobotDataset(root)
    for key in (EPISODE[1], EPISODE[3]):
        with pytest.raises(CorruptFileError, match="Git LFS pointer, not the data"):
            dataset[key]
    assert dataset[2].key == EPISODE[2]
    (root / "meta/episodes/chunk-000/file-000.parquet").write_bytes(POINTER)
    dataset = LeRobotDataset(root)
    assert len(dataset) == 0 and any("Git LFS" in str(p) for p in dataset.problems())


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_truncated_files_are_named(root):
    cut(data_file(root, 0))
    cut(video_file(root, SIDE, 2))
    dataset = LeRobotDataset(root)
    with pytest.raises(CorruptFileError, match="not a readable Parquet file") as caught:
        dataset[1]
    assert caught.value.file == str(data_file(root, 0)) and caught.value.episode == EPISODE[1]
    with pytest.raises(CorruptFileError, match="video") as caught:
        dataset[2]
    assert caught.value.file == str(video_file(root, SIDE, 2)) and caught.value.stream == SIDE
    assert {(e, s) for _, e, s in places(dataset)} == {
        (None, None),
        (EPISODE[0], None),
        (EPISODE[1], None),
        (EPISODE[2], SIDE),
    }


def test_frames_that_are_not_where_the_listing_says(root):
    changed = listing()
    begins = f"videos/{FRONT}/from_timestamp"
    changed[begins][3] = (FRONT_BEFORE[3] + 2) / RATE_HZ
    write_listing(root, changed)
    with pytest.raises(TimesError, match=r"is frames 27\.\.32 .* the file has 30") as caught:
        LeRobotDataset(root)[3]
    assert caught.value.file == str(video_file(root, FRONT, 0)) and caught.value.stream == FRONT
    changed[begins][3] = float("nan")
    write_listing(root, changed)
    assert FRONT not in LeRobotDataset(root)[3].streams
    assert "names no file and time of it" in " ".join(told(root))


def test_a_frame_that_was_dropped_is_found_by_the_times(root):
    grey = [0] * SIDE_BEFORE[1] + [level(SIDE, 1, k) for k in range(LENGTHS[1])] + [0, 0]
    path = video_file(root, SIDE, 1)
    write_levels(path, grey, skip=4)
    with pytest.raises(TimesError, match=r"frame 2 should be at 0\.3200 s .* is at 0\.4000 s"):
        LeRobotDataset(root)[1]
    assert (TimesError, EPISODE[1], SIDE) in places(LeRobotDataset(root))


def test_a_listing_that_does_not_fit_the_rows(root):
    changed = listing()
    changed["length"][1] = 4
    changed["dataset_from_index"][2] = 16
    changed[f"videos/{SIDE}/to_timestamp"][0] = 3.0
    write_listing(root, changed)
    problems = told(root)
    for text in (
        "total_frames is 27, but there are 25",
        f"episode {EPISODE[1]}: meta/episodes gives 4 frames, the file has 6 rows",
        f"episode {EPISODE[2]}, stream index: index must count from dataset_from_index 16",
        f"episode {EPISODE[0]}, stream {SIDE}: meta/episodes gives it 0..3 s",
    ):
        assert any(text in problem for problem in problems), text
    assert len(problems) == 4


def test_listings_with_holes(root):
    changed = listing()
    changed["episode_index"] = [0, 1, 1, None]
    write_listing(root, changed)
    dataset = LeRobotDataset(root)
    assert dataset.keys() == EPISODE[:2]
    problems = told(root)
    assert any("missing, or not a number from 0, in row 3" in p for p in problems)
    assert any("episode 1: lists it more than once" in p for p in problems)
    assert any("2 episodes are not listed in meta/episodes" in p for p in problems)
    (root / "meta/tasks.parquet").unlink()
    (root / "meta/episodes/chunk-000/file-000.parquet").unlink()
    dataset = LeRobotDataset(root)
    assert len(dataset) == 0 and dataset.report()["episodes"] == 0
    files = {problem.file for problem in dataset.problems()}
    assert {str(root / "meta/episodes"), str(root / "meta/tasks.parquet")} <= files


def test_rows_that_are_wrong(root):
    rows = rows_of(1)
    rows["action"][2, 0] = np.nan
    rows["task_index"][:] = 7
    write_data(data_file(root, 0), [rows_of(0), rows])
    with pytest.raises(NonFiniteError, match="row 2 is NaN") as caught:
        LeRobotDataset(root)[1]
    assert caught.value.episode == EPISODE[1] and caught.value.stream == "action"
    assert places(LeRobotDataset(root)) == [
        (NonFiniteError, EPISODE[1], "action"),
        (CorruptFileError, EPISODE[1], None),
    ]
    first, second = rows_of(0), rows_of(1)
    mixed = {
        name: np.concatenate([first[name][:4], second[name], first[name][4:]]) for name in first
    }
    write_data(data_file(root, 0), [mixed])
    with pytest.raises(CorruptFileError, match="its rows are not together"):
        LeRobotDataset(root)[0]


def test_wrong_labels_are_told(root):
    add_feature(root, FRONT, {**feature("video", 48, 32, 3), "info": {"video.codec": "av1"}})
    add_feature(root, "observation.effort", feature("float32", 2))
    problems = places(LeRobotDataset(root))
    assert problems.count((CorruptFileError, EPISODE[0], FRONT)) == 0
    assert sum(kind is ShapeError and stream == FRONT for kind, _, stream in problems) == 4
    assert sum(stream == "observation.effort" for _, _, stream in problems) == 4
    codec = [p for p in LeRobotDataset(root).problems() if "codec" in p.problem]
    assert len(codec) == 1 and "'av1', the file is 'mpeg4'" in codec[0].problem


@pytest.mark.parametrize(
    "template",
    [
        "../../etc/{chunk_index}",
        "/etc/{file_index}",
        "{chunk_index:0999999999d}",
        "{chunk_index.__class__}",
        "{nothing}",
        "{chunk_index!r}",
        "{",
    ],
)
def test_paths_that_lead_elsewhere_are_refused(root, template):
    change_info(root, data_path=template)
    with pytest.raises(CorruptFileError, match="the path") as caught:
        LeRobotDataset(root)
    assert caught.value.file == str(root / "meta/info.json")


def test_what_this_package_keeps_is_checked(root):
    change_info(root, robocache={"streams": {"action": {"shape": 3}}})
    with pytest.raises(CorruptFileError, match="'robocache' is damaged"):
        LeRobotDataset(root)
    change_info(root, robocache=None)
    write_listing(root, {**listing(), "robocache/episode": [json.dumps({"outcome": 3})] * 4})
    with pytest.raises(CorruptFileError, match="keeps of its outcome"):
        LeRobotDataset(root)[0]
    assert len(list(LeRobotDataset(root).problems())) == 4
