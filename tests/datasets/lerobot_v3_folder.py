"""A small LeRobot v3.0 folder as third parties make them: one row group, lists, own video times."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from lerobot_folder import feature

RATE_HZ = 12.5
LENGTHS = (9, 6, 7, 5)
FRONT, SIDE = "observation.images.front", "observation.images.side"
FILES = (0, 0, 1, 1)  # Parquet file of each episode
# Frames that lie in each camera's file before an episode begins; the side camera has a file each.
FRONT_BEFORE = (3, 12, 18, 25)
SIDE_BEFORE = (0, 2, 1, 4)


def level(camera: str, episode: int, frame: int) -> int:
    """Grey level of a frame, different for all."""
    return 10 + 60 * episode + 5 * frame + (2 if camera == SIDE else 0)


def rows_of(episode: int) -> dict[str, np.ndarray]:
    count = LENGTHS[episode]
    random = np.random.default_rng(episode)
    return {
        "observation.state": random.normal(size=(count, 5)),
        "action": random.normal(size=(count, 3)),
        "timestamp": (np.arange(count) / RATE_HZ).astype(np.float32),
        "frame_index": np.arange(count),
        "episode_index": np.full(count, episode),
        "index": np.arange(count) + sum(LENGTHS[:episode]),
        "task_index": np.full(count, episode % 2),
    }


def write_data(path: Path, episodes: list[dict[str, Any]]) -> None:
    """All rows as lists, in one row group."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = episodes[0]
    columns = {n: pa.array([v for rows in episodes for v in list(rows[n])]) for n in names}
    pq.write_table(pa.table(columns), path)


def write_levels(path: Path, levels: list[int], skip: int | None = None) -> None:
    """A video of grey frames; frame `skip` and all after it come one period late."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "mpeg4", rate=int(2 * RATE_HZ), options={"g": "4", "qmin": "1", "qmax": "2", "b": "4M"}
        )
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        stream.codec_context.time_base = 1 / stream.codec_context.framerate
        for k, grey in enumerate(levels):
            frame = av.VideoFrame.from_ndarray(np.full((32, 48, 3), grey, np.uint8), format="rgb24")
            frame.pts = 2 * (k + (skip is not None and k >= skip))
            frame.time_base = stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def listing() -> dict[str, list[Any]]:
    """Columns of meta/episodes."""
    firsts = [sum(LENGTHS[:k]) for k in range(4)]
    told: dict[str, list[Any]] = {
        "episode_index": [0, 1, 2, 3],
        "tasks": [[f"task {k % 2}"] for k in range(4)],
        "length": list(LENGTHS),
        "data/chunk_index": [0] * 4,
        "data/file_index": list(FILES),
        "dataset_from_index": firsts,
        "dataset_to_index": [a + n for a, n in zip(firsts, LENGTHS, strict=True)],
    }
    for camera, before, files in ((FRONT, FRONT_BEFORE, [0] * 4), (SIDE, SIDE_BEFORE, range(4))):
        told[f"videos/{camera}/chunk_index"] = [0] * 4
        told[f"videos/{camera}/file_index"] = list(files)
        told[f"videos/{camera}/from_timestamp"] = [b / RATE_HZ for b in before]
        told[f"videos/{camera}/to_timestamp"] = [
            (b + n) / RATE_HZ for b, n in zip(before, LENGTHS, strict=True)
        ]
    return told


def write_listing(root: Path, told: dict[str, list[Any]]) -> None:
    path = root / "meta/episodes/chunk-000/file-000.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(told), path)


def data_file(root: Path, number: int) -> Path:
    return root / f"data/chunk-000/file-{number:03d}.parquet"


def video_file(root: Path, camera: str, number: int) -> Path:
    return root / f"videos/{camera}/chunk-000/file-{number:03d}.mp4"


def make_v3(parent: Path) -> Path:
    """Four whole episodes in two Parquet files; one front video, four side videos."""
    root = parent / "third"
    write_data(data_file(root, 0), [rows_of(0), rows_of(1)])
    write_data(data_file(root, 1), [rows_of(2), rows_of(3)])
    front = [0] * FRONT_BEFORE[0]
    for episode, count in enumerate(LENGTHS):
        front += [level(FRONT, episode, k) for k in range(count)]
        side = [0] * SIDE_BEFORE[episode] + [level(SIDE, episode, k) for k in range(count)]
        write_levels(video_file(root, SIDE, episode), [*side, 0])
    write_levels(video_file(root, FRONT, 0), front)
    info = {
        "codebase_version": "v3.0",
        "robot_type": "arm",
        "total_episodes": 4,
        "total_frames": sum(LENGTHS),
        "total_tasks": 2,
        "chunks_size": 1000,
        "fps": RATE_HZ,
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        "features": {
            "observation.state": feature("float32", 5),
            "action": feature("float32", 3),
            FRONT: feature("video", 32, 48, 3),
            SIDE: feature("video", 32, 48, 3),
            "timestamp": feature("float32", 1),
            "frame_index": feature("int64", 1),
            "episode_index": feature("int64", 1),
            "index": feature("int64", 1),
            "task_index": feature("int64", 1),
        },
    }
    (root / "meta").mkdir()
    (root / "meta/info.json").write_text(json.dumps(info))
    write_listing(root, listing())
    tasks = {"task_index": [0, 1], "task": ["task 0", "task 1"]}
    pq.write_table(pa.table(tasks), root / "meta/tasks.parquet")
    return root
