"""Type definitions: a file's own, those that cannot be used, and none at all."""

import sqlite3
import sys
from pathlib import Path

import numpy as np
import pytest
from mcap.writer import Writer
from ros_bags import START_NS, Row, joints, write_bag
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from robocache.datasets.ros import RosDataset


def test_types_of_ones_own(tmp_path: Path) -> None:
    """A type only the file knows: nested, bounded, with constants, defaults and odd alignment."""
    inner = "uint8 MODE=3\nuint8 mode 3 # a default\nfloat64[2] pair\n"
    outer = "# mine\nmine/Inner inner\nbool flag\nint16[<=4] steps\nstring<=9 word\nint64 last\n"
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg(inner, "mine/msg/Inner"))
    store.register(get_types_from_msg(outer, "mine/msg/Outer"))
    message = store.types["mine/msg/Outer"](
        inner=store.types["mine/msg/Inner"](mode=7, pair=np.array([0.25, 0.5])),
        flag=True,
        steps=np.array([1, -2, 3], np.int16),
        word="odd",
        last=-5,
    )
    path = tmp_path / "own.mcap"
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start()
        definition = f"{outer}{'=' * 80}\nMSG: mine/Inner\n{inner}"
        schema = writer.register_schema("mine/msg/Outer", "ros2msg", definition.encode())
        channel = writer.register_channel("/mine", "cdr", schema)
        for little in (True, False):
            data = bytes(store.serialize_cdr(message, "mine/msg/Outer", little_endian=little))
            writer.add_message(channel, START_NS + little, data, START_NS + little)
        writer.finish()
    dataset = RosDataset(path)
    found = dataset[0].streams
    np.testing.assert_array_equal(found["/mine"].values[:], [[7, 1, -5]] * 2)
    assert dataset.report()["streams"]["/mine"]["fields"] == ["inner.mode", "flag", "last"]
    np.testing.assert_array_equal(found["/mine/inner.pair"].values[:], [[0.25, 0.5]] * 2)
    np.testing.assert_array_equal(found["/mine/steps"].values[:], [[1, -2, 3]] * 2)
    assert dataset.report()["topics"]["/mine"]["left_out"] == ["word"]


@pytest.mark.parametrize(
    ("definition", "why"),
    [
        ("mine/Loop again", "contains itself"),
        ("mine/Loop[] again", "contains itself"),
        ("mine/Absent part", "not defined"),
        ("wstring words", "wstring"),
        ("float64 a; import os", "not a field"),
        ("float64[99999999999999999999] a", "not a field"),
        ("float64 a\nfloat64 b", "too short"),
        ("uint8 a", "bytes more"),
        ("\n".join(f"mine/Part p{n}" for n in range(200)), "more than 10000 fields"),
    ],
)
def test_definitions_that_cannot_be_used(tmp_path: Path, definition: str, why: str) -> None:
    path = tmp_path / "own.mcap"
    part = "\n".join(f"float64 x{n}" for n in range(100))
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start()
        parts = f"{definition}\n{'=' * 80}\nMSG: mine/Part\n{part}"
        schema = writer.register_schema("mine/msg/Loop", "ros2msg", parts.encode())
        channel = writer.register_channel("/mine", "cdr", schema)
        writer.add_message(channel, START_NS, b"\0\1\0\0" + bytes(8), START_NS)
        writer.finish()
    dataset = RosDataset(path)
    assert not dataset[0].streams
    assert why in dataset.report()["not_read"]["/mine"]


def test_sqlite_without_definitions_uses_the_standard_types(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_bag(tmp_path / "old", [Row("/joints", joints(0, [1, 2]), 0)])
    database = sqlite3.connect(folder / "old.db3")
    database.execute("DELETE FROM message_definitions")
    database.execute("INSERT INTO topics VALUES (9, '/own', 'mine/msg/Own', 'cdr', '', '')")
    database.execute("INSERT INTO messages VALUES (9, 9, 5, x'0001000000000000')")
    database.commit()
    database.close()
    dataset = RosDataset(folder)
    np.testing.assert_array_equal(dataset[0].streams["/joints/position"].values[:], [[1, 2]])
    assert "not one of the standard types" in dataset.report()["not_read"]["/own"]
    monkeypatch.setitem(sys.modules, "rosbags.typesys", None)
    dataset = RosDataset(folder)
    assert not dataset[0].streams
    assert "pip install 'robocache[ros]'" in dataset.report()["not_read"]["/joints"]
