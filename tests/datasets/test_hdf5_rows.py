"""Samples read straight from the bytes of an HDF5 file, against h5py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robocache.core.errors import CorruptFileError
from robocache.datasets.hdf5 import close_files
from robocache.datasets.hdf5.frames import Hdf5Frames
from robocache.datasets.hdf5.rows import KEPT_OPEN, opened_rows, plain_rows

h5py = pytest.importorskip("h5py")

PICTURES = np.random.default_rng(0).integers(0, 255, (9, 5, 4, 3), dtype=np.uint8)
DEPTH = np.random.default_rng(1).uniform(0.5, 2, (9, 5, 4, 1)).astype(np.float32)


def _write(path: Path, arrays: dict[str, np.ndarray], userblock: int = 0, **options: Any) -> Path:
    close_files()
    with h5py.File(path, "w", userblock_size=userblock) as file:
        for name, array in arrays.items():
            file.create_dataset(f"data/demo_0/{name}", data=array, **options)
    return path


def _frames(path: Path, name: str, like: np.ndarray, **options: Any) -> Hdf5Frames:
    return Hdf5Frames(path, ("data", "demo_0", name), like.shape, like.dtype, **options)


@pytest.mark.parametrize(
    ("options", "plain"),
    [
        ({}, True),
        ({"userblock": 512}, True),
        ({"chunks": (2, 5, 4, 1)}, False),
        ({"compression": "gzip", "shuffle": True}, False),
        ({"fletcher32": True}, False),
    ],
)
def test_the_same_from_bytes_and_library(tmp_path: Path, options: Any, plain: bool) -> None:
    path = _write(tmp_path / "a.hdf5", {"rgb": PICTURES, "depth": DEPTH}, **options)
    with h5py.File(path) as file:
        assert (plain_rows(file, file["data/demo_0/rgb"]) is not None) == plain
    for name, expected in (("rgb", PICTURES), ("depth", DEPTH)):
        frames = _frames(path, name, expected)
        for index in (
            slice(None),
            slice(2, 7),
            [3],
            [8, 0, 1, 2, 8, 5],
            np.array([[4, 3], [3, 3]]),
        ):
            np.testing.assert_array_equal(frames[index], expected[index])
        np.testing.assert_array_equal(frames[4], expected[4])
        assert frames[[]].shape == (0, *expected.shape[1:])
        turned = _frames(path, name, expected, reverse_rows=True)
        np.testing.assert_array_equal(turned[[1, 2]], expected[[1, 2], ::-1])


@pytest.mark.parametrize("dtype", [">f4", ">u2", np.bool_, np.float16])
def test_every_kind_of_number(tmp_path: Path, dtype: Any) -> None:
    stored = (DEPTH * 7).astype(dtype)
    path = _write(tmp_path / "a.hdf5", {"x": stored})
    with h5py.File(path) as file:
        plain = plain_rows(file, file["data/demo_0/x"])
    assert (plain is None) == (np.dtype(dtype).byteorder == ">")
    frames = _frames(path, "x", stored)[[8, 1]]
    np.testing.assert_array_equal(frames, stored[[8, 1]])
    assert frames.dtype.isnative


def test_values_kept_elsewhere_are_not_read_as_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        outside = [(str(tmp_path / "b"), 0, h5py.h5f.UNLIMITED)]
        file.create_dataset("data/demo_0/rgb", data=PICTURES, external=outside)
    with h5py.File(path) as file:
        assert plain_rows(file, file["data/demo_0/rgb"]) is None
    with pytest.raises(CorruptFileError, match="kept in other files"):
        _frames(path, "rgb", PICTURES)[0]


def test_a_file_that_changed(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.hdf5", {"rgb": PICTURES})
    frames = _frames(path, "rgb", PICTURES)
    np.testing.assert_array_equal(frames[3], PICTURES[3])
    _write(path, {"rgb": PICTURES[::-1], "more": DEPTH})
    np.testing.assert_array_equal(frames[3], PICTURES[5])
    for changed in (PICTURES[:, :4], PICTURES.astype(np.uint16), PICTURES[:3]):
        _write(path, {"rgb": changed})
        with pytest.raises(CorruptFileError, match=r"frames 3..4 cannot be read \(.*stored"):
            frames[3:5]
    _write(path, {"other": PICTURES})
    with pytest.raises(CorruptFileError, match="'rgb' is gone"):
        frames[3]


def test_bytes_that_are_not_there(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.hdf5", {"rgb": PICTURES})
    with opened_rows(path) as rows:
        out = np.empty((1, *PICTURES.shape[1:]), np.uint8)
        rows.read(("data", "demo_0", "rgb"), 0, out)
        with path.open("r+b") as file:  # cut while it is open
            file.truncate(2100)
        with pytest.raises(CorruptFileError, match=r"frames 8..8 .*the file ends at byte"):
            rows.read(("data", "demo_0", "rgb"), 8, out)
    close_files()


def test_only_a_few_compressed_datasets_stay_open(tmp_path: Path) -> None:
    names = [f"rgb{number}" for number in range(3 * KEPT_OPEN)]
    path = _write(tmp_path / "a.hdf5", dict.fromkeys(names, PICTURES), compression="gzip")
    for _ in range(2):
        for name in names:
            np.testing.assert_array_equal(_frames(path, name, PICTURES)[2:4], PICTURES[2:4])
    with opened_rows(path) as rows:
        assert 0 < h5py.h5f.get_obj_count(rows.file.id, h5py.h5f.OBJ_DATASET) <= KEPT_OPEN
