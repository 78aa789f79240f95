"""A small LeRobot v2.1 folder made on the spot, and ways to change it."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from robocache.datasets.lerobot import LeRobotDataset

RATE_HZ = 12.5
LENGTHS = (9, 6, 7)
CAMERA = "observation.images.front"


def rows_of(index: int) -> dict[str, np.ndarray]:
    count = LENGTHS[index]
    rng = np.random.default_rng(index)
    return {
        "observation.state": rng.normal(size=(count, 5)),
        "action": rng.normal(size=(count, 3)),
        "timestamp": (np.arange(count) / RATE_HZ).astype(np.float32),
        "frame_index": np.arange(count),
        "episode_index": np.full(count, index),
        "index": np.arange(count) + sum(LENGTHS[:index]),
        "task_index": np.full(count, index % 2),
    }


def write_table(path: Path, rows: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({name: pa.array(list(values)) for name, values in rows.items()}), path)


def write_video(path: Path, count: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10, options={"g": "4"})
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        for k in range(count):
            frame = np.full((32, 48, 3), 20 + 20 * k, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def feature(dtype: str, *shape: int) -> dict:
    return {"dtype": dtype, "shape": list(shape), "names": None}


def write_lines(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def data_file(root: Path, index: int) -> Path:
    return root / f"data/chunk-{index // 2:03d}/episode_{index:06d}.parquet"


def video_file(root: Path, index: int, folder: str = "videos") -> Path:
    return root / f"{folder}/chunk-{index // 2:03d}/{CAMERA}/episode_{index:06d}.mp4"


def make_folder(parent: Path) -> Path:
    """Three whole episodes in two chunks, with state, action and a camera."""
    root = parent / "pick"
    meta = root / "meta"
    meta.mkdir(parents=True)
    for index, count in enumerate(LENGTHS):
        write_table(data_file(root, index), rows_of(index))
        write_video(video_file(root, index), count)
    info = {
        "codebase_version": "v2.1",
        "robot_type": "arm",
        "total_episodes": 3,
        "total_frames": sum(LENGTHS),
        "total_tasks": 2,
        "total_videos": 3,
        "chunks_size": 2,
        "fps": RATE_HZ,
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/"
        "episode_{episode_index:06d}.mp4",
        "features": {
            "observation.state": feature("float32", 5),
            "action": feature("float32", 3),
            CAMERA: feature("video", 32, 48, 3),
            "timestamp": feature("float32", 1),
            "frame_index": feature("int64", 1),
            "episode_index": feature("int64", 1),
            "index": feature("int64", 1),
            "task_index": feature("int64", 1),
        },
    }
    (meta / "info.json").write_text(json.dumps(info))
    write_lines(
        meta / "episodes.jsonl",
        [
            {"episode_index": i, "tasks": [f"task {i % 2}"], "length": n}
            for i, n in enumerate(LENGTHS)
        ],
    )
    write_lines(meta / "tasks.jsonl", [{"task_index": i, "task": f"task {i}"} for i in range(2)])
    return root


def change_info(root: Path, **changes) -> None:
    path = root / "meta" / "info.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def add_feature(root: Path, name: str, entry: dict) -> None:
    info = json.loads((root / "meta" / "info.json").read_text())
    change_info(root, features={**info["features"], name: entry})


def places(dataset: LeRobotDataset) -> list[tuple]:
    """(error, episode, stream) of every problem, in order."""
    return [(type(p), p.episode, p.stream) for p in dataset.problems()]
