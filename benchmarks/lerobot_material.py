"""LeRobot folders to measure on: filmed ones with videos, and large ones of numbers alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from robocache.core import Episode, Stream, StreamSpec
from robocache.datasets.lerobot import LeRobotDataset, write_lerobot

FPS = 30
CAMERAS = ("observation.images.front", "observation.images.wrist")
HEIGHT, WIDTH = 480, 640


def write_filmed(folder: Path, episodes: int, frames: int) -> LeRobotDataset:
    """A v3.0 folder with two cameras as lerobot encodes them: AV1, a keyframe every 2 frames.

    Args:
        folder: must not exist.
        episodes: how many.
        frames: of the shortest episode; the next are 10, 20, ... longer.
    """
    made = (_episode(number, frames + 10 * number) for number in range(episodes))
    return write_lerobot(made, folder, fps=FPS, robot_type="arm")


def _episode(number: int, frames: int) -> Episode:
    random = np.random.default_rng(number)
    times = np.arange(frames) / FPS
    streams = {
        name: Stream(
            film(frames, seed=10 * number + camera),
            times,
            StreamSpec((HEIGHT, WIDTH, 3), "uint8", float(FPS)),
        )
        for camera, name in enumerate(CAMERAS)
    }
    for name, width in (("observation.state", 14), ("action", 7)):
        values = np.cumsum(random.normal(size=(frames, width)), axis=0).astype(np.float32)
        streams[name] = Stream(values, times, StreamSpec((width,), rate_hz=float(FPS)))
    return Episode(f"filmed/{number}", streams, f"put block {number} into the box")


def film(frames: int, seed: int) -> NDArray[np.uint8]:
    """(T, H, W, 3) a textured table, seen by a camera that sways, on which textured blocks move.

    Encoded by default a frame takes about 10 KiB, as those of real recordings of this size do.
    """
    random = np.random.default_rng(seed)
    table = _texture(random, HEIGHT + 40, WIDTH + 40, contrast=30.0)
    blocks = [_texture(random, int(h), int(w), contrast=45.0) for h, w in _sizes(random)]
    paths = random.uniform(0.0, 1.0, (len(blocks), 4))
    noise = random.normal(scale=1.0, size=(4, HEIGHT, WIDTH, 1)).astype(np.float32)
    out = np.empty((frames, HEIGHT, WIDTH, 3), np.uint8)
    for k in range(frames):
        sway = (20 + 18 * np.sin([k / 23, k / 31])).astype(int)
        picture = table[sway[0] : sway[0] + HEIGHT, sway[1] : sway[1] + WIDTH].copy()
        for block, (a, b, c, d) in zip(blocks, paths, strict=True):
            height, width = block.shape[:2]
            y = int((HEIGHT - height) * (0.5 + 0.5 * np.sin(6.3 * a + k / (20 + 40 * b))))
            x = int((WIDTH - width) * (0.5 + 0.5 * np.sin(6.3 * c + k / (20 + 40 * d))))
            picture[y : y + height, x : x + width] = block
        out[k] = np.clip(picture + noise[k % 4], 0, 255)
    return out


def _sizes(random: np.random.Generator) -> NDArray[np.int64]:
    return random.integers(60, 160, (5, 2))


def _texture(
    random: np.random.Generator, height: int, width: int, contrast: float
) -> NDArray[np.float32]:
    """(height, width, 3) colours whose power falls with the frequency, as in photographs."""
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    fall = 1.0 / np.maximum(np.hypot(fy, fx), 1.0 / max(height, width)) ** 1.5
    layers = []
    for _ in range(3):
        spectrum = np.fft.rfft2(random.normal(size=(height, width))) * fall
        layer = np.fft.irfft2(spectrum, s=(height, width))
        layers.append(random.uniform(80, 170) + contrast * (layer - layer.mean()) / layer.std())
    grey = sum(layers) / 3
    return np.stack([0.6 * grey + 0.4 * layer for layer in layers], axis=-1).astype(np.float32)


COLUMNS = {"observation.state": 7, "action": 7}
ROWS = 5
"""Of each episode of a large folder."""


def write_large_v2(root: Path, episodes: int) -> None:
    """A v2.1 folder of short episodes without cameras, with a Parquet file each."""
    meta = root / "meta"
    meta.mkdir(parents=True)
    listed = ({"episode_index": n, "tasks": ["push"], "length": ROWS} for n in range(episodes))
    (meta / "episodes.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in listed))
    (meta / "tasks.jsonl").write_text('{"task_index": 0, "task": "push"}\n')
    paths = {
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": None,
    }
    _write_info(root, "v2.1", episodes, paths)
    for number in range(episodes):
        path = root / f"data/chunk-{number // 1000:03d}/episode_{number:06d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(_rows(number), path)


def write_large_v3(root: Path, episodes: int, per_file: int = 1000) -> None:
    """A v3.0 folder of short episodes without cameras, a row group each."""
    for folder in ("meta/episodes/chunk-000", "data/chunk-000"):
        (root / folder).mkdir(parents=True)
    numbers = np.arange(episodes)
    listed = {
        "episode_index": numbers,
        "tasks": [["push"]] * episodes,
        "length": np.full(episodes, ROWS),
        "data/chunk_index": np.zeros(episodes, np.int64),
        "data/file_index": numbers // per_file,
        "dataset_from_index": numbers * ROWS,
        "dataset_to_index": (numbers + 1) * ROWS,
    }
    listed |= {
        f"stats/{name}/{kind}": [np.zeros(width)] * episodes
        for name, width in COLUMNS.items()
        for kind in ("min", "max", "mean", "std")
    }
    pq.write_table(pa.table(listed), root / "meta/episodes/chunk-000/file-000.parquet")
    tasks = pa.table({"task_index": [0], "__index_level_0__": ["push"]})
    pq.write_table(tasks, root / "meta/tasks.parquet")
    paths = {"data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"}
    _write_info(root, "v3.0", episodes, {**paths, "video_path": None})
    for file, members in enumerate(np.split(numbers, range(per_file, episodes, per_file))):
        path = root / f"data/chunk-000/file-{file:03d}.parquet"
        with pq.ParquetWriter(path, _rows(0).schema) as writer:
            for number in members.tolist():
                writer.write_table(_rows(number))


def _rows(number: int) -> pa.Table:
    count = np.arange(ROWS)
    columns = {
        name: pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(width * ROWS, "f4")), width)
        for name, width in COLUMNS.items()
    }
    return pa.table(
        {
            **columns,
            "timestamp": (count / FPS).astype("f4"),
            "frame_index": count,
            "episode_index": np.full(ROWS, number),
            "index": number * ROWS + count,
            "task_index": np.zeros(ROWS, np.int64),
        }
    )


def _write_info(root: Path, version: str, episodes: int, paths: dict[str, Any]) -> None:
    kinds = {"timestamp": "float32"} | dict.fromkeys(
        ("frame_index", "episode_index", "index", "task_index"), "int64"
    )
    features = {name: {"dtype": "float32", "shape": [n]} for name, n in COLUMNS.items()}
    features |= {name: {"dtype": kind, "shape": [1]} for name, kind in kinds.items()}
    info = {
        "codebase_version": version,
        "fps": FPS,
        "chunks_size": 1000,
        "total_episodes": episodes,
        "total_frames": episodes * ROWS,
        "features": features,
        **paths,
    }
    (root / "meta" / "info.json").write_text(json.dumps(info))
