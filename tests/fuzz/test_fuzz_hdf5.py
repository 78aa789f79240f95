"""Altered HDF5 files: sound ones with odd contents, and damaged bytes."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path
from typing import Any

import hdf5_demos
import numpy as np
import pytest
from fuzzing import FEW, MANY, Target, fuzz, require_survived, require_typed
from mutations import ODD, OUTSIDE, Random, altered, altered_json

h5py = pytest.importorskip("h5py")

TIMES = [FEW, pytest.param(MANY, marks=pytest.mark.stress)]
FILE = "lift.hdf5"
_LEFT_OUT = ("front_depth", "cube", "object", "robot0_gripper")
_ATTRIBUTES = ("env_args", "env_info", "problem_info", "macros_image_convention", "num_demos",
               "repository_version", "model_file", "ep_meta")  # fmt: skip
_REFUSED = (TypeError, ValueError, OverflowError, OSError, RuntimeError, KeyError)
"""What HDF5 raises for changes that it cannot make."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "hdf5"
    folder.mkdir()
    drop = ("actions_abs", "action_dict", "dones", "next_obs", *(f"obs/{n}" for n in _LEFT_OUT))
    hdf5_demos.write(folder / FILE, (0, 1), drop=drop, masks={"train": ["demo_0"]})
    return folder


@pytest.mark.parametrize("times", TIMES)
def test_altered_demos(root: Path, times: int) -> None:
    counts = fuzz("hdf5 contents", root, [Target(FILE, altered_demos)], times)
    require_typed(counts, times)


@pytest.mark.parametrize("times", TIMES)
def test_altered_hdf5_bytes(root: Path, times: int) -> None:
    counts = fuzz("hdf5 bytes", root, [Target(FILE, altered)], times)
    require_survived(counts, times)


def altered_demos(whole: bytes, random: Random) -> bytes:
    """One to three groups, datasets or attributes taken away or replaced."""
    out = io.BytesIO(whole)
    with h5py.File(out, "r+") as file:
        for _ in range(random.choice((1, 1, 2, 3))):
            places: list[str] = []
            file.visit(places.append)
            if places:
                with suppress(*_REFUSED):
                    random.choice(_CHANGES)(file, random.choice(places), random)
    return out.getvalue()


def _remove(file: Any, place: str, random: Random) -> None:
    del file[place]


def _replace(file: Any, place: str, random: Random) -> None:
    del file[place]
    kind = random.choice(("f8", "f4", "u1", "i8", "?", "S3", "c16", "f2", ">i2"))
    shape = [(), (0,), (6,), (5, 3), (6, 3), (6, 0), (6, 2, 2), (6, 4, 4, 3), (7, 7)]
    file.create_dataset(place, shape=random.choice(shape), dtype=kind)


def _promise(file: Any, place: str, random: Random) -> None:
    """A large dataset of which nothing is stored."""
    del file[place]
    shape = random.choice(((2**40,), (6, 2**33), (2**20, 2**20), (6, 2**16, 2**16, 3)))
    file.create_dataset(place, shape=shape, dtype="f4", chunks=(1,) * len(shape))


def _poison(file: Any, place: str, random: Random) -> None:
    """NaN and other extremes among the values."""
    item = file[place]
    if isinstance(item, h5py.Dataset) and 0 < item.size < 2**16 and item.dtype.kind in "fiu":
        values = item[()]
        bad = (np.nan, np.inf, 0) if item.dtype.kind == "f" else (0, np.iinfo(item.dtype).max)
        values.reshape(-1)[random.randrange(values.size)] = random.choice(bad)
        item[...] = values


def _link(file: Any, place: str, random: Random) -> None:
    del file[place]
    links = (
        h5py.SoftLink("/data"),
        h5py.SoftLink(f"/{place}"),
        h5py.ExternalLink(random.choice(OUTSIDE[:2]), "/data"),
        h5py.HardLink(),
    )
    link = random.choice(links)
    file[place] = file["/"] if isinstance(link, h5py.HardLink) else link


def _attribute(file: Any, place: str, random: Random) -> None:
    """An attribute gone, with another JSON text, or of another type."""
    attributes = file[random.choice(("/", *list(file)[:1], place))].attrs
    name = random.choice([*attributes, *_ATTRIBUTES])
    before = attributes.get(name)
    value = random.choice((*ODD, *OUTSIDE, np.zeros((3, 3)), np.array([b"a", b"b"])))
    if isinstance(before, str) and random.random() < 0.6:
        value = altered_json(before.encode(), random).decode("utf-8", "replace")[:60000]
    attributes[name] = value


_CHANGES = (_remove, _replace, _replace, _promise, _poison, _link, _attribute, _attribute)
