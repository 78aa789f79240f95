"""Curves as inline SVG that takes its colours and strokes from the page it stands in."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import ArrayLike, NDArray

from robocache.core.errors import ShapeError

MAX_POINTS = 300
TICKS = 4
"""About how many grid lines a chart has."""
WIDTH, HEIGHT = 360, 180
LEFT, RIGHT, TOP, BOTTOM = 44, 342, 8, 158
"""The frame of the axes within the drawing."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curve:
    """One quantity over training.

    Attributes:
        name: what it is, e.g. "training loss".
        steps: (n,) increasing training steps.
        values: (n,) in `unit`; values that are not finite are left out and counted.
        unit: e.g. "samples/s"; "" when it has none.
    """

    name: str
    steps: ArrayLike
    values: ArrayLike
    unit: str = ""


@dataclass(frozen=True)
class Chart:
    """A drawn curve: its last value in words, how to read it, values left out, and the SVG."""

    name: str
    last: str
    remarks: str
    missing: int
    svg: Markup


@dataclass(frozen=True, eq=False)
class Line:
    """One of several lines in a chart: (n,) values over 1 ... n, drawn as the CSS class `style`."""

    name: str
    values: ArrayLike
    style: str


def draw(curve: Curve) -> Chart:
    """Draw a curve; beyond 300 points, means of equal runs of points within their extremes.

    Raises:
        ShapeError: steps and values are not two (n,) arrays of one length.
    """
    steps = np.asarray(curve.steps, dtype=np.float64)
    values = np.asarray(curve.values, dtype=np.float64)
    if steps.ndim != 1 or steps.shape != values.shape:
        raise ShapeError(
            f"curve {curve.name!r} needs (n,) steps and values, got {steps.shape} and "
            f"{values.shape}"
        )
    finite = np.isfinite(values)
    steps, shown = steps[finite], values[finite]
    logarithmic = len(shown) > 0 and shown.min() > 0 and shown.max() > 50 * shown.min()
    remarks = "Over training steps" + (", log scale." if logarithmic else ".")
    if len(shown) > MAX_POINTS:
        remarks += " Line: mean; band: lowest to highest."
    return Chart(
        name=curve.name,
        last=f"{shown[-1]:.4g} {curve.unit}".strip() if len(shown) else "no finite value",
        remarks=remarks,
        missing=len(values) - len(shown),
        svg=_curve(steps, shown, logarithmic, curve.name),
    )


def draw_lines(lines: Sequence[Line], name: str) -> Markup:
    """Lines over the steps of a horizon, 1 ... n, in one frame that begins at zero.

    Raises:
        ShapeError: a line is not (n,) with one n >= 1 for all.
    """
    drawn = [np.asarray(line.values, dtype=np.float64) for line in lines]
    shapes = {values.shape for values in drawn}
    if len(shapes) != 1 or drawn[0].ndim != 1 or not len(drawn[0]):
        raise ShapeError(f"chart {name!r} needs lines of one length, got {sorted(shapes)}")
    top = max(float(np.nanmax(values)) for values in drawn) or 1.0
    steps = np.arange(1, len(drawn[0]) + 1, dtype=np.float64)
    across = scale(steps[0], steps[-1], LEFT, RIGHT)
    up = scale(0.0, top, BOTTOM, TOP)
    parts = [axes(steps[0], steps[-1], 0.0, top, across, up, logarithmic=False)]
    for line, values in zip(lines, drawn, strict=True):
        parts.append(f'<path class="line {line.style}" d="{path(across(steps), up(values))}"/>')
    return svg(parts, name)


def _curve(steps: Floats, values: Floats, logarithmic: bool, name: str) -> Markup:
    if not len(steps):
        return svg([f'<path class="axis" d="M{LEFT} {BOTTOM}H{RIGHT}"/>'], name)
    low, high = float(values.min()), float(values.max())
    if low == high:
        low, high = low - (abs(low) or 1.0) / 10, high + (abs(high) or 1.0) / 10
    view: Callable[[Floats], Floats] = np.log10 if logarithmic else np.asarray
    upwards = scale(float(view(np.array(low))), float(view(np.array(high))), BOTTOM, TOP)
    across = scale(steps[0], steps[-1], LEFT, RIGHT)

    def up(numbers: Floats) -> Floats:
        return upwards(view(np.asarray(numbers)))

    parts = [axes(steps[0], steps[-1], low, high, across, up, logarithmic)]
    groups = np.array_split(np.arange(len(steps)), min(len(steps), MAX_POINTS))
    middle = across(np.array([steps[g].mean() for g in groups]))
    if len(steps) > MAX_POINTS:
        least, most = (up(np.array([f(values[g]) for g in groups])) for f in (np.min, np.max))
        band = path(np.append(middle, middle[::-1]), np.append(least, most[::-1]))
        parts.append(f'<path class="band" d="{band}Z"/>')
    means = up(np.array([values[g].mean() for g in groups]))
    if len(steps) == 1:
        parts.append(f'<circle class="dot" cx="{middle[0]:.1f}" cy="{means[0]:.1f}" r="2.5"/>')
    parts.append(f'<path class="line curve" d="{path(middle, means)}"/>')
    return svg(parts, name)


def scale(low: float, high: float, start: float, stop: float) -> Callable[[Floats], Floats]:
    """A map from [low, high] to [start, stop]; a single value comes to the middle."""
    if low == high:
        return lambda values: np.full(np.shape(values), (start + stop) / 2)
    return lambda values: start + (np.asarray(values) - low) / (high - low) * (stop - start)


def axes(
    first: float,
    last: float,
    low: float,
    high: float,
    across: Callable[[Floats], Floats],
    up: Callable[[Floats], Floats],
    logarithmic: bool,
    *,
    whole: bool = True,
) -> str:
    """Grid lines and their labels; `whole`: along the bottom only whole numbers."""
    parts = []
    for tick in decades(low, high) if logarithmic else ticks(low, high, TICKS):
        y = float(up(np.array(tick)))
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{RIGHT}"/>')
        parts.append(f'<text class="down" x="{LEFT - 6}" y="{y + 4:.1f}">{_short(tick)}</text>')
    for tick in ticks(first, last, 5, whole=whole):
        x = float(across(np.array(tick)))
        parts.append(f'<text class="along" x="{x:.1f}" y="{HEIGHT - 6}">{_short(tick)}</text>')
    return "".join(parts)


def ticks(low: float, high: float, count: int, *, whole: bool = False) -> list[float]:
    """About `count` round numbers within [low, high]: multiples of 1, 2 or 5 times ten to some."""
    if low == high:
        return [low]
    step = _tick_step(low, high, count)
    if whole:
        step = max(step, 1.0)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def round_limits(low: float, high: float) -> tuple[float, float]:
    """The nearest ticks around [low, high], so that both ends of an axis have a label."""
    if low == high:
        low, high = low - (abs(low) or 1.0) / 10, high + (abs(high) or 1.0) / 10
    step = _tick_step(low, high, TICKS)
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step


def _tick_step(low: float, high: float, count: int) -> float:
    rough = (high - low) / count
    decade = 10.0 ** math.floor(math.log10(rough))
    return next(decade * size for size in (1, 2, 5, 10) if decade * size >= rough * 0.999)


def decades(low: float, high: float) -> list[float]:
    """Powers of ten within [low, high], at most six of them."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    return [10.0**power for power in range(first, last + 1, (last - first) // 6 + 1)]


def _short(value: float) -> str:
    if value and abs(value) >= 10_000:
        for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if abs(value) >= size:
                return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"


def path(xs: Floats, ys: Floats) -> str:
    """Straight lines through the points; a point that is not finite is a gap."""
    text, pen = "", "M"
    for x, y in zip(xs, ys, strict=True):
        if np.isfinite(y):
            text += f"{pen}{x:.1f} {y:.1f}"
            pen = "L"
        else:
            pen = "M"
    return text


def svg(parts: Sequence[str], name: str) -> Markup:
    return Markup(
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(name)}">{"".join(parts)}</svg>'
    )
