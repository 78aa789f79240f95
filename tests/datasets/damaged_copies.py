"""Small datasets of each format, and damage to one of their episodes that reading it finds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import calvin_folder
import hdf5_demos
import lerobot_folder
import lerobot_v3_folder
import numpy as np
import pyarrow.parquet as pq
import recordings
import rlds_writer
import ros_bags

from robocache.datasets import write_shard
from robocache.datasets.hdf5 import close_files


class Case(NamedTuple):
    """How a dataset is written below a folder and damaged; which episode, and what is said then."""

    write: Callable[[Path], Path]
    damage: Callable[[Path], None]
    key: str
    reason: str


def flip(path: Path, at: int) -> None:
    """Change a byte."""
    data = bytearray(path.read_bytes())
    data[at] ^= 0x5A
    path.write_bytes(data)


def write_episodes(folder: Path) -> Path:
    folder = folder / "demos"
    folder.mkdir()
    random = np.random.default_rng(0)
    made = [recordings.episode(random, f"e{number}") for number in range(4)]
    write_shard(folder / "0.episodes.parquet", made[:3])
    write_shard(folder / "1.episodes.parquet", made[3:])
    return folder


def flip_in_row(shard: Path, row: int, column: str) -> None:
    """Damage an episode of a shard; the index at its end stays whole."""
    group = pq.ParquetFile(shard).metadata.row_group(row)
    (chunk,) = (
        one
        for one in map(group.column, range(group.num_columns))
        if one.path_in_schema.startswith(column)
    )
    flip(shard, chunk.data_page_offset + chunk.total_compressed_size - 3)


def write_hdf5(folder: Path) -> Path:
    return hdf5_demos.write(folder / "lift.hdf5")


def flip_picture(path: Path, demo: str) -> None:
    """Damage the first packed pictures of a demonstration, which are met when they are decoded."""
    close_files()
    with hdf5_demos.h5py.File(path) as file:
        chunk = file[f"data/{demo}/obs/front_image"].id.get_chunk_info(0)
    flip(path, chunk.byte_offset + chunk.size // 2)


def write_calvin(folder: Path) -> Path:
    return calvin_folder.write(folder / "validation", ((100, 104), (105, 107), (108, 110)))


def write_ros(folder: Path) -> Path:
    folder = folder / "bags"
    folder.mkdir()
    for name in ("a", "b", "c"):
        ros_bags.write_mcap(folder / f"{name}.mcap", ros_bags.arm_rows(12))
    return folder


def cut_picture(path: Path) -> None:
    """Write a bag again, a picture of it not whole: the bag is, and its first picture."""
    rows = ros_bags.arm_rows(12)
    places = [at for at, row in enumerate(rows) if row.topic == "/camera"]
    row = rows[places[1]]
    cut = ros_bags.compressed(20_000_000, bytes(row.message.data)[:60])
    rows[places[1]] = row._replace(message=cut)
    ros_bags.write_mcap(path / "b.mcap", rows)


def no_video(path: Path) -> None:
    path.write_bytes(b"no video")


CASES = {
    "episodes": Case(
        write_episodes,
        lambda path: flip_in_row(path / "0.episodes.parquet", 1, "state/values"),
        "e1",
        "row group 1 is damaged",
    ),
    "lerobot v2": Case(
        lerobot_folder.make_folder,
        lambda path: no_video(lerobot_folder.video_file(path, 1)),
        "episode_000001",
        "not a readable video",
    ),
    "lerobot v3": Case(
        lerobot_v3_folder.make_v3,
        lambda path: no_video(lerobot_v3_folder.video_file(path, lerobot_v3_folder.SIDE, 2)),
        "episode_000002",
        "not a readable video",
    ),
    "rlds": Case(
        rlds_writer.simple_dataset,
        lambda path: flip(rlds_writer.shard_file(path, count=2), 500),
        "train/000000",
        "does not match its checksum",
    ),
    "hdf5": Case(
        write_hdf5,
        lambda path: flip_picture(path, "demo_1"),
        "demo_1",
        "front_image",
    ),
    "calvin": Case(
        write_calvin,
        lambda path: (path / "episode_0000106.npz").write_bytes(b"PK"),
        "play_0000105_0000107",
        "episode_0000106.npz",
    ),
    "ros": Case(write_ros, cut_picture, "b", "picture 1"),
}
