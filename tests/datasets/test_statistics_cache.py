"""What is kept of statistics: never read twice, never another bit, never of other content."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import hdf5_demos
import numpy as np
import pytest
from statistics_bits import bits, fresh

from robocache.core import Episode, Stream, StreamSpec
from robocache.core.errors import ConfigError, MissingStreamError, NonFiniteError
from robocache.datasets import EpisodeStore, episode_files, open_dataset, write_shard
from robocache.datasets.statistics import dataset_statistics
from robocache.datasets.statistics_cache import SummaryCache
from robocache.datasets.statistics_summary import summarise
from robocache.datasets.views import Joined, rename_streams, select

NAMES = ["state", "action"]


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were just written count as quiet; what changes then is told by their clocks."""
    monkeypatch.setattr(episode_files, "SETTLED_NS", 0)


def episode(key: str, seed: int, steps: int = 40) -> Episode:
    random = np.random.default_rng(seed)
    values = {
        "state": random.normal(size=(3 * steps, 3)).astype(np.float32),
        "action": random.integers(-5, 5, (steps, 2)),
    }
    streams = {
        name: Stream(
            array, np.arange(len(array)) / 20, StreamSpec(array.shape[1:], str(array.dtype))
        )
        for name, array in values.items()
    }
    return Episode(key, streams)


def write(folder: Path, shard: str, numbers: range, shift: int = 0) -> Path:
    """Episodes in a shard; some have more samples than a summary keeps."""
    made = [episode(f"e{n:03d}", n + shift, 40 + 30 * (n % 4)) for n in numbers]
    write_shard(folder / f"{shard}.episodes.parquet", made)
    return folder


class Watched(EpisodeStore):
    """Notes which episodes are read."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.read: list[str] = []

    def __getitem__(self, key: int | str) -> Episode:
        self.read.append(str(key))
        return super().__getitem__(key)


def kept_files(home: Path) -> list[Path]:
    return sorted((home / "cache" / "statistics").glob("*/*.summaries"))


def test_the_same_dataset_again_is_not_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "d", "a", range(6))
    store = Watched(folder)
    first = dataset_statistics(store, NAMES)
    assert store.read == store.keys(), "one pass for all streams"
    again = Watched(folder)
    told: list[tuple[int, int]] = []
    second = dataset_statistics(again, NAMES, progress=lambda *done: told.append(done))
    assert not again.read and told == [(n, 6) for n in range(1, 7)]
    assert bits(first) == bits(second) == bits(fresh(store, NAMES))
    assert first.fingerprint == second.fingerprint == store.fingerprint
    values = np.concatenate([store[key].stream("state").values[:] for key in list(store.read)])
    np.testing.assert_allclose(first["state"].mean, values.astype(float).mean(0), rtol=1e-12)


def test_what_is_new_is_read_and_nothing_else(tmp_path: Path) -> None:
    folder = write(tmp_path / "d", "a", range(4))
    dataset_statistics(Watched(folder), NAMES)
    write(folder, "b", range(4, 7))
    grown = Watched(folder)
    found = dataset_statistics(grown, NAMES)
    assert grown.read == ["e004", "e005", "e006"]
    assert bits(found) == bits(fresh(grown, NAMES))
    some = Watched(folder)
    kept = ["e005", "e001"]
    assert bits(dataset_statistics(some, NAMES, kept)) == bits(
        fresh(EpisodeStore(folder), NAMES, kept)
    )
    assert not some.read
    with pytest.raises(ConfigError, match="unknown episode of d 'e01'; did you mean"):
        dataset_statistics(some, NAMES, ["e000", "e01"])


def test_any_order_of_filling_gives_the_same_bits(tmp_path: Path, home: Path) -> None:
    folder = write(tmp_path / "d", "a", range(6))
    store = EpisodeStore(folder)
    wanted = bits(fresh(store, NAMES))
    dataset_statistics(store, ["action"], ["e004", "e002"])
    dataset_statistics(store, ["state"], ["e005"])
    dataset_statistics(store, NAMES, ["e003", "e004", "e000"])
    found = dataset_statistics(store, NAMES)
    assert bits(found) == wanted
    assert list(found.streams) == NAMES
    assert len(kept_files(home)) > 4


def test_an_episode_with_other_content_is_read_again(tmp_path: Path) -> None:
    folder = write(tmp_path / "d", "a", range(3))
    before = dataset_statistics(EpisodeStore(folder), NAMES)
    (folder / "a.episodes.parquet").unlink()
    write(folder, "a", range(2))
    write(folder, "b", range(2, 3), shift=70)  # same key, same length, other numbers
    store = Watched(folder)
    after = dataset_statistics(store, NAMES)
    assert store.read == ["e002"]
    assert bits(after) == bits(fresh(store, NAMES)) != bits(before)


def test_a_file_that_changed_a_moment_ago_is_not_trusted(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(episode_files, "SETTLED_NS", 10**15)
    dataset = open_dataset(hdf5_demos.write(tmp_path / "lift.hdf5"))
    first = dataset_statistics(dataset, ["action"])
    assert not kept_files(home)
    assert bits(dataset_statistics(dataset, ["action"])) == bits(first)


@pytest.mark.parametrize("damage", ["byte", "cut", "empty", "text"])
def test_a_damaged_file_is_as_good_as_none(damage: str, tmp_path: Path, home: Path) -> None:
    folder = write(tmp_path / "d", "a", range(3))
    first = dataset_statistics(EpisodeStore(folder), ["state"])
    (file,) = kept_files(home)
    content = bytearray(file.read_bytes())
    content[-9] ^= 1
    damaged = {"byte": bytes(content), "cut": bytes(content[:-9]), "empty": b"", "text": b"\n\n"}
    file.write_bytes(damaged[damage])
    store = Watched(folder)
    assert bits(dataset_statistics(store, ["state"])) == bits(first)
    assert store.read == store.keys()
    healed = Watched(folder)
    dataset_statistics(healed, ["state"])
    assert not healed.read


def test_what_was_read_before_an_error_is_kept(tmp_path: Path) -> None:
    folder = write(tmp_path / "d", "a", range(3))
    store = Watched(folder)
    with pytest.raises(MissingStreamError, match="episode e000, stream gripper"):
        dataset_statistics(store, ["state", "gripper"])
    store.read.clear()
    dataset_statistics(store, ["state"])
    assert store.read == ["e001", "e002"]


class Plain:
    """A reader of somebody else's: it knows nothing of files."""

    name, path = "plain", Path("plain")

    def __init__(self, fingerprint: str, *values: float) -> None:
        self.fingerprint, self.values, self.read = fingerprint, values, 0

    def keys(self) -> list[str]:
        return [f"k{n}" for n in range(len(self.values))]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, key: int | str) -> Episode:
        self.read += 1
        value = np.full((3, 1), self.values[int(str(key)[1:])], np.float64)
        return Episode(str(key), {"x": Stream(value, np.arange(3.0), StreamSpec((1,), "float64"))})


def test_without_files_the_fingerprint_decides(home: Path) -> None:
    assert dataset_statistics(Plain("one", 1, 2), ["x"])["x"].mean.tolist() == [1.5]
    again = Plain("one", 1, 2)
    assert dataset_statistics(again, ["x"], ["k1"])["x"].mean.tolist() == [2]
    assert not again.read
    other = Plain("two", 1, 4)
    assert dataset_statistics(other, ["x"])["x"].mean.tolist() == [2.5]
    assert other.read == 2


def test_nan_is_named_and_not_kept(home: Path) -> None:
    for _ in range(2):
        with pytest.raises(NonFiniteError, match="episode k1, stream x: sample 0 is NaN"):
            dataset_statistics(Plain("nan", 1, float("nan")), ["x"])


def test_views(tmp_path: Path) -> None:
    one = Watched(write(tmp_path / "one", "a", range(3)))
    two = Watched(write(tmp_path / "two", "a", range(3), shift=50))
    both = Joined([one, two], prefix=True)
    first = dataset_statistics(both, NAMES)
    some = select(one, ["e001"])
    dataset_statistics(some, NAMES)
    for store in (one, two):
        store.read.clear()
    assert bits(dataset_statistics(both, NAMES)) == bits(first)
    assert bits(dataset_statistics(some, NAMES)) == bits(
        fresh(EpisodeStore(tmp_path / "one"), NAMES, ["e001"])
    )
    assert not one.read and not two.read
    assert bits(first) == bits(fresh(both, NAMES))
    renamed = rename_streams(one, {"state": "joints"})  # changed by code: never kept
    for _ in range(2):
        one.read.clear()
        dataset_statistics(renamed, ["joints"])
        assert one.read == one.keys()


def test_two_that_fill_the_cache_at_once(tmp_path: Path) -> None:
    one, two = (SummaryCache(tmp_path, "x") for _ in range(2))
    parts = [[summarise(np.full((2, 1), float(n)), 256)] for n in range(3)]
    one.add("a", parts[0])
    two.add("a", parts[0])
    two.add("b", parts[1])
    one.flush()
    two.add("c", parts[2])
    two.flush()
    found = SummaryCache(tmp_path, "x")
    for name, (part,) in zip("abc", parts, strict=True):
        (kept,) = found.get(name) or ()
        assert all(np.array_equal(getattr(kept, f), getattr(part, f)) for f in vars(part))
    assert found.get("d") is None and found.get(None) is None
    assert SummaryCache(tmp_path, "y").get("a") is None
    assert SummaryCache(tmp_path / "other", "x").get("a") is None


@pytest.mark.slow
def test_two_processes_at_once(tmp_path: Path, home: Path) -> None:
    folder = write(tmp_path / "d", "a", range(8))
    code = (
        "import sys; from robocache.datasets import EpisodeStore\n"
        "from robocache.datasets.statistics import dataset_statistics\n"
        "found = dataset_statistics(EpisodeStore(sys.argv[1]), ['state', 'action'])\n"
        "print(found.to_json())"
    )
    command = [sys.executable, "-c", code, str(folder)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate()[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    store = Watched(folder)
    assert said[0] == said[1] == f"{dataset_statistics(store, NAMES).to_json()}\n"
    assert not store.read
