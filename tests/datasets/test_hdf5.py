"""Demonstrations in HDF5, against h5py and by hand."""

from __future__ import annotations

import json
import multiprocessing
import pickle
from pathlib import Path
from typing import Any

import hdf5_demos
import numpy as np
import pytest

from robocache.core.errors import ConfigError
from robocache.datasets import Reader
from robocache.datasets.hdf5 import RoboMimicDataset

h5py = pytest.importorskip("h5py")


def test_values_and_times_by_hand(tmp_path: Path) -> None:
    dataset = RoboMimicDataset(hdf5_demos.write(tmp_path / "lift.hdf5"))
    assert isinstance(dataset, Reader)
    assert dataset.name == "lift" and dataset.keys() == ["demo_0", "demo_1", "demo_2"]
    assert list(dataset.problems()) == []
    episode = dataset["demo_1"]
    stored = hdf5_demos.arrays(1)
    names = {"actions": "action", "actions_abs": "action_abs", "rewards": "reward", "dones": "done"}
    there = {names.get(n, n): array for n, array in stored.items() if not n.startswith("next_obs")}
    assert set(episode.streams) == set(there), "next_obs is obs again and is not a stream"
    for name, array in there.items():
        stream = episode.streams[name]
        np.testing.assert_array_equal(stream.values[:], array)
        assert np.dtype(stream.spec.dtype) == array.dtype.newbyteorder("=")
        assert stream.times_s.tolist() == [k / 10 for k in range(6)]
        assert (stream.spec.clock, stream.spec.rate_hz) == ("synthetic", 10.0)
        stream.check()
        known_later = name.startswith(("action", "reward", "done"))
        assert (stream.available_s is not None) == known_later
        if known_later:
            assert stream.available_s.tolist() == [(k + 1) / 10 for k in range(6)]
    told = {name for name, stream in episode.streams.items() if stream.spec.privileged}
    assert told == {"states", "obs/object", "obs/cube_pos"}
    assert episode.streams["obs/front_depth"].spec.unit == "m"
    assert episode.outcome.reward == pytest.approx(stored["rewards"].sum())
    assert episode.provenance.simulator == "robosuite 1.5"
    assert (episode.provenance.index, episode.provenance.source) == (1, "lift.hdf5")
    assert len(dataset) == 3 and [e.key for e in dataset] == dataset.keys()
    assert dataset[-1].key == "demo_2"


def test_demonstrations_are_sorted_by_number(tmp_path: Path) -> None:
    dataset = RoboMimicDataset(hdf5_demos.write(tmp_path / "a.hdf5", (10, 2, 1, 100)))
    assert dataset.keys() == ["demo_1", "demo_2", "demo_10", "demo_100"]


def test_filters(tmp_path: Path) -> None:
    masks = {"train": ["demo_2", "demo_0"], "valid": ["demo_1"], "20_percent": ["demo_0"]}
    path = hdf5_demos.write(tmp_path / "a.hdf5", masks=masks)
    whole = RoboMimicDataset(path)
    assert whole.splits() == {
        "20_percent": ["demo_0"],
        "train": ["demo_2", "demo_0"],
        "valid": ["demo_1"],
    }
    train = RoboMimicDataset(path, filter="train")
    assert train.keys() == ["demo_0", "demo_2"]
    assert len({whole.fingerprint, train.fingerprint}) == 2
    with pytest.raises(ConfigError, match="unknown filter 'vaild'; did you mean 'valid'"):
        RoboMimicDataset(path, filter="vaild")
    with pytest.raises(ConfigError, match="'demo_1'"):
        train["demo_1"]


def test_a_folder_of_files(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    hdf5_demos.write(tmp_path / "b.hdf5", (1, 2), masks={"train": ["demo_1"]})
    hdf5_demos.write(tmp_path / "more" / "a.h5", (7,), attrs={"env_args": None})
    dataset = RoboMimicDataset(tmp_path)
    assert dataset.keys() == ["b.hdf5/demo_1", "b.hdf5/demo_2", "more/a.h5/demo_7"]
    assert dataset.splits() == {"train": ["b.hdf5/demo_1"]}
    assert dataset["more/a.h5/demo_7"].provenance.source == "more/a.h5"
    rates = {name: file["rate_hz"] for name, file in dataset.report()["files"].items()}
    assert rates == {"b.hdf5": 10.0, "more/a.h5": 20.0}
    assert dataset.report()["files"]["more/a.h5"]["rate_from"].startswith("assumed")
    (tmp_path / "none").mkdir()
    with pytest.raises(ConfigError, match="holds no HDF5 file"):
        RoboMimicDataset(tmp_path / "none")
    with pytest.raises(ConfigError, match="is not there"):
        RoboMimicDataset(tmp_path / "nowhere")


def test_libero(tmp_path: Path) -> None:
    """Words in problem_info; pictures bottom row first, turned upright and not mirrored."""
    picture = np.random.default_rng(0).integers(1, 255, (6, 8, 8, 3), dtype=np.uint8)
    depth = np.random.default_rng(0).uniform(0.9, 1, (6, 70, 70, 1))
    path = hdf5_demos.write(
        tmp_path / "open_drawer_demo.hdf5",
        drop=("obs/front", "camera_info"),
        attrs={
            "problem_info": json.dumps({"language_instruction": '"open the drawer"'}),
            "macros_image_convention": "opengl",
            "num_demos": 3,
        },
        demo_attrs={"camera_info": None},
        more={
            "obs/agentview_rgb": picture,
            "obs/agentview_depth": depth,
            "obs/ee_pos": np.zeros((6, 3)),
            "robot_states": np.ones((6, 9)),
        },
    )
    upright = RoboMimicDataset(path)
    stored = RoboMimicDataset(path, upright=False)
    assert list(upright.problems()) == []
    assert upright[0].instruction == "open the drawer"
    assert upright.report()["format"] == "hdf5 libero"
    for name, array in (("agentview_rgb", picture), ("agentview_depth", depth)):
        frames = upright[0].streams[f"obs/{name}"].values
        np.testing.assert_array_equal(frames[:], array[:, ::-1])
        np.testing.assert_array_equal(frames[3], array[3, ::-1])
        np.testing.assert_array_equal(stored[0].streams[f"obs/{name}"].values[:], array)
    assert upright[0].streams["obs/agentview_depth"].spec.unit == "", "a buffer, not metres"
    assert "not metres" in upright.report()["depth"]
    assert "rows are reversed" in upright.report()["pictures"]
    assert not upright[0].streams["obs/ee_pos"].spec.privileged
    assert not upright[0].streams["robot_states"].spec.privileged
    assert upright.fingerprint != stored.fingerprint
    assert upright.cameras("demo_0") == {}


def test_mimicgen_and_robocasa(tmp_path: Path) -> None:
    more = {
        "datagen_info/eef_pose": np.tile(np.eye(4), (6, 1, 1)),
        "datagen_info/object_poses/cube": np.tile(np.eye(4), (6, 1, 1)),
        "datagen_info/subtask_term_signals/grasp": np.arange(6) > 3,
        "datagen_info/target_pose": np.tile(np.eye(4), (6, 1, 1)),
        "src_demo_inds": np.array([3, 1]),
        "src_demo_labels": np.arange(6)[:, None],
    }
    made = RoboMimicDataset(hdf5_demos.write(tmp_path / "m.hdf5", more=more))
    streams = made[0].streams
    grasp = streams["datagen_info/subtask_term_signals/grasp"]
    assert grasp.values[:].tolist() == [False] * 4 + [True] * 2 and grasp.spec.dtype == "bool"
    assert streams["datagen_info/object_poses/cube"].spec.privileged
    assert streams["datagen_info/object_poses/cube"].spec.shape == (4, 4)
    assert streams["datagen_info/target_pose"].available_s is not None
    assert streams["datagen_info/eef_pose"].available_s is None
    assert "src_demo_labels" in streams and "src_demo_inds" not in streams
    report = made.report()
    assert report["format"] == "hdf5 mimicgen" and report["not_read"] == ["src_demo_inds"]
    assert list(made.problems()) == []
    words = {"ep_meta": json.dumps({"lang": "pick the mug ", "layout_id": 3})}
    cooked = RoboMimicDataset(hdf5_demos.write(tmp_path / "c.hdf5", demo_attrs=words))
    assert cooked[2].instruction == "pick the mug"
    assert cooked.report()["format"] == "hdf5 robocasa"


def test_cameras(tmp_path: Path) -> None:
    both = {"front": hdf5_demos.CAMERA, "robot0_eye_in_hand": hdf5_demos.CAMERA}
    path = hdf5_demos.write(tmp_path / "a.hdf5", demo_attrs={"camera_info": json.dumps(both)})
    dataset = RoboMimicDataset(path)
    cameras = dataset.cameras("demo_1")
    assert cameras["front"].intrinsics.tolist() == hdf5_demos.CAMERA["intrinsics"]
    assert cameras["front"].extrinsics is not None
    assert cameras["front"].extrinsics.tolist() == hdf5_demos.CAMERA["extrinsics"]
    assert cameras["robot0_eye_in_hand"].extrinsics is None, "it moves"
    told = dataset.report()["cameras"]
    assert told["front"]["extrinsics"] == hdf5_demos.CAMERA["extrinsics"]
    json.dumps(dataset.report())


def test_pictures_are_read_when_asked_for(tmp_path: Path, monkeypatch: Any) -> None:
    path = hdf5_demos.write(tmp_path / "a.hdf5", steps=20)
    frames: Any = RoboMimicDataset(path)[0].streams["obs/front_image"].values
    stored = hdf5_demos.arrays(0, 20)["obs/front_image"]
    read: list[Any] = []
    original = h5py.Dataset.__getitem__

    def counted(self: Any, index: Any, **others: Any) -> Any:
        read.append(index)
        return original(self, index, **others)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
    for index in (3, slice(2, 9, 3), [7, 1, 7, 2], np.array([[0, 19], [5, 5]]), -1, slice(0, 0),
                  np.arange(20) % 7 == 0):  # fmt: skip
        np.testing.assert_array_equal(frames[index], stored[index])
    assert read[0] == slice(3, 4), "only what was asked for"
    assert slice(0, 20) not in read
    np.testing.assert_array_equal(np.asarray(frames), stored)
    with pytest.raises(IndexError):
        frames[20]


def _first_frame(frames: Any) -> Any:
    return frames[0]


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_frames_in_other_processes(tmp_path: Path, method: str) -> None:
    path = hdf5_demos.write(tmp_path / "a.hdf5")
    frames: Any = RoboMimicDataset(path)[0].streams["obs/front_image"].values
    first = frames[0]  # the file is open here when the others begin
    with multiprocessing.get_context(method).Pool(1) as pool:
        for other in pool.map(_first_frame, [frames] * 2):
            np.testing.assert_array_equal(other, first)
    np.testing.assert_array_equal(frames[0], first)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(frames))[:], frames[:])


def test_many_files_do_not_stay_open(tmp_path: Path) -> None:
    from robocache.datasets.hdf5 import files

    for number in range(files.OPEN_FILES + 5):
        hdf5_demos.write(tmp_path / f"{number:02}.hdf5", (0,), drop=("obs/front",))
    dataset = RoboMimicDataset(tmp_path)
    assert sum(len(episode.streams["action"]) for episode in dataset) == 6 * len(dataset)
    assert sum(map(len, files._opened.values())) <= files.OPEN_FILES


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    path = hdf5_demos.write(tmp_path / "a.hdf5", (0,))
    before = RoboMimicDataset(path)
    old = before.fingerprint
    hdf5_demos.write(path, (0, 1))
    after = RoboMimicDataset(path)
    assert after.keys() == ["demo_0", "demo_1"] and after.fingerprint != old
    np.testing.assert_array_equal(
        after[1].streams["action"].values, hdf5_demos.arrays(1)["actions"]
    )


def test_the_samples_equal_h5py(shared_data: Path) -> None:
    """Every array of every sample file, and its orientation."""
    counts = {}
    for path in sorted(shared_data.glob("robo*_hdf5/*.hdf5")):
        dataset = RoboMimicDataset(path)
        assert list(dataset.problems()) == []
        with h5py.File(path) as file:
            for episode in dataset:
                demo = file["data"][episode.key]
                arrays: dict[str, Any] = {}
                demo.visititems(
                    lambda name, item, into=arrays: (
                        into.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
                    )
                )
                renamed = {"action": "actions", "reward": "rewards", "done": "dones"}
                for name, stream in episode.streams.items():
                    np.testing.assert_array_equal(
                        stream.values[:], arrays.pop(renamed.get(name, name))
                    )
                assert all(name.startswith("next_obs/") for name in arrays)
        counts[path.stem] = (len(dataset), dataset.report()["frames"])
    assert counts == {
        "demo": (1, 174),
        "demo_raw": (3, 105),
        "low_dim": (3, 105),
        "image_depth": (3, 105),
    }
    depth = RoboMimicDataset(shared_data / "robomimic_hdf5" / "image_depth.hdf5", filter="valid")
    assert depth.keys() == ["demo_2"]
    folder = RoboMimicDataset(shared_data / "robomimic_hdf5")
    assert len(folder) == 9 and "obs/agentview_depth" in folder.report()["streams"]
