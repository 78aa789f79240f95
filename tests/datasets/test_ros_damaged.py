"""Altered bags: whatever is in them, they give typed errors, or an episode that is sound."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ros_bags import Row, arm_rows, header, make, quaternion, text, vector, write_bag, write_mcap

from robocache.core.errors import DataError, RoboCacheError
from robocache.datasets.ros import RosDataset


def rows() -> list[Row]:
    transform = make(
        "geometry_msgs/msg/Transform", translation=vector(1, 2, 3), rotation=quaternion(0, 0, 0, 1)
    )
    frames = make(
        "tf2_msgs/msg/TFMessage",
        transforms=[
            make(
                "geometry_msgs/msg/TransformStamped",
                header=header(5, "base"),
                child_frame_id="hand",
                transform=transform,
            )
        ],
    )
    image = make(
        "sensor_msgs/msg/Image",
        header=header(6),
        height=2,
        width=2,
        encoding="rgb8",
        is_bigendian=0,
        step=6,
        data=np.arange(12, dtype=np.uint8),
    )
    more = [Row("/tf", frames, 5), Row("/raw", image, 6), Row("/task", text("lift"), 7)]
    return [*arm_rows(12), *more]


def unchecked(path: Path) -> Path:
    """Without CRCs, so that what is altered is not found out at once."""
    return write_mcap(path, rows(), enable_crcs=False)


SEEDS: dict[str, Callable[[Path], Path]] = {
    "mcap": unchecked,
    "mcap_messages": lambda path: write_mcap(
        path, rows(), enable_crcs=False, use_chunking=False, enable_data_crcs=False
    ),
    "mcap_zstd": lambda path: write_mcap(path, rows(), "zstd"),
    "mcap_lz4": lambda path: write_mcap(path, rows(), "lz4", enable_crcs=False),
    "sqlite": lambda path: next(write_bag(path.with_suffix(""), rows()).glob("*.db3")),
    "metadata": lambda path: write_bag(path.with_suffix(""), rows(), "mcap") / "metadata.yaml",
}


def altered(data: bytes, generator: np.random.Generator) -> bytes:
    """A copy with bytes flipped, set to extremes, cut out, repeated, or cut off."""
    out = bytearray(data)
    for _ in range(int(generator.integers(1, 6))):
        at = int(generator.integers(len(out)))
        kind = int(generator.integers(6))
        size = int(generator.integers(1, 40))
        if kind == 0:
            out[at] ^= 1 << int(generator.integers(8))
        elif kind == 1:
            out[at : at + 1] = generator.bytes(1)
        elif kind == 2:
            out[at : at + 8] = (b"\xff" * 8, b"\0" * 8, b"\x7f" * 8)[size % 3][: len(out) - at]
        elif kind == 3:
            del out[at : at + size]
        elif kind == 4:
            out[at:at] = out[at : at + size]
        elif generator.random() < 0.3:
            del out[at:]
        out = out or bytearray(1)
    return bytes(out)


def read_all(path: Path) -> int:
    """1: an episode; 0: refused by a typed error. Its streams are sound, its pictures decode."""
    try:
        dataset = RosDataset(path)
        problems = list(dataset.problems())
        assert all(isinstance(problem, DataError) for problem in problems)
        dataset.report()
        episode = dataset[0]
    except RoboCacheError:
        return 0
    for name, stream in episode.streams.items():
        stream.check(finite=False)
        try:
            stream.values[:]
        except DataError as error:
            located = (error.stream, error.file is not None)
            if located != (name, True):
                raise AssertionError(f"not located: {error}") from error
    return 1


def alter_and_read(tmp_path: Path, kind: str, count: int, seed: int) -> int:
    path = SEEDS[kind](tmp_path / "bag.mcap")
    data = path.read_bytes()
    assert read_all(path.parent if kind == "metadata" else path) == 1
    good = 0
    for number in range(count):
        path.write_bytes(altered(data, np.random.default_rng([seed, number])))
        good += read_all(path.parent if kind == "metadata" else path)
    return good


@pytest.mark.parametrize("kind", SEEDS)
def test_altered_bags(tmp_path: Path, kind: str) -> None:
    good = alter_and_read(tmp_path, kind, 50, seed=1)
    assert good < 50


@pytest.mark.stress
@pytest.mark.parametrize("kind", SEEDS)
def test_altered_bags_many(tmp_path: Path, kind: str) -> None:
    assert alter_and_read(tmp_path, kind, 10_000 // len(SEEDS) + 1, seed=2) < 1668
