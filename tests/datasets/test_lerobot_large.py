"""Folders of a thousand episodes: opening reads the metadata, a window the files it needs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import lerobot_folder
import lerobot_v3_folder
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from opened_files import OpenedFiles

from robocache.core import StreamInput, Window
from robocache.datasets import WindowTable, file_digests, open_dataset

EPISODES = 1000
META_V2 = {"meta/info.json", "meta/episodes.jsonl", "meta/tasks.jsonl"}
META_V3 = {"meta/info.json", "meta/tasks.parquet", "meta/episodes/chunk-000/file-000.parquet"}


def read_window(dataset, number: int, camera: str) -> np.ndarray:
    """Pictures of one window in the middle of an episode."""
    window = Window((StreamInput(camera),), "action", lerobot_folder.RATE_HZ, 2)
    table = WindowTable([dataset[number]], window)
    return table.batch(np.array([len(table) // 2])).values[camera].numpy()


@pytest.fixture(scope="module")
def large_v2(tmp_path_factory) -> Path:
    """v2.1: a Parquet file and a video for each episode, all of them copies of one."""
    root = lerobot_folder.make_folder(tmp_path_factory.mktemp("large"))
    count = lerobot_folder.LENGTHS[0]
    for number in range(1, EPISODES):
        for file in (lerobot_folder.data_file, lerobot_folder.video_file):
            file(root, number).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file(root, 0), file(root, number))
    told = [{"episode_index": n, "tasks": ["pick"], "length": count} for n in range(EPISODES)]
    lerobot_folder.write_lines(root / "meta" / "episodes.jsonl", told)
    return root


def test_a_window_of_v2_opens_its_two_files(large_v2):
    with OpenedFiles(large_v2) as opened:
        dataset = open_dataset(large_v2)
        assert len(dataset) == EPISODES
        assert opened.since() == META_V2
        read_window(dataset, 700, lerobot_folder.CAMERA)
        files = (lerobot_folder.data_file, lerobot_folder.video_file)
        assert opened.since() == {str(f(large_v2, 700).relative_to(large_v2)) for f in files}
        dataset[701]
        assert len(opened.since()) == 2


@pytest.fixture(scope="module")
def large_v3(tmp_path_factory) -> Path:
    """v3.0: a hundred episodes in each Parquet file; every episode is at one place of a video."""
    root = lerobot_v3_folder.make_v3(tmp_path_factory.mktemp("large"))
    count, per_file = lerobot_v3_folder.LENGTHS[0], 100
    told = lerobot_v3_folder.listing()
    listed = {name: [values[0]] * EPISODES for name, values in told.items()}
    numbers = np.arange(EPISODES)
    listed["episode_index"] = numbers.tolist()
    listed["length"] = [count] * EPISODES
    listed["data/file_index"] = (numbers // per_file).tolist()
    listed["dataset_from_index"] = (numbers * count).tolist()
    listed["dataset_to_index"] = ((numbers + 1) * count).tolist()
    lerobot_v3_folder.write_listing(root, listed)
    rows = lerobot_v3_folder.rows_of(0)
    for file in range(EPISODES // per_file):
        members = [
            {**rows, "episode_index": np.full(count, n), "index": n * count + np.arange(count)}
            for n in range(file * per_file, (file + 1) * per_file)
        ]
        columns = {n: pa.array([v for m in members for v in list(m[n])]) for n in rows}
        pq.write_table(pa.table(columns), lerobot_v3_folder.data_file(root, file))
    return root


def test_a_window_of_v3_opens_the_files_that_hold_it(large_v3):
    front, side = lerobot_v3_folder.FRONT, lerobot_v3_folder.SIDE
    with OpenedFiles(large_v3) as opened:
        dataset = open_dataset(large_v3)
        assert len(dataset) == EPISODES
        assert opened.since() == META_V3
        read_window(dataset, 312, front)
        wanted = [lerobot_v3_folder.data_file(large_v3, 3)]
        wanted += [lerobot_v3_folder.video_file(large_v3, camera, 0) for camera in (front, side)]
        assert opened.since() == {str(path.relative_to(large_v3)) for path in wanted}


def test_the_fingerprint_reads_only_what_changed(large_v2, tmp_path, monkeypatch):
    monkeypatch.setenv("ROBOCACHE_HOME", str(tmp_path))
    whole = open_dataset(large_v2).fingerprint
    assert open_dataset(large_v2).fingerprint == whole  # nothing settled yet, all was read again

    monkeypatch.setattr(file_digests, "_SETTLED_NS", 0)
    assert open_dataset(large_v2).fingerprint == whole
    with OpenedFiles(large_v2) as opened:
        assert open_dataset(large_v2).fingerprint == whole
        assert opened.since() == META_V2
        changed = lerobot_folder.data_file(large_v2, 5)
        before = changed.read_bytes()
        changed.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))  # the same size
        opened.since()
        other = open_dataset(large_v2).fingerprint
        assert other != whole
        assert opened.since() == META_V2 | {str(changed.relative_to(large_v2))}
        changed.write_bytes(before)
        assert open_dataset(large_v2).fingerprint == whole

    (kept,) = (tmp_path / "cache" / "indexes").glob("digests-*.json")
    for damaged in (b"", b"[]", json.dumps({"a": 1}).encode(), kept.read_bytes()[:-7]):
        kept.write_bytes(damaged)
        assert open_dataset(large_v2).fingerprint == whole
