"""Low-dimensional streams over time, as inline SVG: a line per dimension, or a row of a picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from robocache.core import Stream
from robocache.evaluation.charts import BOTTOM, LEFT, RIGHT, TOP, axes, path, scale, svg
from robocache.evaluation.filmstrip import film_frames

LINES = 8
"""Most dimensions in one chart."""
MOST_DIMENSIONS = 48
"""Streams with more are drawn as a picture."""
LARGEST_SAMPLE = 4096
SMALLEST_PICTURE = 8
BUCKETS = 200
ROWS_MOST, COLUMNS_MOST = 512, 600


@dataclass(frozen=True)
class StreamChart:
    """A drawn stream, or some of its dimensions.

    Attributes:
        title: name of the stream, with the dimensions that are drawn.
        remark: shape, unit and range in words.
        dimensions: numbers of the lines, in the order of their colours.
        svg: the chart; None where there is a picture.
        png: a picture with a row per dimension; None where there is a chart.
    """

    title: str
    remark: str
    dimensions: tuple[int, ...] = ()
    svg: Markup | None = None
    png: bytes | None = None


def is_low(stream: Stream) -> bool:
    """Whether a stream can be drawn over time: numbers in memory, few a sample, no pictures."""
    shape = stream.spec.shape
    if len(shape) >= 2 and min(shape[:2]) >= SMALLEST_PICTURE:
        return False
    size = int(np.prod(shape))
    numeric = np.dtype(stream.spec.dtype).kind in "biuf"
    return isinstance(stream.values, np.ndarray) and numeric and 0 < size <= LARGEST_SAMPLE


def constant(stream: Stream) -> bool:
    """Whether every sample equals the first."""
    values = flat(stream)
    return len(values) == 0 or bool((values == values[0]).all())


def flat(stream: Stream) -> NDArray[np.float64]:
    """(T, D) samples as numbers."""
    size = int(np.prod(stream.spec.shape))
    return np.asarray(stream.values, np.float64).reshape(len(stream), size) + 0.0  # no -0


def stream_charts(name: str, stream: Stream, span_s: tuple[float, float]) -> Iterator[StreamChart]:
    """Draw a stream over [start, end] seconds, at most `LINES` dimensions a chart."""
    values = flat(stream)
    size = values.shape[1]
    if size > MOST_DIMENSIONS:
        yield StreamChart(name, _remark(stream, values), png=_picture(values))
        return
    for columns in np.array_split(np.arange(size), -(-size // LINES)):
        chosen = tuple(int(column) for column in columns)
        part = values[:, columns]
        title = name if size <= LINES else f"{name} [{chosen[0]}:{chosen[-1] + 1}]"
        yield StreamChart(
            title, _remark(stream, part), chosen, svg=_lines(stream, part, span_s, title)
        )


def _remark(stream: Stream, values: NDArray[np.float64]) -> str:
    known = values[np.isfinite(values)]
    extent = f"{known.min():.4g} to {known.max():.4g}" if len(known) else "no finite value"
    missing = values.size - len(known)
    words = [f"{extent} {stream.spec.unit}".strip(), f"{len(values)} samples"]
    return ", ".join([*words, *([f"{missing} not finite"] if missing else [])])


def _lines(
    stream: Stream,
    values: NDArray[np.float64],
    span_s: tuple[float, float],
    name: str,
) -> Markup:
    """Beyond 2 x `BUCKETS` samples, the lowest and highest of equal runs of samples. Flags hold
    until the next sample."""
    times_s = stream.times_s
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    if low == high:
        low, high = low - (abs(low) or 1.0) / 10, high + (abs(high) or 1.0) / 10
    end = span_s[1] if span_s[1] > span_s[0] else span_s[0] + 1.0
    across, up = scale(span_s[0], end, LEFT, RIGHT), scale(low, high, BOTTOM, TOP)
    parts = [axes(span_s[0], end, low, high, across, up, logarithmic=False, whole=False)]
    for number, line in enumerate(values.T):
        rows = _extremes(line)
        xs, ys = across(times_s[rows]), up(line[rows])
        if stream.spec.dtype == "bool":
            xs, ys = np.repeat(xs, 2)[1:], np.repeat(ys, 2)[:-1]
        parts.append(f'<path class="line d{number}" d="{path(xs, ys)}"/>')
        if len(line) == 1 and np.isfinite(line[0]):
            x, y = float(across(times_s)[0]), float(up(line)[0])
            parts.append(f'<circle class="dot d{number}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
    return svg(parts, f"{name} over time")


def _extremes(line: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which samples of (T,) to draw: first, last, and the extremes of every run."""
    if len(line) <= 2 * BUCKETS:
        return np.arange(len(line))
    kept = {0, len(line) - 1}
    for rows in np.array_split(np.arange(len(line)), BUCKETS):
        part = line[rows]
        if np.isfinite(part).any():
            kept |= {int(rows[np.nanargmin(part)]), int(rows[np.nanargmax(part)])}
        kept |= {int(row) for row in rows[~np.isfinite(part)][:1]}
    return np.array(sorted(kept))


def _picture(values: NDArray[np.float64]) -> bytes:
    """A row per dimension, a column per sample; dark: lowest of all, light: highest."""
    columns = np.linspace(0, len(values) - 1, min(len(values), COLUMNS_MOST)).round().astype(int)
    rows = np.linspace(0, values.shape[1] - 1, min(values.shape[1], ROWS_MOST)).round().astype(int)
    grid = np.nan_to_num(values[np.ix_(columns, rows)].T, posinf=0.0, neginf=0.0)
    spread = (grid.max() - grid.min()) or 1.0
    grey = (255 * (grid - grid.min()) / spread).astype(np.uint8)
    return film_frames([np.repeat(grey[..., None], 3, axis=2)])[0]
