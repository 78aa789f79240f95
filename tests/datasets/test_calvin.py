"""CALVIN's folders, by hand and against numpy."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import calvin_folder
import numpy as np
import pytest
import torch

from robocache.core.errors import ConfigError
from robocache.datasets import Reader
from robocache.datasets.calvin import CalvinDataset, arrays, frames


def test_play_by_hand(tmp_path: Path) -> None:
    dataset = CalvinDataset(calvin_folder.write(tmp_path / "training"))
    assert isinstance(dataset, Reader)
    assert dataset.keys() == ["play_0000100_0000107", "play_0000108_0000110"]
    assert list(dataset.problems()) == []
    episode = dataset["play_0000100_0000107"]
    assert set(episode.streams) == set(calvin_folder.frame(0))
    assert len(episode.streams["actions"]) == 8, "the last frame is inside"
    for name, stream in episode.streams.items():
        expected = np.stack([calvin_folder.frame(n)[name] for n in range(100, 108)])
        np.testing.assert_array_equal(stream.values[:], expected)
        assert stream.values.dtype == expected.dtype
        assert stream.times_s.tolist() == [k / 30 for k in range(8)]
        assert (stream.spec.clock, stream.spec.rate_hz) == ("synthetic", 30.0)
        stream.check()
        if name in ("actions", "rel_actions"):
            assert stream.available_s is not None
            assert stream.available_s.tolist() == [(k + 1) / 30 for k in range(8)]
        else:
            assert stream.available_s is None
        assert stream.spec.privileged == (name == "scene_obs")
        assert stream.spec.unit == ("m" if name.startswith("depth") else "")
        assert isinstance(stream.values, np.ndarray) == (stream.values.ndim == 2 if isinstance(
            stream.values, np.ndarray) else False)  # fmt: skip
    assert episode.instruction == "" and episode.outcome.steps == 8
    assert episode.provenance.source == "episode_0000100.npz"
    assert len(dataset[1].streams["actions"]) == 3


def test_language_windows_keep_their_overlap(tmp_path: Path) -> None:
    dataset = CalvinDataset(calvin_folder.write(tmp_path / "training"), segments="language")
    assert dataset.keys() == [
        "language_000000_0000100_0000104",
        "language_000001_0000102_0000107",
    ]
    one, two = dataset
    assert (one.instruction, one.provenance.task) == ("open the drawer", "open_drawer")
    assert len(one.streams["actions"]) == 5 and len(two.streams["actions"]) == 6
    np.testing.assert_array_equal(
        one.streams["actions"].values[2:], two.streams["actions"].values[:3]
    )
    assert two.streams["actions"].times_s[0] == 0.0
    play = CalvinDataset(dataset.path)
    assert play.fingerprint != dataset.fingerprint
    report = dataset.report()
    assert report["tasks"] == ["open_drawer", "push_drawer"]
    assert report["splits"]["training"]["language_windows"] == 2
    json.dumps(report)


def test_the_folder_above(tmp_path: Path) -> None:
    calvin_folder.write(tmp_path / "training", digits=8)
    calvin_folder.write(tmp_path / "validation", [(5, 6)], None, digits=5)
    dataset = CalvinDataset(tmp_path)
    assert dataset.splits() == {
        "training": ["training/play_00000100_00000107", "training/play_00000108_00000110"],
        "validation": ["validation/play_00005_00006"],
    }
    assert dataset[2].provenance.source == "validation/episode_00005.npz"
    assert len(CalvinDataset(tmp_path, segments="language")) == 2
    with pytest.raises(ConfigError, match="no lang_annotations"):
        CalvinDataset(tmp_path / "validation", segments="language")
    with pytest.raises(ConfigError, match="not a CALVIN dataset"):
        CalvinDataset(tmp_path / "training" / ".hydra")
    with pytest.raises(ConfigError, match="did you mean 'language'"):
        CalvinDataset(tmp_path, segments="lang")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="unknown episode"):
        dataset["play_1_2"]


def test_only_the_frames_asked_for_are_opened(tmp_path: Path, monkeypatch: Any) -> None:
    dataset = CalvinDataset(calvin_folder.write(tmp_path / "training"), segments="language")
    opened: list[str] = []
    original = arrays._archive

    def noted(path: Path) -> Any:
        opened.append(path.name)
        return original(path)

    monkeypatch.setattr(arrays, "_archive", noted)
    pictures: Any = dataset[0].streams["rgb_static"].values
    assert set(opened) == {f"episode_{n:07d}.npz" for n in range(100, 105)}
    opened.clear()
    for index in (3, [4, 0, 4], slice(1, 5, 2), np.array([[0, 1]]), -1, np.arange(5) > 3):
        expected = np.stack([calvin_folder.frame(n)["rgb_static"] for n in range(100, 105)])
        np.testing.assert_array_equal(pictures[index], expected[index])
    assert opened[0] == "episode_0000103.npz"
    assert opened[1:3] == ["episode_0000100.npz", "episode_0000104.npz"], "each once"
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(pictures))[:], pictures[:])


def test_vectors_of_long_segments_are_kept(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(frames, "WORTH_KEEPING", 4)
    folder = calvin_folder.write(tmp_path / "training")
    first = CalvinDataset(folder)[0].streams["robot_obs"].values[:]
    opened: list[Path] = []
    original = frames.read_frame
    monkeypatch.setattr(
        frames, "read_frame", lambda path, names: opened.append(path) or original(path, names)
    )
    np.testing.assert_array_equal(CalvinDataset(folder)[0].streams["robot_obs"].values, first)
    assert len(opened) == 1 and opened[0].parent.name == "indexes"
    changed = calvin_folder.frame(103)
    changed["robot_obs"] = np.zeros(15)
    calvin_folder.write_frame(folder, 103, changed)
    again = CalvinDataset(folder)[0].streams["robot_obs"].values[:]
    assert not again[3].any(), "a frame that changed is read again"
    (kept,) = [path for path in opened[:1] if path.exists()]
    kept.write_bytes(b"damaged")
    calvin_folder.write_frame(folder, 103, calvin_folder.frame(103))
    np.testing.assert_array_equal(CalvinDataset(folder)[0].streams["robot_obs"].values, first)


def test_float32_stays_float32(tmp_path: Path) -> None:
    folder = calvin_folder.write(tmp_path / "training", [(0, 2)], None)
    for number in range(3):
        arrays_ = calvin_folder.frame(number)
        arrays_["robot_obs"] = arrays_["robot_obs"].astype(">f4")
        calvin_folder.write_frame(folder, number, arrays_)
    stream = CalvinDataset(folder)[0].streams["robot_obs"]
    assert stream.spec.dtype == "float32" and stream.values.dtype == np.dtype("f4")
    expected = np.stack([calvin_folder.frame(n)["robot_obs"] for n in range(3)])
    np.testing.assert_array_equal(stream.values, expected.astype(np.float32))


def test_cameras(tmp_path: Path) -> None:
    dataset = CalvinDataset(calvin_folder.write(tmp_path / "training"))
    cameras = dataset.cameras(dataset.keys()[0])
    assert set(cameras) == {"static", "gripper"}
    static = cameras["static"]
    np.testing.assert_allclose(static.intrinsics, [[4, 0, 4], [0, 4, 4], [0, 0, 1]])
    assert static.convention == "opengl" and cameras["gripper"].extrinsics is None
    # From 2 m above, looking down with y up in the picture: x right, y up, z towards the camera.
    np.testing.assert_allclose(
        static.extrinsics, [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 2], [0, 0, 0, 1]]
    )
    points = static.points(torch.full((8, 8), 1.5))
    assert points[4, 4].tolist() == [0, 0, 0.5]
    torch.testing.assert_close(points[0, 4].double(), torch.tensor([0, 1.5, 0.5]).double())


def test_the_sample_equals_numpy(shared_data: Path) -> None:
    dataset = CalvinDataset(shared_data / "calvin")
    assert dataset.keys() == ["validation/play_0553567_0553606"]
    assert list(dataset.problems()) == []
    episode = dataset[0]
    folder = shared_data / "calvin" / "validation"
    for at in range(40):
        with np.load(folder / f"episode_{553567 + at:07d}.npz", allow_pickle=False) as stored:
            assert set(stored) == set(episode.streams)
            for name in stored:
                np.testing.assert_array_equal(episode.streams[name].values[at], stored[name])
                assert episode.streams[name].spec.dtype == stored[name].dtype.name
    spoken = CalvinDataset(folder, segments="language")
    told = np.load(folder / "lang_annotations" / "auto_lang_ann.npy", allow_pickle=True).item()
    assert [e.instruction for e in spoken] == told["language"]["ann"] == ["move the slider left"]
    assert spoken.keys() == ["language_000000_0553567_0553600"]
    static = dataset.cameras(dataset.keys()[0])["static"]
    assert static.intrinsics[0, 0] == pytest.approx(1143.005, abs=1e-3)
    depth = torch.from_numpy(episode.streams["depth_static"].values[:3])
    heights = static.points(depth)[..., 2].flatten().numpy()
    for low, high, mode in ((-0.5, 0.3, 0.005), (0.3, 1.0, 0.445)):
        edges = np.arange(low, high, 0.01)
        count, _ = np.histogram(heights, edges)
        assert edges[count.argmax()] + 0.005 == pytest.approx(mode)
