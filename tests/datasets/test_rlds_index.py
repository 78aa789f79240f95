"""Which files of a large RLDS dataset are opened, and the indexes that are kept."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from rlds_writer import SIMPLE, shard_file, simple_episode, write_dataset

from robocache.core.window import StreamInput, Window
from robocache.datasets import WindowTable, episode_files
from robocache.datasets.rlds import RLDSDataset, RTXDataLoader, RTXDataset
from robocache.datasets.rlds import records as records_module

SHARDS, EACH = 100, 10
_opened: list[str] | None = None


def _look(event: str, arguments: tuple) -> None:
    if event == "open" and _opened is not None:
        _opened.append(str(arguments[0]))


sys.addaudithook(_look)  # hooks cannot be taken away again; this one rests between the tests


@pytest.fixture
def opened():
    """Paths of all files that are opened from now on."""
    global _opened
    _opened = []
    yield _opened
    _opened = None


@pytest.fixture(scope="module")
def thousand(tmp_path_factory) -> Path:
    """1,000 episodes in 100 shards."""
    record = simple_episode(0, 4)
    folder = tmp_path_factory.mktemp("thousand") / "arm" / "1.0.0"
    return write_dataset(folder, SIMPLE, {"train": [[record] * EACH] * SHARDS})


def shards_among(paths: list[str], folder: Path) -> set[Path]:
    return {Path(path) for path in paths if "tfrecord" in path and path.startswith(str(folder))}


def test_windows_open_only_the_files_of_their_episodes(thousand, opened):
    dataset = RLDSDataset(thousand)
    assert len(dataset) == SHARDS * EACH
    assert not shards_among(opened, thousand)
    keys = [f"train/{number:06d}" for number in (3, 7, 412, 999)]
    needed = {shard_file(thousand, number=n, count=SHARDS) for n in (0, 41, 99)}
    inputs = (StreamInput("observation/state"), StreamInput("observation/front"))
    table = WindowTable((dataset[key] for key in keys), Window(inputs, "action", 1.0, 2))
    batch = table.batch(np.arange(len(table)))
    assert len(batch.values["observation/front"]) == len(table) == 4 * len(keys)
    assert shards_among(opened, thousand) == needed


def test_the_loader_opens_a_shard_when_its_episodes_come(thousand, opened):
    batches = iter(RTXDataLoader(RTXDataset(thousand), 1, shuffle=False, threads=2))
    for _ in range(12):
        next(batches)
    names = {path.name for path in shards_among(opened, thousand)}
    assert names == {shard_file(thousand, number=n, count=SHARDS).name for n in (0, 1)}
    batches.close()


def test_a_kept_index_spares_following_the_file(thousand, opened, tmp_path, monkeypatch):
    monkeypatch.setenv("ROBOCACHE_HOME", str(tmp_path))
    monkeypatch.setattr(records_module, "WORTH_KEEPING", EACH)
    monkeypatch.setattr(episode_files, "SETTLED_NS", 0)
    fingerprint = RLDSDataset(thousand).fingerprint
    assert len(list((tmp_path / "cache" / "indexes").iterdir())) == SHARDS
    opened.clear()
    assert RLDSDataset(thousand).fingerprint == fingerprint
    assert not shards_among(opened, thousand)
