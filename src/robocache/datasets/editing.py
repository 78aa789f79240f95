"""Datasets edited into new folders: convert, merge, split, trim, delete, rename.

Nothing is changed in place. Episodes are read, changed and written one after another; the new
folder is there whole, with `provenance.json` in it, or not at all.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from robocache import __version__
from robocache.core.episode import Episode
from robocache.core.errors import ConfigError, DataError, unknown_name
from robocache.datasets.episodes import EpisodeStore
from robocache.datasets.lerobot import LeRobotDataset, LeRobotSettings
from robocache.datasets.lerobot.write import fill_folder
from robocache.datasets.new_folder import new_folder
from robocache.datasets.parts import split_keys
from robocache.datasets.reader import Reader
from robocache.datasets.shards import SUFFIX, write_shard
from robocache.datasets.skipping import SoundEpisodes
from robocache.datasets.views import Joined, View, cut, rename_streams

PROVENANCE = "provenance.json"
TARGETS = ("episodes", "lerobot")
SHARD_BYTES = 2**26
LARGEST_EPISODE = 2**31 - 1  # bytes of one stream: a cell of a Parquet shard holds no more


@dataclass(frozen=True)
class Target:
    """What is written.

    Attributes:
        to: "episodes" (Parquet shards of this project) or "lerobot" (v3.0).
        lerobot: rate, cameras and codec, for "lerobot".
    """

    to: str = "episodes"
    lerobot: LeRobotSettings = field(default_factory=LeRobotSettings)

    def __post_init__(self) -> None:
        if self.to not in TARGETS:
            raise unknown_name("format to write", self.to, TARGETS)


def same_format(dataset: Reader) -> str:
    """The format in which an edited copy of a dataset is written unless it is said."""
    while isinstance(dataset, View):
        dataset = dataset.source
    if isinstance(dataset, Joined):
        dataset = dataset.sources[0]
    return "lerobot" if isinstance(dataset, LeRobotDataset) else "episodes"


def convert(dataset: Reader, folder: Path, target: Target) -> Reader:
    """Write a dataset, or any view of one, to a new folder.

    Raises:
        DataError: an episode cannot be read or written; names it.
        StorageError: the folder exists, or the disk is full; nothing is left behind.
    """
    with new_folder(folder) as temporary:
        _fill(temporary, dataset, target, _told(dataset, target))
    return _open(folder, target)


def merge(
    datasets: Sequence[Reader], folder: Path, target: Target, *, prefix: bool = False
) -> Reader:
    """Write several datasets with the same streams as one; see `views.Joined` for clashes."""
    return convert(Joined(datasets, prefix=prefix), folder, target)


def split(
    dataset: Reader, folder: Path, parts: Mapping[str, float], target: Target
) -> dict[str, Reader]:
    """Write the parts of a dataset to `folder/<name>`; see `parts.split_keys`."""
    for name in parts:
        if not name or name != Path(name).name or name.startswith("."):
            raise ConfigError(f"a part cannot be called {name!r}: it is the name of a folder")
    chosen = split_keys(dataset, parts)
    with new_folder(folder) as temporary:
        for name, keys in chosen.items():
            if not keys:
                raise ConfigError(f"part {name!r} would be empty: {len(dataset)} episodes are few")
            view = View(dataset, {"split": dict(parts), "part": name}, keys=keys)
            (temporary / name).mkdir()
            _fill(temporary / name, view, target, _told(view, target))
    return {name: _open(folder / name, target) for name in chosen}


def trim(
    dataset: Reader,
    *,
    start_s: float = 0.0,
    end_s: float = 0.0,
    idle: float | None = None,
    action: str = "action",
) -> View:
    """The same episodes, shorter at both ends.

    Args:
        dataset: what to trim.
        start_s, end_s: seconds to take off the beginning and the end.
        idle: also take off what lies before the first and after the last action whose norm is at
            least this.
        action: name of the stream with the actions.
    """
    if start_s < 0 or end_s < 0 or (idle is not None and idle <= 0):
        raise ConfigError("start, end and idle are positive numbers")
    operation = {"trim": {"start_s": start_s, "end_s": end_s, "idle": idle, "action": action}}
    return View(dataset, operation, change=lambda e: _trimmed(e, start_s, end_s, idle, action))


def delete(dataset: Reader, patterns: Sequence[str]) -> View:
    """All episodes but those whose key is, or matches, one of these (`*` and `?` as in a shell).

    Raises:
        ConfigError: one of them matches no episode.
    """
    keys, gone = dataset.keys(), set()
    for pattern in patterns:
        found = [key for key in keys if key == pattern] or fnmatch.filter(keys, pattern)
        if not found:
            raise unknown_name(f"episode of {dataset.name}", pattern, keys)
        gone.update(found)
    return View(dataset, {"delete": sorted(gone)}, keys=[key for key in keys if key not in gone])


rename = rename_streams


def _trimmed(
    episode: Episode, start_s: float, end_s: float, idle: float | None, action: str
) -> Episode:
    times = [s.times_s for s in episode.streams.values() if len(s) and s.spec.rate_hz is not None]
    if not times:
        raise DataError("has no periodic stream to trim by", episode=episode.key)
    low = min(float(t[0]) for t in times) + start_s
    high = max(float(t[-1]) for t in times) - end_s
    if idle is not None:
        moving = _moving(episode, idle, action)
        low, high = max(low, moving[0]), min(high, moving[1])
    if not low < high:
        raise DataError(f"nothing is left between {low:g} and {high:g} s", episode=episode.key)
    streams = {name: cut(s, low, high) for name, s in episode.streams.items()}
    steps = len(streams[action]) if action in streams else episode.outcome.steps
    return replace(
        episode,
        streams=streams,
        outcome=replace(episode.outcome, steps=steps),
        start_ns=episode.start_ns + round(low * 1e9),
    )


def _moving(episode: Episode, idle: float, action: str) -> tuple[float, float]:
    """Times of the first and the last action that is not idle."""
    stream = episode.stream(action)
    values = np.asarray(stream.values[:], np.float64).reshape(len(stream), -1)
    moving = np.flatnonzero(np.linalg.norm(values, axis=1) >= idle)
    if not len(moving):
        raise DataError(
            f"no action has a norm of {idle:g} or more: delete the episode, or lower the threshold",
            episode=episode.key,
            stream=action,
        )
    return float(stream.times_s[moving[0]]), float(stream.times_s[moving[-1]])


def _fill(folder: Path, dataset: Reader, target: Target, told: Mapping[str, Any]) -> None:
    if target.to == "lerobot":
        fill_folder(folder, iter_episodes(dataset), target.lerobot)
    else:
        _write_shards(folder, dataset)
    made = _open(folder, target)
    result: dict[str, Any] = {"episodes": len(made), "fingerprint": made.fingerprint}
    if target.to == "lerobot":
        pairs = zip(dataset.keys(), made.keys(), strict=True)
        result["renamed_keys"] = {old: new for old, new in pairs if old != new}
    text = json.dumps({**told, "result": result}, indent=2, ensure_ascii=False)
    (folder / PROVENANCE).write_text(text + "\n", encoding="utf-8")


def iter_episodes(dataset: Reader) -> Iterator[Episode]:
    """The episodes of a dataset one after another."""
    keys = dataset.keys()
    return (dataset[key] for key in keys)


def _write_shards(folder: Path, dataset: Reader) -> None:
    """Shards of about `SHARD_BYTES` each."""
    waiting: list[Episode] = []
    size = number = 0
    for episode in iter_episodes(dataset):
        mine = _bytes(episode)
        if waiting and size + mine > SHARD_BYTES:
            write_shard(folder / f"part-{number:06d}{SUFFIX}", waiting)
            waiting, size, number = [], 0, number + 1
        waiting.append(episode)
        size += mine
    if not waiting and not number:
        raise ConfigError("there are no episodes to write")
    write_shard(folder / f"part-{number:06d}{SUFFIX}", waiting)


def _bytes(episode: Episode) -> int:
    total = 0
    for name, stream in episode.streams.items():
        size = int(np.prod(stream.values.shape)) * np.dtype(stream.values.dtype).itemsize
        if size > LARGEST_EPISODE:
            raise DataError(
                f"{size} bytes decoded, a shard holds {LARGEST_EPISODE} of one stream: write "
                f"LeRobot instead",
                episode=episode.key,
                stream=name,
            )
        total += size
    return total


def _open(folder: Path, target: Target) -> Reader:
    return LeRobotDataset(folder) if target.to == "lerobot" else EpisodeStore(folder)


def _told(dataset: Reader, target: Target) -> dict[str, Any]:
    """Where a result comes from and what was done, as plain data."""
    written = {"to": target.to, **(asdict(target.lerobot) if target.to == "lerobot" else {})}
    return {"made_by": f"robocache {__version__}", "written": written, **_history(dataset)}


def _history(dataset: Reader) -> dict[str, Any]:
    if isinstance(dataset, View) and not isinstance(dataset, SoundEpisodes):
        before = _history(dataset.source)
        return {**before, "operations": [*before["operations"], dataset.operation]}
    if isinstance(dataset, Joined):
        return {"sources": [_origin(s) for s in dataset.sources], "operations": [{"merge": True}]}
    return {"sources": [_origin(dataset)], "operations": []}


def _origin(dataset: Reader) -> dict[str, Any]:
    """One dataset on disk, with its own provenance if it has one."""
    if isinstance(dataset, View | Joined) and not isinstance(dataset, SoundEpisodes):
        return _history(dataset)
    path = Path(dataset.path)
    origin: dict[str, Any] = {
        "name": dataset.name,
        "path": str(path.absolute()),
        "episodes": len(dataset),
        "fingerprint": dataset.fingerprint,
    }
    if isinstance(dataset, SoundEpisodes):
        origin["skipped"] = dataset.to_json()
    try:
        origin["provenance"] = json.loads((path / PROVENANCE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return origin
    return origin
