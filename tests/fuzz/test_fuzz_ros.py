"""Altered bags: MCAP in all its compressions, SQLite, packed files, and metadata.yaml."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from fuzzing import FEW, MANY, Target, fuzz, require_typed
from mutations import Random, altered, altered_yaml
from ros_bags import Row, arm_rows, header, make, quaternion, text, vector, write_bag, write_mcap

TIMES = [FEW, pytest.param(MANY, marks=pytest.mark.stress)]
BAG = "bag.mcap"


def rows() -> list[Row]:
    """Joints, JPEG, transforms, a raw picture and words."""
    transform = make(
        "geometry_msgs/msg/Transform", translation=vector(1, 2, 3), rotation=quaternion(0, 0, 0, 1)
    )
    stamped = make(
        "geometry_msgs/msg/TransformStamped",
        header=header(5, "base"),
        child_frame_id="hand",
        transform=transform,
    )
    picture = make(
        "sensor_msgs/msg/Image",
        header=header(6),
        height=2,
        width=2,
        encoding="rgb8",
        is_bigendian=0,
        step=6,
        data=np.arange(12, dtype=np.uint8),
    )
    frames = make("tf2_msgs/msg/TFMessage", transforms=[stamped])
    return [
        *arm_rows(9),
        Row("/tf", frames, 5),
        Row("/raw", picture, 6),
        Row("/task", text("lift"), 7),
    ]


def packed(content: bytes) -> bytes:
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, "zstd") as stream:
        stream.write(content)
    return out.getvalue().to_pybytes()


def altered_inside(whole: bytes, random: Random) -> bytes:
    """A compressed file that unpacks to an altered one."""
    with pa.CompressedInputStream(pa.BufferReader(whole), "zstd") as stream:
        return packed(altered(stream.read(), random))


@pytest.mark.parametrize("times", TIMES)
def test_altered_bags(tmp_path: Path, times: int) -> None:
    root = tmp_path / "ros"
    folders = {name: root / name for name in ("chunks", "messages", "zstd", "lz4", "packed")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    plain = {"enable_crcs": False, "enable_data_crcs": False}
    write_mcap(folders["chunks"] / BAG, rows(), enable_crcs=False)
    write_mcap(folders["messages"] / BAG, rows(), use_chunking=False, **plain)
    write_mcap(folders["zstd"] / BAG, rows(), "zstd", enable_crcs=False)
    write_mcap(folders["lz4"] / BAG, rows(), "lz4")
    content = (folders["messages"] / BAG).read_bytes()
    (folders["packed"] / f"{BAG}.zstd").write_bytes(packed(content))
    write_bag(root / "sqlite", rows())
    write_bag(root / "bag", rows(), "mcap")
    targets = [
        Target(BAG, altered, "chunks"),
        *[Target(BAG, altered, "messages")] * 3,
        Target(BAG, altered, "zstd"),
        Target(BAG, altered, "lz4"),
        Target(f"{BAG}.zstd", altered, "packed"),
        Target(f"{BAG}.zstd", altered_inside, "packed"),
        *[Target("sqlite.db3", altered, "sqlite")] * 2,
        *[Target("metadata.yaml", altered_yaml, "bag")] * 2,
    ]
    counts = fuzz("ros", root, targets, times)
    require_typed(counts, times)
