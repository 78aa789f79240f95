"""Bags written by the official libraries, for tests."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mcap.writer import CompressionType, Writer
from numpy.typing import NDArray
from PIL import Image
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as BagWriter
from rosbags.typesys import Stores, get_typestore

from robocache.datasets.ros import RosDataset

STORE = get_typestore(Stores.LATEST)
START_NS = 1_700_000_000_000_000_000
COMPRESSIONS = {
    "none": CompressionType.NONE,
    "lz4": CompressionType.LZ4,
    "zstd": CompressionType.ZSTD,
}


class Row(NamedTuple):
    """One message to write; times in nanoseconds after `START_NS`."""

    topic: str
    message: Any
    log_ns: int
    publish_ns: int | None = None


def make(kind: str, **fields: Any) -> Any:
    """A message of a standard type, e.g. make("geometry_msgs/msg/Point", x=1.0, y=2.0, z=3.0)."""
    return STORE.types[kind](**fields)


def header(stamp_ns: int | None, frame: str = "") -> Any:
    """A header; None: a stamp of zero."""
    sec, nanosec = (0, 0) if stamp_ns is None else divmod(START_NS + stamp_ns, 10**9)
    stamp = make("builtin_interfaces/msg/Time", sec=sec, nanosec=nanosec)
    return make("std_msgs/msg/Header", stamp=stamp, frame_id=frame)


def vector(x: float, y: float, z: float) -> Any:
    return make("geometry_msgs/msg/Vector3", x=x, y=y, z=z)


def point(x: float, y: float, z: float) -> Any:
    return make("geometry_msgs/msg/Point", x=x, y=y, z=z)


def quaternion(x: float, y: float, z: float, w: float) -> Any:
    return make("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w)


def joints(
    stamp_ns: int | None,
    position: Sequence[float],
    names: Sequence[str] = ("a", "b"),
    velocity: Sequence[float] = (),
) -> Any:
    return make(
        "sensor_msgs/msg/JointState",
        header=header(stamp_ns),
        name=list(names),
        position=np.array(position, np.float64),
        velocity=np.array(velocity, np.float64),
        effort=np.array([], np.float64),
    )


def number(value: float) -> Any:
    return make("std_msgs/msg/Float64", data=value)


def text(words: str) -> Any:
    return make("std_msgs/msg/String", data=words)


def compressed(stamp_ns: int | None, data: bytes, form: str = "rgb8; jpeg compressed bgr8") -> Any:
    return make(
        "sensor_msgs/msg/CompressedImage",
        header=header(stamp_ns, "camera"),
        format=form,
        data=np.frombuffer(data, np.uint8),
    )


def encoded(pixels: NDArray[Any], form: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, form)
    return out.getvalue()


def serialized(message: Any) -> bytes:
    return bytes(STORE.serialize_cdr(message, message.__msgtype__))


def write_mcap(
    path: Path,
    rows: Iterable[Row],
    compression: str = "none",
    chunk_size: int = 2000,
    **options: Any,
) -> Path:
    """A file by the official MCAP library; small chunks, so that there are several."""
    with path.open("wb") as file:
        writer = Writer(
            file, compression=COMPRESSIONS[compression], chunk_size=chunk_size, **options
        )
        writer.start("ros2", "test")
        channels: dict[str, int] = {}
        for count, row in enumerate(rows):
            kind = row.message.__msgtype__
            if row.topic not in channels:
                definition = STORE.generate_msgdef(kind, ros_version=2)[0].encode()
                schema = writer.register_schema(kind, "ros2msg", definition)
                channels[row.topic] = writer.register_channel(row.topic, "cdr", schema)
            publish_ns = row.log_ns if row.publish_ns is None else row.publish_ns
            writer.add_message(
                channels[row.topic],
                START_NS + row.log_ns,
                serialized(row.message),
                START_NS + publish_ns,
                count,
            )
        writer.finish()
    return path


def write_bag(
    folder: Path, rows: Iterable[Row], plugin: str = "sqlite3", **compression: Any
) -> Path:
    """A rosbag2 folder with metadata.yaml, by rosbags."""
    bag = BagWriter(folder, version=9, storage_plugin=StoragePlugin[plugin.upper()])
    if compression:
        bag.set_compression(**compression)
    with bag as writer:
        connections: dict[str, Any] = {}
        for row in rows:
            kind = row.message.__msgtype__
            if row.topic not in connections:
                connections[row.topic] = writer.add_connection(row.topic, kind, typestore=STORE)
            writer.write(connections[row.topic], START_NS + row.log_ns, serialized(row.message))
    return folder


def arm_rows(count: int = 40) -> list[Row]:
    """Joints at 100 Hz with 1 ms latency, and a camera of 16 x 24 pixels at 25 Hz."""
    rows = []
    for number_ in range(count):
        at = number_ * 10_000_000
        state = joints(at, [number_, 2.0 * number_], velocity=[0.5, -number_])
        rows.append(Row("/joints", state, at + 1_000_000))
        if number_ % 4 == 0:
            pixels = np.full((16, 24, 3), number_, np.uint8)
            rows.append(Row("/camera", compressed(at, encoded(pixels, "JPEG")), at + 5_000_000))
    return rows


def open_rows(tmp_path: Path, *rows: tuple[str, Any], **options: Any) -> RosDataset:
    """A bag of messages 10 ms apart."""
    timed = [Row(topic, message, at * 10_000_000) for at, (topic, message) in enumerate(rows)]
    return RosDataset(write_mcap(tmp_path / "bag.mcap", timed), **options)
