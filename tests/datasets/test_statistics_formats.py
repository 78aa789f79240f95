"""Statistics of every format: files with other content are read again, and values are those of
independent readers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import calvin_folder
import hdf5_demos
import lerobot_folder
import numpy as np
import pytest
import rlds_writer
import ros_bags
from statistics_bits import bits, fresh

from robocache.core import Episode
from robocache.datasets import Reader, episode_files, open_dataset
from robocache.datasets.statistics import dataset_statistics


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were just written count as quiet; what changes then is told by their clocks."""
    monkeypatch.setattr(episode_files, "SETTLED_NS", 0)


def lerobot(folder: Path, shift: float) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not folder.exists():
        lerobot_folder.make_folder(folder)
    rows = lerobot_folder.rows_of(1)
    rows["action"] = rows["action"] + shift
    table = pa.table({name: pa.array(list(values)) for name, values in rows.items()})
    path = lerobot_folder.data_file(folder / "pick", 1)
    pq.write_table(table, path, compression="none", use_dictionary=False)
    return path


def calvin(folder: Path, shift: float) -> Path:
    if not folder.exists():
        calvin_folder.write(folder)
    arrays = calvin_folder.frame(104)
    arrays["actions"] = arrays["actions"] + shift
    path = folder / "episode_0000104.npz"
    np.savez(path, **arrays)
    return path


def hdf5(folder: Path, shift: float) -> Path:
    folder.mkdir(exist_ok=True)
    moved = {"actions": hdf5_demos.arrays(1)["actions"] + shift}
    return hdf5_demos.write(folder / "lift.hdf5", more=moved)


def rlds(folder: Path, shift: float) -> Path:
    actions = np.random.default_rng(8).normal(size=(4, 3)) + shift
    record = rlds_writer.simple_episode(1, 4, **{"steps/action": actions})
    train = [[record, rlds_writer.simple_episode(2)], [rlds_writer.simple_episode(3)]]
    path = rlds_writer.shard_file(folder, count=2)
    if path.exists():
        path.write_bytes(b"".join(rlds_writer.framed(record) for record in train[0]))
    else:
        rlds_writer.write_dataset(folder, rlds_writer.SIMPLE, {"train": train})
    return path


def ros(folder: Path, shift: float) -> Path:
    folder.mkdir(exist_ok=True)
    rows = [
        ros_bags.Row("/joints", ros_bags.joints(n * 10**7, [n + shift, 2.0]), n * 10**7)
        for n in range(20)
    ]
    if not (folder / "other.mcap").exists():
        ros_bags.write_mcap(folder / "other.mcap", rows)
    return ros_bags.write_mcap(folder / "arm.mcap", rows)


FORMATS: dict[str, tuple[Callable[[Path, float], Path], str, int]] = {
    "lerobot": (lerobot, "action", 1),
    "calvin": (calvin, "actions", 1),
    "hdf5": (hdf5, "action", 3),
    "rlds": (rlds, "action", 2),
    "ros": (ros, "/joints/position", 1),
}
"""Format -> writer of other numbers in as many bytes, stream, episodes that lie in that file."""


def opened(folder: Path, kind: str) -> Reader:
    return open_dataset(folder / "pick" if kind == "lerobot" else folder)


def watched(dataset: Reader, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The episodes that are read from now on."""
    read: list[str] = []
    original = type(dataset).__getitem__

    def noting(self: Any, key: Any) -> Episode:
        read.append(key)
        return original(self, key)

    monkeypatch.setattr(type(dataset), "__getitem__", noting)
    return read


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_with_other_content_is_read_again(
    kind: str, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name, size and time of modification are as before."""
    make, stream, episodes = FORMATS[kind]
    folder = tmp_path / "data"
    path = make(folder, 0.0)
    before = path.stat()
    first = dataset_statistics(opened(folder, kind), [stream])
    read = watched(opened(folder, kind), monkeypatch)
    assert bits(dataset_statistics(opened(folder, kind), [stream])) == bits(first)
    assert not read, "nothing changed"
    if kind == "hdf5":
        hdf5_demos.close_files()
    make(folder, 0.5)
    while path.stat().st_ctime_ns == before.st_ctime_ns:  # clocks of files tick coarsely
        os.utime(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    dataset = opened(folder, kind)
    second = dataset_statistics(dataset, [stream])
    others = len(dataset) - episodes
    assert len(read) == episodes and others >= 0, read
    assert bits(second) == bits(fresh(dataset, [stream])) != bits(first)


def test_a_lerobot_folder_that_grew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = lerobot_folder.make_folder(tmp_path)
    whole = lerobot_folder.data_file(root, 2).read_bytes()
    lerobot_folder.data_file(root, 2).unlink()
    dataset_statistics(open_dataset(root), ["action"])
    lerobot_folder.data_file(root, 2).write_bytes(whole)
    lerobot_folder.change_info(root, total_frames=99, total_episodes=3, splits={"train": "0:3"})
    dataset = open_dataset(root)
    read = watched(dataset, monkeypatch)
    found = dataset_statistics(dataset, ["action"])
    assert read == ["episode_000002"]
    assert found["action"].count == sum(lerobot_folder.LENGTHS)
    lerobot_folder.change_info(root, fps=25.0)  # other times
    read.clear()
    dataset_statistics(open_dataset(root), ["action"])
    assert len(read) == 3


def test_options_of_a_reader_are_told_apart(tmp_path: Path) -> None:
    folder = rlds_writer.simple_dataset(tmp_path)
    names = ["action", "reward"]
    for options in ({}, {"split": "val"}, {"rate_hz": 4.0}, {"conventions": "standard"}):
        dataset = open_dataset(folder, **options)
        assert bits(dataset_statistics(dataset, names)) == bits(fresh(dataset, names))
    one, two = open_dataset(folder), open_dataset(folder, rate_hz=4.0)
    assert one.episode_files("train/000000") != two.episode_files("train/000000")


def test_gr1_against_pyarrow(shared_data: Path) -> None:
    import pyarrow.parquet as pq

    folder = shared_data / "gr1_lerobot_v20"
    found = dataset_statistics(open_dataset(folder), ["action", "observation.state"])
    for name in found.streams:
        files = sorted(folder.rglob("episode_*.parquet"))
        rows = [row for f in files for row in pq.read_table(f, columns=[name])[name].to_pylist()]
        exact = np.array(rows, np.float32).astype(np.float64)
        assert found[name].count == len(exact) == 2096
        np.testing.assert_allclose(found[name].mean, exact.mean(0), atol=1e-12)
        np.testing.assert_allclose(found[name].std, exact.std(0), atol=1e-12)
        np.testing.assert_array_equal(found[name].minimum, exact.min(0))
        np.testing.assert_array_equal(found[name].maximum, exact.max(0))
        for p, value in ((0.01, found[name].q01), (0.99, found[name].q99)):
            below, to = (exact < value).mean(0), (exact <= value).mean(0)
            assert (below - p < 0.002).all() and (p - to < 0.002).all()


def test_bridge_and_lift_exactly(shared_data: Path) -> None:
    h5py = pytest.importorskip("h5py")
    bridge = open_dataset(shared_data / "bridge_rlds", split="train")
    found = dataset_statistics(bridge, ["action"])["action"]
    exact = np.concatenate([one.stream("action").values[:] for one in bridge]).astype(float)
    assert len(exact) == found.count == 250
    np.testing.assert_allclose(found.mean, exact.mean(0), atol=1e-15)
    np.testing.assert_allclose(found.q01, np.quantile(exact, 0.01, axis=0), atol=1e-15)
    file = next((shared_data / "robomimic_hdf5").glob("*low_dim*.hdf5"))
    with h5py.File(file) as held:
        exact = np.concatenate([demo["actions"][()] for demo in held["data"].values()])
    found = dataset_statistics(open_dataset(file), ["action"])["action"]
    assert found.count == len(exact)
    np.testing.assert_allclose(found.std, exact.std(0), atol=1e-12)
