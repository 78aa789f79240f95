"""HDF5 files that do not hold what they promise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hdf5_demos
import numpy as np
import pytest

from robocache.core.errors import (
    CorruptFileError,
    DataError,
    MissingStreamError,
    NonFiniteError,
    ShapeError,
    TimesError,
)
from robocache.datasets.hdf5 import RoboMimicDataset, close_files

h5py = pytest.importorskip("h5py")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return hdf5_demos.write(tmp_path / "lift.hdf5")


def told(path: Path, **options: Any) -> list[str]:
    return [str(problem) for problem in RoboMimicDataset(path, **options).problems()]


def edit(path: Path) -> Any:
    close_files()
    return h5py.File(path, "a")


def replace(path: Path, name: str, array: Any) -> None:
    with edit(path) as file:
        del file[name]
        file[name] = array


def test_not_a_file_to_read(path: Path, tmp_path: Path) -> None:
    whole = path.read_bytes()
    cases = {
        "truncated": whole[: len(whole) // 2],
        "empty": b"",
        "text": b"this is no HDF5 file" * 100,
        "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
    }
    for name, content in cases.items():
        bad = tmp_path / f"{name}.hdf5"
        bad.write_bytes(content)
        message = "Git LFS pointer" if name == "pointer" else "not a readable HDF5 file"
        with pytest.raises(CorruptFileError, match=message) as caught:
            RoboMimicDataset(bad)
        assert caught.value.file == str(bad)
    dataset = RoboMimicDataset(tmp_path)  # one file of five can be read
    assert dataset.keys() == ["lift.hdf5/demo_0", "lift.hdf5/demo_1", "lift.hdf5/demo_2"]
    assert len(list(dataset.problems())) == 4
    assert len(dataset.report()["unreadable_files"]) == 4


def test_without_demonstrations(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["numbers"] = np.zeros(3)
    with pytest.raises(CorruptFileError, match="no group /data"):
        RoboMimicDataset(tmp_path / "a.hdf5")
    hdf5_demos.write(tmp_path / "b.hdf5", ())
    assert "holds no demonstrations" in told(tmp_path / "b.hdf5")[0]


def test_lengths_that_disagree(path: Path) -> None:
    replace(path, "data/demo_1/obs/robot0_eef_pos", np.zeros((5, 3)))
    replace(path, "data/demo_2/rewards", np.zeros(7))
    dataset = RoboMimicDataset(path)
    with pytest.raises(TimesError, match=r"stream obs/robot0_eef_pos: \(5, 3\) for 6 actions") as e:
        dataset["demo_1"]
    assert (e.value.file, e.value.episode) == (str(path), "demo_1")
    dataset["demo_0"]
    problems = list(dataset.problems())
    assert [(p.episode, p.stream) for p in problems] == [
        ("demo_1", "obs/robot0_eef_pos"),
        ("demo_2", "reward"),
    ]


def test_numbers_that_are_told_wrong(path: Path) -> None:
    with edit(path) as file:
        file["data"].attrs["total"] = 99
        file["data"].attrs["num_demos"] = 4
        file["data/demo_1"].attrs["num_samples"] = 5
        file["mask/train"] = np.array([b"demo_0", b"demo_9", b"demo_0"])
        file["mask/valid"] = np.array([b"demo_0"])
        file["data"].create_group("extra")
    text = "\n".join(told(path))
    for part in (
        "total is 99, but there are 18",
        "num_demos is 4, but there are 3",
        "episode demo_1: num_samples is 5, but there are 6",
        "'train' names 1 demonstrations that are not there, first 'demo_9'",
        "'train' names demonstrations twice",
        "1 demonstrations are in both masks",
        "/data/'extra' is not called demo_<number>",
    ):
        assert part in text
    assert len(RoboMimicDataset(path)[1].streams["action"]) == 6


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_none(path: Path, bad: float) -> None:
    actions = np.zeros((6, 7))
    actions[4, 2] = bad
    replace(path, "data/demo_1/actions", actions)
    with pytest.raises(NonFiniteError, match="demo_1, stream action: sample 4 is NaN or infinite"):
        RoboMimicDataset(path)["demo_1"]
    assert len(told(path)) == 1
    depth = np.ones((6, 72, 80, 1), np.float32)
    depth[2, 5, 5] = bad
    replace(path, "data/demo_0/obs/front_depth", depth)
    assert "stream obs/front_depth: 1 pictures hold NaN or infinity, first 2" in told(path)[0]


def test_what_is_missing(path: Path) -> None:
    with edit(path) as file:
        del file["data/demo_0/actions"]
        del file["data/demo_1/obs"]
        del file["data/demo_2"]
        file["data/demo_2"] = np.zeros(3)
    dataset = RoboMimicDataset(path)
    with pytest.raises(MissingStreamError, match="demo_0, stream action: has no actions"):
        dataset["demo_0"]
    with pytest.raises(CorruptFileError, match="/data/demo_2 is not a group"):
        dataset["demo_2"]
    assert any("demo_1, stream obs: has no observations" in text for text in told(path))
    assert len(told(path)) == 3


def test_black_pictures_and_other_sizes(path: Path) -> None:
    pictures = hdf5_demos.arrays(0)["obs/front_image"]
    pictures[3:5] = 0
    replace(path, "data/demo_0/obs/front_image", pictures)
    replace(path, "data/demo_2/obs/front_image", np.ones((6, 5, 8, 3), np.uint8))
    text = told(path)
    assert "demo_0, stream obs/front_image: 2 pictures are black, first 3" in text[0]
    assert "demo_2, stream obs/front_image: (5, 8, 3) uint8, in demonstrations before" in text[1]


def test_a_damaged_chunk_names_the_frames(path: Path) -> None:
    with h5py.File(path) as file:
        dataset = file["data/demo_1/obs/front_depth"]
        chunk = dataset.id.get_chunk_info(0)
        place = chunk.byte_offset
    content = bytearray(path.read_bytes())
    content[place : place + 40] = bytes(40)
    path.write_bytes(content)
    frames = RoboMimicDataset(path)["demo_1"].streams["obs/front_depth"].values
    with pytest.raises(CorruptFileError, match=r"frames 0..5 cannot be read") as caught:
        frames[:]
    assert caught.value.stream == "obs/front_depth" and caught.value.episode == "demo_1"
    assert len(told(path)) == 1


def test_nothing_outside_the_file_is_read(path: Path, tmp_path: Path) -> None:
    outside = hdf5_demos.write(tmp_path / "other.bin", (0,))
    secret = tmp_path / "secret.bin"
    secret.write_bytes(np.arange(18, dtype=np.float64).tobytes())
    with edit(path) as file:
        demo = file["data/demo_0"]
        del demo["states"]
        demo["states"] = h5py.ExternalLink(str(outside), "/data/demo_0/states")
        demo["alias"] = h5py.SoftLink("/data/demo_1/states")
        demo.create_dataset("secret", (6, 3), "f8", external=[(str(secret), 0, h5py.h5f.UNLIMITED)])
        layout = h5py.VirtualLayout((6, 9), "f8")
        layout[:] = h5py.VirtualSource(str(outside), "data/demo_0/states", (6, 9))
        demo.create_virtual_dataset("borrowed", layout)
        file["data/demo_7"] = h5py.ExternalLink(str(outside), "/data/demo_0")
    dataset = RoboMimicDataset(path)
    with pytest.raises(CorruptFileError):
        dataset["demo_0"]
    reading = dataset.reading("demo_0")
    assert not {"states", "alias", "secret", "borrowed"} & set(reading.episode.streams)
    assert sorted(str(error.stream) for error in reading.wrong) == [
        "alias", "borrowed", "secret", "states",
    ]  # fmt: skip
    assert "ExternalLink" in str(reading.wrong)
    with pytest.raises(CorruptFileError, match="is a link"):
        dataset["demo_7"]


def test_groups_without_end(path: Path) -> None:
    with edit(path) as file:
        loop = file["data/demo_0"].create_group("datagen_info")
        for number in range(50):
            loop[f"again_{number}"] = loop
    wrong = RoboMimicDataset(path).reading("demo_0").wrong
    assert ["members" in str(error) for error in wrong] == [True]


def test_models_by_name(path: Path, tmp_path: Path) -> None:
    with edit(path) as file:
        file["data/demo_0"].attrs["model_file"] = "<mujoco/>"
        file["data/demo_1"].attrs["model_file"] = "model_1.xml"
        file["data/demo_2"].attrs["model_file"] = "../../etc/passwd"
    assert "'model_1.xml' is not beside the file" in told(path)[0]
    assert "is no name of a file; one beside this file is expected" in told(path)[1]
    (tmp_path / "model_1.xml").write_text("<mujoco/>")
    assert len(told(path)) == 1


def test_promises_that_the_file_cannot_keep(tmp_path: Path) -> None:
    path = hdf5_demos.write(tmp_path / "a.hdf5")
    with edit(path) as file:
        demo = file["data/demo_0"]
        del demo["states"], demo["obs/front_depth"]
        demo.create_dataset("states", (6, 10**12), "f8", chunks=(1, 1000))
        demo.create_dataset("obs/front_depth", (6, 2**20, 2**20), "f4", chunks=(1, 64, 64))
        demo.create_dataset("big_chunk", (6, 2**28), "f8", chunks=(1, 2**28))
    wrong = RoboMimicDataset(path).reading("demo_0").wrong
    assert sorted(str(error.stream) for error in wrong) == [
        "big_chunk", "obs/front_depth", "states",
    ]  # fmt: skip
    assert all("promises" in str(error) for error in wrong)
    with edit(path) as file:
        del file["data/demo_1/actions"]
        file["data/demo_1"].create_dataset("actions", (2**50, 7), "f8", chunks=(64, 7))
    with pytest.raises(CorruptFileError, match="demo_1: promises"):
        RoboMimicDataset(path)["demo_1"]


def test_kinds_that_are_no_numbers(path: Path) -> None:
    replace(path, "data/demo_0/states", np.array([b"a"] * 6))
    with edit(path) as file:
        file["data/demo_0/pairs"] = np.zeros(6, [("a", "f8"), ("b", "i4")])
        file["data/demo_0/none"] = h5py.Empty("f8")
    wrong = RoboMimicDataset(path).reading("demo_0").wrong
    assert {str(error.stream) for error in wrong} == {"states", "pairs"}
    assert all(isinstance(error, ShapeError) for error in wrong)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{not json", "attribute 'env_args' is not JSON"),
        ("[1, 2]", "attribute 'env_args' is not a JSON mapping"),
        (json.dumps({"env_kwargs": {"control_freq": -3}}), "control_freq is -3, not a rate"),
        (json.dumps({"env_kwargs": {"control_freq": "20"}}), "control_freq is '20', not a rate"),
        ("[" * 100_000, "attribute 'env_args' is not JSON"),
    ],
)
def test_settings_that_are_none(path: Path, text: str, message: str) -> None:
    hdf5_demos.write(path, attrs={"env_args": None})
    with edit(path) as file:
        # A long text does not fit into a compact attribute.
        file["data"].attrs["env_args"] = text if len(text) < 60_000 else text[:60_000]
    dataset = RoboMimicDataset(path)
    assert message in next(iter(dataset.problems())).problem
    assert dataset[0].streams["action"].spec.rate_hz == 20.0
    assert dataset.report()["files"]["lift.hdf5"]["rate_from"].startswith("assumed")


def test_cameras_that_are_none(path: Path) -> None:
    for bad in ({"front": {}}, {"front": {"intrinsics": [[1]], "extrinsics": [[1]]}}, {"front": 3},
                {"front": {"intrinsics": "x", "extrinsics": None}}):  # fmt: skip
        with edit(path) as file:
            file["data/demo_0"].attrs["camera_info"] = json.dumps(bad)
        dataset = RoboMimicDataset(path)
        with pytest.raises(CorruptFileError, match="camera_info of 'front' cannot be used"):
            dataset.cameras("demo_0")
        assert len(list(dataset.problems())) == 1
        dataset.report()


def test_errors_are_of_the_tree(path: Path) -> None:
    for problem in RoboMimicDataset(path).problems():
        assert isinstance(problem, DataError)
