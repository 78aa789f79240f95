"""Several datasets, drawn from by weight."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from robocache.core.episode import Episode
from robocache.core.errors import ConfigError, ShapeError
from robocache.core.seeding import generator
from robocache.core.stream import StreamSpec
from robocache.core.window import Window
from robocache.datasets.mixed_batch import interleaved, side_by_side
from robocache.datasets.origin import Origin
from robocache.datasets.reader import Reader
from robocache.datasets.views import rename_streams
from robocache.datasets.window_column import FrameColumns
from robocache.datasets.windows import Batch, WindowTable

Transform = Callable[[Episode], Episode]


@dataclass(frozen=True)
class Source:
    """One dataset of a mixture.

    Attributes:
        data: a dataset, or its windows.
        weight: share of the samples, relative to the other datasets.
        embodiment: name of the robot, told with every sample.
        rename: old -> new name of streams.
        transforms: applied to each episode in turn, after `rename`, e.g. `ActionConversion`.
    """

    data: Reader | WindowTable
    weight: float = 1.0
    embodiment: str = ""
    rename: Mapping[str, str] = field(default_factory=dict)
    transforms: Sequence[Transform] = ()

    def episodes(self) -> Iterator[Episode]:
        """The episodes as the mixture sees them."""
        if isinstance(self.data, WindowTable):
            raise ConfigError("these are windows, made from episodes that are not kept")
        dataset = rename_streams(self.data, self.rename) if self.rename else self.data
        for number in range(len(dataset)):
            episode = dataset[number]
            for transform in self.transforms:
                episode = transform(episode)
            yield episode

    def table(self, window: Window | None) -> WindowTable:
        """Its windows."""
        if isinstance(self.data, WindowTable):
            if self.rename or self.transforms:
                raise ConfigError("rename and transforms need a dataset, these are windows already")
            return self.data
        if window is None:
            raise ConfigError("a mixture of datasets needs the window that samples see")
        return WindowTable(self.episodes(), window)


class Mixture:
    """The windows of several datasets; `Loader` draws from them by weight.

    Floating-point numbers of other widths become those of the first dataset. Robots that differ in
    their streams, rates or horizons are mixed with `alike=False`: each window then has the streams
    of its own robot, see `Batch.rows`.

    An epoch has as many samples as there are windows. Each dataset gets its share of them exactly,
    up to rounding, at places drawn from (seed, epoch); within a dataset windows come in shuffled
    passes, so none comes twice before every other came once.

    Args:
        sources: name -> dataset, (dataset, weight), or `Source`.
        window: what a sample sees and predicts; not needed where all sources are windows.
        alike: False: only datasets of one embodiment have to see and predict the same.

    Raises:
        ConfigError: no sources, a weight that is not positive, other windows than in the others.
        ShapeError: a stream has another shape or dtype than in the other datasets.
        DataError: as `WindowTable` raises.
    """

    def __init__(
        self,
        sources: Mapping[str, Source | Reader | WindowTable | tuple[Reader | WindowTable, float]],
        window: Window | None = None,
        *,
        alike: bool = True,
    ) -> None:
        if not sources:
            raise ConfigError("there are no datasets to mix")
        self.sources = {name: _as_source(source) for name, source in sources.items()}
        self.names = list(self.sources)
        self.weights = _shares({name: s.weight for name, s in self.sources.items()})
        self.tables = [source.table(window) for source in self.sources.values()]
        self.window, self.specs = self.tables[0].window, self.tables[0].specs
        firsts: dict[str, int] = {}
        for k, (name, source) in enumerate(self.sources.items()):
            first = firsts.setdefault("" if alike else source.embodiment, k)
            _require_fit(self.names[first], self.tables[first], name, self.tables[k])
        self._alike = len(firsts) == 1
        self._dtypes = {
            name: getattr(torch, spec.dtype)
            for name, spec in self.specs.items()
            if spec.dtype.startswith("float")
        }
        self._starts = np.cumsum([0, *(len(table) for table in self.tables)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def episodes(self) -> Iterator[Episode]:
        """Every episode once, renamed and transformed, for statistics."""
        for source in self.sources.values():
            yield from source.episodes()

    def batch(
        self,
        rows: NDArray[np.int64],
        /,
        frames: Sequence[Mapping[str, torch.Tensor]] | None = None,
    ) -> Batch:
        """The windows in these rows; `frames`: what `frame_reader` read for the same rows."""
        parts = [
            (at, self.tables[k].batch(inner, frames=None if frames is None else frames[k]))
            for k, at, inner in _by_table(self._starts, rows)
        ]
        tags = [source.embodiment for source in self.sources.values()]
        table_of = np.searchsorted(self._starts, rows, side="right") - 1
        embodiments = [tags[k] for k in table_of.tolist()]
        if not self._alike:
            return side_by_side(parts, rows, embodiments)
        return interleaved(parts, rows, embodiments, self._dtypes)

    def frame_reader(self) -> MixedFrames | None:
        """Decodes the streams that are not in memory; None: all are."""
        readers = [table.frame_reader() for table in self.tables]
        return MixedFrames(readers, self._starts) if any(readers) else None

    def order(self, seed: int, epoch: int) -> NDArray[np.int64]:
        """Row numbers of one epoch; a function of (seed, epoch) alone."""
        counts = self._counts()
        places = np.repeat(np.arange(len(counts)), counts)
        table_of = generator(seed, "mixture-datasets", epoch).permutation(places)
        rows = np.empty(len(self), np.int64)
        for k, (name, table) in enumerate(zip(self.names, self.tables, strict=True)):
            passes = [
                generator(seed, f"mixture-windows/{name}", epoch, number).permutation(len(table))
                for number in range(-(-int(counts[k]) // len(table)))
            ]
            if passes:
                rows[table_of == k] = self._starts[k] + np.concatenate(passes)[: counts[k]]
        return rows

    def origins(self, rows: NDArray[np.int64]) -> list[Origin]:
        """Dataset, episode and time of the windows in these rows."""
        found: dict[int, Origin] = {}
        for k, at, inner in _by_table(self._starts, rows):
            origins = self.tables[k].origins(inner)
            for place, origin in zip(at.tolist(), origins, strict=True):
                found[place] = replace(origin, dataset=self.names[k])
        return [found[place] for place in range(len(rows))]

    def digest(self) -> str:
        """sha256 over which samples there are, and how they are weighted."""
        parts = [
            (name, self.weights[name], table.digest())
            for name, table in zip(self.names, self.tables, strict=True)
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def report(self) -> dict[str, dict[str, Any]]:
        """Of each dataset: share, embodiment, episodes, windows, and how often an epoch sees it."""
        return {
            name: {
                "weight": self.weights[name],
                "embodiment": source.embodiment,
                "episodes": len(table.keys),
                "windows": len(table),
                "samples_per_epoch": count,
                "passes_per_epoch": count / len(table),
            }
            for (name, source), table, count in zip(
                self.sources.items(), self.tables, self._counts().tolist(), strict=True
            )
        }

    def _counts(self) -> NDArray[np.int64]:
        """Samples of each dataset in an epoch: its share, rounded by the largest remainder."""
        exact = np.array(list(self.weights.values())) * len(self)
        counts: NDArray[np.int64] = np.floor(exact).astype(np.int64)
        missing = len(self) - int(counts.sum())
        counts[np.argsort(counts - exact, kind="stable")[:missing]] += 1
        return counts


class MixedFrames:
    """The frames of a mixture; can be sent to another process and read there."""

    def __init__(self, readers: list[FrameColumns | None], starts: NDArray[np.int64]) -> None:
        self._readers, self._starts = readers, starts

    def read(self, rows: NDArray[np.int64]) -> list[dict[str, torch.Tensor]]:
        """Of each dataset: stream -> frames of those of the rows that are its own, in order."""
        frames: list[dict[str, torch.Tensor]] = [{} for _ in self._readers]
        for k, _, inner in _by_table(self._starts, rows):
            reader = self._readers[k]
            if reader is not None:
                frames[k] = reader.read(inner)
        return frames


def _by_table(
    starts: NDArray[np.int64], rows: NDArray[np.int64]
) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
    """Of each table with rows among these: its number, their places, and its own row numbers."""
    table_of = np.searchsorted(starts, rows, side="right") - 1
    for k in np.unique(table_of).tolist():
        at = np.flatnonzero(table_of == k)
        yield k, at, rows[at] - starts[k]


def _as_source(given: Source | Reader | WindowTable | tuple[Reader | WindowTable, float]) -> Source:
    if isinstance(given, Source):
        return given
    return Source(*given) if isinstance(given, tuple) else Source(given)


def _shares(weights: Mapping[str, float]) -> dict[str, float]:
    """The weights divided by their sum."""
    for name, weight in weights.items():
        if not (weight > 0 and np.isfinite(weight)):
            raise ConfigError(f"the weight of {name} must be a positive number, got {weight}")
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def _require_fit(first: str, wanted: WindowTable, name: str, table: WindowTable) -> None:
    if len(table) == 0:
        raise ConfigError(f"{name} has no windows")
    if table.window != wanted.window:
        raise ConfigError(f"the windows of {name} and {first} see or predict different things")
    for stream, spec in wanted.specs.items():
        found = table.specs[stream]
        floats = found.dtype.startswith("float") and spec.dtype.startswith("float")
        if found.shape != spec.shape or not (floats or found.dtype == spec.dtype):
            raise ShapeError(
                f"{first} has {_kind(spec)}, {name} has {_kind(found)}: a batch needs one shape; "
                f"rename or transform the streams of one of them",
                stream=stream,
            )


def _kind(spec: StreamSpec) -> str:
    return f"{spec.dtype} {spec.shape}"
