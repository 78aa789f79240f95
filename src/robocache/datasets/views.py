"""Datasets seen otherwise: fewer episodes, other names, shorter, or several as one.

A view is a `Reader` itself; nothing is copied and frames stay encoded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from robocache.core.episode import Episode
from robocache.core.errors import ConfigError, DataError, ShapeError, unknown_name
from robocache.core.stream import FrameArray, SelectedFrames, Stream
from robocache.datasets.dimensions import Dimension, told_dimensions
from robocache.datasets.episode_files import EpisodeFiles, episode_files
from robocache.datasets.reader import Reader

ROUNDING_S = 1e-9  # a sample this near to where an episode is cut counts as there


class View:
    """Episodes of a dataset, chosen and changed.

    Args:
        source: the dataset.
        operation: what was done, as plain data; part of the fingerprint.
        keys: which episodes, in this order; None: all.
        change: makes an episode of the view from one of the source; must keep its key.
    """

    def __init__(
        self,
        source: Reader,
        operation: Mapping[str, Any],
        *,
        keys: Sequence[str] | None = None,
        change: Callable[[Episode], Episode] | None = None,
    ) -> None:
        self.name, self.path = source.name, source.path
        self.source, self.operation = source, dict(operation)
        self._keys = list(source.keys() if keys is None else keys)
        self._known = set(self._keys)
        self._change = change

    @property
    def fingerprint(self) -> str:
        """sha256 over the source's fingerprint and what was done."""
        return _fingerprint([self.source.fingerprint], {**self.operation, "keys": self._keys})

    def keys(self) -> list[str]:
        return list(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[Episode]:
        return (self[key] for key in self._keys)

    def __getitem__(self, key: int | str) -> Episode:
        name = self._keys[key] if isinstance(key, int) else key
        if name not in self._known:
            raise unknown_name(f"episode of {self.name}", name, self._keys)
        episode = self.source[name]
        return episode if self._change is None else self._change(episode)

    def episode_files(self, key: str) -> EpisodeFiles | None:
        """Those of the source; not known of an episode that is changed by code."""
        return None if self._change is not None else episode_files(self.source, key)

    def dimensions(self, stream: str) -> tuple[Dimension, ...]:
        """Those of the source; of what is changed by code only where streams were renamed."""
        renamed = self.operation.get("rename")
        if renamed is not None:
            old = {new: old for old, new in renamed.items()}
            return told_dimensions(self.source, old.get(stream, stream))
        return () if self._change is not None else told_dimensions(self.source, stream)

    def problems(self) -> Iterator[DataError]:
        """What is wrong with the source, as far as it concerns these episodes."""
        for problem in self.source.problems():
            if problem.episode is None or problem.episode in self._known:
                yield problem

    def lost(self) -> Iterator[DataError]:
        """What the source lists of these episodes and has not; see `skipping`."""
        for problem in getattr(self.source, "lost", list)():
            if problem.episode in self._known:
                yield problem

    def report(self) -> dict[str, Any]:
        return {**self.source.report(), "episodes": len(self), "edited": self.operation}


class Joined:
    """Several datasets with the same streams as one.

    Args:
        sources: the datasets, in the order of their episodes.
        prefix: call every episode `<dataset>/<key>`.

    Raises:
        ConfigError: two episodes have the same key; or two datasets the same name, with `prefix`.
        ShapeError: the first episodes of two datasets have other streams.
    """

    def __init__(self, sources: Sequence[Reader], *, prefix: bool = False) -> None:
        if not sources:
            raise ConfigError("there are no datasets to merge")
        self.sources = list(sources)
        self.name, self.path = "+".join(s.name for s in sources), sources[0].path
        self._prefix = prefix
        self._places: dict[str, tuple[Reader, str]] = {}
        for source in sources:
            keys = source.keys()
            for key in keys:
                mine = f"{source.name}/{key}" if prefix else key
                if mine in self._places:
                    raise ConfigError(_clash(mine, self._places[mine][0], source, prefix))
                self._places[mine] = (source, key)
        _require_same_streams(self.sources)

    @property
    def fingerprint(self) -> str:
        prints = [source.fingerprint for source in self.sources]
        return _fingerprint(prints, {"merge": len(prints), "prefix": self._prefix})

    def keys(self) -> list[str]:
        return list(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Episode]:
        return (self[key] for key in self._places)

    def __getitem__(self, key: int | str) -> Episode:
        name = self.keys()[key] if isinstance(key, int) else key
        if name not in self._places:
            raise unknown_name(f"episode of {self.name}", name, self._places)
        source, inner = self._places[name]
        return replace(source[inner], key=name)

    def episode_files(self, key: str) -> EpisodeFiles | None:
        source, inner = self._places[key]
        found = episode_files(source, inner)
        return None if found is None else replace(found, reading=f"{inner} {found.reading}")

    def dimensions(self, stream: str) -> tuple[Dimension, ...]:
        """Those that all datasets agree on."""
        told = {told_dimensions(source, stream) for source in self.sources}
        return told.pop() if len(told) == 1 else ()

    def problems(self) -> Iterator[DataError]:
        for source in self.sources:
            yield from source.problems()

    def report(self) -> dict[str, Any]:
        parts = {source.name: source.report() for source in self.sources}
        return {"format": "merged", "episodes": len(self), "parts": parts}


def select(dataset: Reader, keys: Sequence[str]) -> View:
    """Only these episodes.

    Raises:
        ConfigError: a key is unknown.
    """
    known = dataset.keys()
    there = set(known)
    for key in keys:
        if key not in there:
            raise unknown_name(f"episode of {dataset.name}", key, known)
    return View(dataset, {"select": len(keys)}, keys=keys)


def rename_streams(dataset: Reader, names: Mapping[str, str]) -> View:
    """The same episodes with streams called otherwise: old name -> new name."""
    if len(set(names.values())) != len(names):
        raise ConfigError(f"two streams would get one name: {dict(names)}")
    return View(dataset, {"rename": dict(names)}, change=lambda e: _renamed(e, names))


def _renamed(episode: Episode, names: Mapping[str, str]) -> Episode:
    for old, new in names.items():
        episode.stream(old)
        if new in episode.streams and new not in names:
            raise ConfigError(
                f"stream {old!r} cannot become {new!r}: episode {episode.key} has one already"
            )
    streams = {names.get(name, name): stream for name, stream in episode.streams.items()}
    return replace(episode, streams=streams)


def cut(stream: Stream, low_s: float, high_s: float) -> Stream:
    """The samples in [low_s, high_s], with times from low_s on.

    Of a stream that is not periodic the sample that holds at `low_s` is kept too, at its own,
    then negative, time.
    """
    start = int(np.searchsorted(stream.times_s, low_s - ROUNDING_S))
    stop = int(np.searchsorted(stream.times_s, high_s + ROUNDING_S, side="right"))
    held = start == len(stream) or stream.times_s[start] > low_s + ROUNDING_S
    if stream.spec.rate_hz is None and start and held:
        start -= 1
    stop = max(start, stop)
    values: FrameArray = (
        stream.values[start:stop]
        if isinstance(stream.values, np.ndarray)
        else SelectedFrames(stream.values, np.arange(start, stop))
    )
    available = None if stream.available_s is None else stream.available_s[start:stop] - low_s
    times = stream.times_s[start:stop] - low_s
    if available is not None:  # subtraction may round the two apart
        available = np.maximum(available, times)
    return Stream(values, times, stream.spec, available)


def _clash(key: str, first: Reader, second: Reader, prefix: bool) -> str:
    if prefix:
        return f"two datasets are called {first.name!r}: {first.path} and {second.path}"
    return (
        f"both {first.name} and {second.name} have an episode {key!r}: merge with prefix, which "
        f"names episodes <dataset>/<key>"
    )


def _require_same_streams(sources: Sequence[Reader]) -> None:
    filled = [source for source in sources if len(source)]
    if not filled:
        return
    first = filled[0]
    wanted = _declared(first)
    for other in filled[1:]:
        found = _declared(other)
        for name in sorted({*wanted, *found}):
            if wanted.get(name) != found.get(name):
                raise ShapeError(
                    f"{first.name} has {wanted.get(name, 'no such stream')}, {other.name} has "
                    f"{found.get(name, 'no such stream')}: rename or leave out streams first",
                    stream=name,
                )


def _declared(source: Reader) -> dict[str, str]:
    specs = {name: stream.spec for name, stream in source[0].streams.items()}
    return {
        name: f"{spec.dtype} {spec.shape} "
        + ("once" if spec.rate_hz is None else f"at {spec.rate_hz:g} Hz")
        for name, spec in specs.items()
    }


def _fingerprint(sources: Sequence[str], operation: Mapping[str, Any]) -> str:
    record = {"sources": list(sources), "operation": operation}
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
