"""`robocache data stats`: mean, spread, range and quantiles of a dataset's streams."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robocache.cli.datasets import find_dataset
from robocache.cli.output import console
from robocache.cli.progress import progress
from robocache.cli.skipped import skipped_field
from robocache.core.errors import ConfigError
from robocache.core.statistics import Statistics, StreamStatistics
from robocache.core.window import StreamInput, Window
from robocache.datasets import Reader
from robocache.datasets.damaged import Needed
from robocache.datasets.statistics import (
    dataset_relative_statistics,
    dataset_statistics,
    gets_statistics,
)
from robocache.policies.flow.policy import relative_name
from robocache.runs import RunStore, atomic_write

MOST_ROWS = 64
"""Numbers of a sample that are shown one by one."""
HEADS = ("samples", "min", "1 %", "mean", "std", "99 %", "max")


@dataclass(frozen=True)
class Relative:
    """Actions minus a stream, for each step of a horizon.

    Attributes:
        reference: the stream that is subtracted.
        action: the actions.
        horizon: number of steps.
        rate_hz: of the steps; None: that of the action stream.
    """

    reference: str
    action: str = "action"
    horizon: int = 16
    rate_hz: float | None = None

    def __post_init__(self) -> None:
        if self.horizon < 1:
            raise ConfigError(f"--horizon must be 1 or more, got {self.horizon}")
        if self.rate_hz is not None and not 0 < self.rate_hz < float("inf"):
            raise ConfigError(f"--rate must be positive, got {self.rate_hz:g}")

    def window(self, dataset: Reader) -> Window:
        """The window whose actions are looked at."""
        rate_hz = self.rate_hz or dataset[0].stream(self.action).spec.rate_hz
        if rate_hz is None:
            raise ConfigError(f"stream {self.action!r} has no rate of its own: give --rate")
        return Window((StreamInput(self.reference),), self.action, rate_hz, self.horizon)


def stats(
    text: str,
    streams: Sequence[str],
    relative: Relative | None,
    options: Mapping[str, Any],
    out: Path | None,
    on_error: str = "raise",
) -> dict[str, Any]:
    """Print statistics of a dataset; the same as plain data.

    Args:
        text: a folder, a file, or the name of a collection.
        streams: which; none: all that get statistics in the first episode.
        relative: what else is told.
        options: for its reader.
        out: a file for the plain data.
        on_error: `raise` at an episode that cannot be read, or `skip` such episodes.

    Raises:
        ConfigError: no such dataset, it has no episodes, or the options are wrong.
        DataError: an episode cannot be read.
    """
    named = [*streams, *((relative.reference, relative.action) if relative and streams else ())]
    needed = Needed(tuple(dict.fromkeys(named)) or None, pictures=False)
    dataset = find_dataset(RunStore(), text, options, on_error=on_error, needed=needed)
    if not len(dataset):
        raise ConfigError(f"{dataset.name} has no episodes")
    names = list(streams) or [n for n, s in dataset[0].streams.items() if gets_statistics(s)]
    with progress("statistics", "episodes") as say:
        found = dataset_statistics(dataset, names, progress=lambda d, n: say(d, n, ""))
    together = dict(found.streams)
    console.print(f"{dataset.name}: {len(dataset)} episodes, {found.fingerprint[:12]}")
    rows = [row for name, one in found.streams.items() for row in _rows(name, one)]
    if relative is not None:
        window = relative.window(dataset)
        with progress("relative actions", "episodes") as say:
            steps = dataset_relative_statistics(
                dataset, window, relative.reference, progress=lambda d, n: say(d, n, "")
            )
        name = relative_name(relative.action, relative.reference)
        together |= {name: steps.pooled, f"{name} by step": steps.steps}
        rows += [*_rows(name, steps.pooled), *_step_rows(name, steps.steps, window.rate_hz)]
    _print(rows)
    for name in names:
        if name not in together:
            console.print(f"{name}: pictures get no statistics", markup=False)
    plain = {**Statistics(together, found.fingerprint).to_json(), **skipped_field([dataset])}
    if out is not None:
        atomic_write(out, json.dumps(plain, indent=1).encode())
        console.print(f"written to {out}", markup=False)
    return plain


def _rows(name: str, one: StreamStatistics) -> Iterator[tuple[str, ...]]:
    """A row for each number of a sample; of large samples, one for all."""
    if one.mean.size > MOST_ROWS:
        yield _row(f"{name}, all {one.mean.size} numbers", one)
        return
    for index in np.ndindex(one.mean.shape):
        yield _row(f"{name}{list(index) if index else ''}", _part(one, index))


def _step_rows(name: str, steps: StreamStatistics, rate_hz: float) -> Iterator[tuple[str, ...]]:
    """A row for each step, over all numbers of an action."""
    for step in range(len(steps.mean)):
        yield _row(f"{name}, after {step / rate_hz:.3g} s", _part(steps, (step,)), counted=False)


def _part(one: StreamStatistics, index: tuple[int, ...]) -> StreamStatistics:
    return StreamStatistics(
        mean=one.mean[index],
        std=one.std[index],
        minimum=one.minimum[index],
        maximum=one.maximum[index],
        q01=one.q01[index],
        q99=one.q99[index],
        count=one.count,
    )


def _row(name: str, one: StreamStatistics, *, counted: bool = True) -> tuple[str, ...]:
    figures = (
        np.min(one.minimum),
        np.min(one.q01),
        np.mean(one.mean),
        np.sqrt(np.mean(np.square(one.std))),
        np.max(one.q99),
        np.max(one.maximum),
    )
    return (name, str(one.count) if counted else "", *(f"{figure:.4g}" for figure in figures))


def _print(rows: Sequence[tuple[str, ...]]) -> None:
    table = [("stream", *HEADS), *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for name, *figures in table:
        cells = [f"{f:>{w}}" for f, w in zip(figures, widths[1:], strict=True)]
        console.print("  ".join([f"{name:{widths[0]}}", *cells]).rstrip(), markup=False)
