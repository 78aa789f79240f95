"""A cache gives the samples of its dataset, is made once whatever happens, and is never trusted."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from picture_episodes import WINDOW, EpisodeList, picture_dataset, picture_episode
from PIL import Image

from processes import fork
from robocache.core import Episode, Stream, StreamInput, StreamSpec, Window
from robocache.core.errors import ConfigError, CorruptFileError, ShapeError, StorageError
from robocache.datasets import Loader, WindowTable
from robocache.datasets.cache import (
    build,
    build_cache,
    find_cache,
    list_caches,
    open_cache,
    remove_cache,
)
from robocache.runs import CRASH_POINTS, atomic_write
from robocache.runs.lock import is_locked

SMALL = Window(
    (StreamInput("state"), StreamInput("camera", (-0.1, 0.0), size=(4, 3))), "action", 10.0, 3
)


def many(count: int = 20, window_steps: int = 5, **options) -> EpisodeList:
    return picture_dataset("arm", (window_steps,) * count, **options)


def all_of(table: WindowTable):
    return table.batch(np.arange(len(table)))


def table_of(dataset: EpisodeList, window: Window, keys: list[str] | None = None) -> WindowTable:
    return WindowTable((dataset[key] for key in keys or dataset.keys()), window)


def as_jpeg(frame: np.ndarray, quality: int) -> np.ndarray:
    """What Pillow makes of a picture that went through JPEG."""
    kept = io.BytesIO()
    Image.fromarray(frame).save(kept, "JPEG", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(kept))


def test_samples_are_those_of_the_dataset_and_pictures_went_through_jpeg():
    dataset = many()
    plain = table_of(dataset, SMALL)
    cache = open_cache(build_cache(dataset, SMALL, quality=80))
    cached = WindowTable(cache.episodes, SMALL)
    one, two = all_of(plain), all_of(cached)
    assert torch.equal(one.values["state"], two.values["state"])
    assert torch.equal(one.actions, two.actions)
    assert torch.equal(one.action_valid, two.action_valid)
    for name in one.values:
        assert torch.equal(one.valid[name], two.valid[name])
        assert torch.equal(one.age_s[name], two.age_s[name])
    assert one.instructions == two.instructions
    rows = np.arange(len(plain))
    assert plain.origins(rows) == cached.origins(rows)
    for before, after, valid in zip(
        one.values["camera"].flatten(0, 1).numpy(),
        two.values["camera"].flatten(0, 1).numpy(),
        one.valid["camera"].flatten().tolist(),
        strict=True,
    ):
        expected = as_jpeg(before, 80) if valid else np.zeros_like(before)
        # The two encoders average colours over four pixels in slightly different ways.
        assert np.abs(after.astype(int) - expected).max() <= (20 if valid else 0)


def test_a_lossy_cache_is_not_resumed_as_if_it_were_the_dataset():
    dataset = many(3)
    cache = open_cache(build_cache(dataset, SMALL))
    state = Loader(table_of(dataset, SMALL), 4, seed=1).state_dict()
    with pytest.raises(ConfigError, match="samples was"):
        Loader(WindowTable(cache.episodes, SMALL), 4, seed=1).load_state_dict(state)


def test_without_pictures_nothing_is_lost_and_the_samples_are_the_same():
    dataset = many(18)
    window = Window((StreamInput("state", (-0.15, 0.0)),), "action", 10.0, 3)
    cache = open_cache(build_cache(dataset, window))
    assert WindowTable(cache.episodes, window).digest() == table_of(dataset, window).digest()


def test_some_of_its_episodes_are_as_if_only_these_had_been_read():
    dataset = many(20)
    folder = build_cache(dataset, SMALL)
    keys = [dataset.keys()[number] for number in (1, 2, 15, 17)]
    cache = open_cache(folder, keys)
    assert list(cache.content) == keys
    cached, plain = WindowTable(cache.episodes, SMALL), table_of(dataset, SMALL, keys)
    assert torch.equal(all_of(cached).actions, all_of(plain).actions)
    assert np.array_equal(cached.now_s, plain.now_s)
    assert np.array_equal(cached.episode_of, plain.episode_of)
    whole = WindowTable(open_cache(folder).episodes, SMALL)
    mine = np.concatenate([whole.rows_of(key) for key in keys])
    assert torch.equal(all_of(cached).values["camera"], whole.batch(mine).values["camera"])


@pytest.mark.parametrize(
    ("dtype", "shape"), [("uint16", (6, 8)), ("float32", (6, 8)), ("uint8", (6, 8, 4))]
)
def test_what_is_not_a_colour_is_kept_exactly(dtype: str, shape: tuple[int, ...]):
    values = np.random.default_rng(0).integers(0, 250, (5, *shape)).astype(dtype)

    class Lazy:
        shape, dtype = values.shape, values.dtype

        def __len__(self) -> int:
            return len(values)

        def __getitem__(self, index):
            return values[index]

    spec = StreamSpec(shape, dtype, 10.0)
    episode = picture_episode("a", 5)
    streams = {**episode.streams, "camera": Stream(Lazy(), np.arange(5) / 10, spec)}
    dataset = EpisodeList("exact", [replace(episode, streams=streams)])
    window = Window((StreamInput("camera"),), "action", 10.0, 1)
    cache = open_cache(build_cache(dataset, window))
    read = all_of(WindowTable(cache.episodes, window)).values["camera"][:, 0].numpy()
    assert np.array_equal(read, values)
    assert cache.episodes.loss == ""


def test_processes_make_and_read_the_same(home: Path):
    dataset = many(34)
    alone = open_cache(build_cache(dataset, SMALL))
    expected = all_of(WindowTable(alone.episodes, SMALL)).values["camera"]
    files = content(alone.folder)
    del alone
    remove_cache(list_caches()[0].folder.name)
    folder = build_cache(dataset, SMALL, workers=2)
    assert content(folder) == files
    table = WindowTable(open_cache(folder).episodes, SMALL)
    with Loader(table, 10, seed=0, workers=1, shuffle=False) as loader:
        assert torch.equal(next(loader).values["camera"], expected[:10])


def content(folder: Path) -> dict[str, bytes]:
    """Every file that holds data, without locks."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.stat().st_size and path.suffix in (".npy", ".frames", ".json")
    }


def test_an_unreadable_episode_stops_it_and_what_was_made_is_not_made_again():
    dataset = many(33)
    broken = dataset.keys()[32]
    dataset._episodes[broken] = picture_episode(broken, 5, damaged=2)
    with pytest.raises(CorruptFileError, match=broken):
        build_cache(dataset, SMALL)
    assert not list_caches()[0].complete
    assert find_cache(dataset.fingerprint, SMALL, dataset.keys()) is None
    read: list[str] = []
    dataset._episodes[broken] = picture_episode(broken, 5)
    original = dataset.__class__.__getitem__

    class Counted(EpisodeList):
        def __getitem__(self, key: int | str) -> Episode:
            read.append(str(key))
            return original(self, key)

    build_cache(Counted("arm", list(dataset._episodes.values())), SMALL)
    assert read == [broken]


def killed_at(point: str, dataset: EpisodeList) -> int | None:
    process = fork(_build, point, os.environ["ROBOCACHE_HOME"], dataset)
    process.join()
    return process.exitcode


def _build(point: str | None, home: str, dataset: EpisodeList) -> None:
    os.environ["ROBOCACHE_HOME"] = home
    if point is not None:
        os.environ["ROBOCACHE_CRASH_AT"] = point
    build_cache(dataset, SMALL)


@pytest.mark.parametrize(
    "point", ["file-written", "file-renamed", "directory-written", "directory-renamed"]
)
def test_killed_anywhere_it_goes_on_and_ends_with_the_same_files(point: str):
    assert point in CRASH_POINTS
    dataset = many(20)
    assert killed_at(point, dataset) == 137
    folder = build_cache(dataset, SMALL)
    mine = content(folder)
    assert not list(folder.rglob(".*.tmp-*"))
    remove_cache(folder.name)
    assert content(build_cache(dataset, SMALL)) == mine


def test_two_at_once_share_the_work():
    dataset = many(40)
    others = [fork(_build, None, os.environ["ROBOCACHE_HOME"], dataset) for _ in range(2)]
    folder = build_cache(dataset, SMALL)
    for process in others:
        process.join()
        assert process.exitcode == 0
    assert len(WindowTable(open_cache(folder).episodes, SMALL)) == 200
    assert [cache.complete for cache in list_caches()] == [True]


def test_one_that_ends_does_not_sweep_away_what_another_writes(monkeypatch: pytest.MonkeyPatch):
    dataset = many(4)
    seen: list[str] = []

    def replaced(path: Path, data: bytes) -> None:
        assert is_locked(path.parent / "table.lock")
        seen.append(path.name)
        atomic_write(path, data)

    monkeypatch.setattr(build, "atomic_write", replaced)
    build_cache(dataset, SMALL)
    assert seen == ["about.json"]


def test_found_by_dataset_windows_and_episodes():
    dataset = many(4)
    keys = dataset.keys()
    assert find_cache(dataset.fingerprint, SMALL, keys) is None
    most, all_90 = (
        build_cache(dataset, SMALL, keys[:3], quality=95),
        build_cache(dataset, SMALL, quality=90),
    )
    assert find_cache(dataset.fingerprint, SMALL, keys) == all_90
    assert find_cache(dataset.fingerprint, SMALL, keys[1:3]) == most
    assert find_cache(dataset.fingerprint, SMALL, keys[:3], quality=90) == all_90
    assert find_cache("another", SMALL, keys) is None
    assert find_cache(dataset.fingerprint, WINDOW, keys) is None
    with pytest.raises(ConfigError, match=f"lacks episode {keys[3]}"):
        open_cache(most, keys)


def test_room_is_made_by_removing_what_was_not_used_for_longest():
    first = build_cache(many(2), SMALL, quality=90)
    second = build_cache(many(2), SMALL, quality=91)
    os.utime(first / "about.json", (1, 1))
    os.utime(first / "in-use", (1, 1))
    size = {one.folder: one.size_bytes() for one in list_caches()}
    third = build_cache(
        many(2), SMALL, quality=92, limit_bytes=size[second] + max(size.values()) + 2000
    )
    assert {one.folder for one in list_caches()} == {second, third}
    using = open_cache(second)
    with pytest.raises(StorageError, match=r"larger limit"):
        build_cache(many(2), SMALL, quality=93, limit_bytes=size[second] // 2)
    assert (using.folder / "table").is_dir()
    with pytest.raises(ConfigError, match="in use"):
        remove_cache(second.name)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("parts/00000/1.frames", flip),
        ("parts/00000/1.frames", lambda path: path.write_bytes(path.read_bytes()[:100])),
        ("parts/00000/1.frames", Path.unlink),
        ("parts/00000/1.index.npy", lambda path: path.write_bytes(b"")),
        ("table/actions.values.npy", flip),
        ("table/now_s.npy", Path.unlink),
        ("table/table.json", lambda path: path.write_bytes(b"{")),
        ("table/table.json", lambda path: path.write_text(json.dumps({"keys": []}))),
    ],
)
def test_a_changed_file_is_noticed_and_named(file: str, change: Callable[[Path], None]):
    folder = build_cache(many(3), SMALL)
    change(folder / file)
    with pytest.raises(CorruptFileError, match=Path(file).name):
        all_of(WindowTable(open_cache(folder).episodes, SMALL))


def test_episodes_of_other_shapes_in_a_later_part_are_refused():
    dataset = many(17)
    last = dataset[16]
    wide = Stream(np.zeros((5, 4), np.float32), np.arange(5) / 10, StreamSpec((4,), rate_hz=10.0))
    dataset._episodes[last.key] = replace(last, streams={**last.streams, "state": wide})
    with pytest.raises(ShapeError, match="expected"):
        build_cache(dataset, SMALL)


def test_a_full_disk_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch):
    from robocache.datasets.cache import part

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(part.np, "savez", full)
    with pytest.raises(StorageError, match="disk is full"):
        build_cache(many(2), SMALL)
    monkeypatch.undo()
    assert build_cache(many(2), SMALL).is_dir()
