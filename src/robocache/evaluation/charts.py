"""Curves as inline SVG that takes its colours from the page it stands in."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator
from numpy.typing import ArrayLike, NDArray

from robocache.core.errors import ShapeError

# Colours that matplotlib writes and the page's style sheet replaces.
THEME = {"#010101": "var(--muted)", "#020202": "var(--line)", "#030303": "var(--accent)"}
TEXT, GRID, INK = THEME
METADATA = ("Creator", "Date", "Format", "Type")
MAX_POINTS = 300
SIZE_INCHES = (4.4, 2.1)


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
        svg=_svg(steps, shown, logarithmic),
    )


def _svg(steps: NDArray[np.float64], values: NDArray[np.float64], logarithmic: bool) -> Markup:
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    axes = figure.add_subplot()
    _style(axes)
    if logarithmic:
        axes.set_yscale("log")
    parts = np.array_split(np.arange(len(steps)), min(len(steps), MAX_POINTS) or 1)
    if len(steps):
        middle = [float(steps[p].mean()) for p in parts]
        axes.plot(middle, [float(values[p].mean()) for p in parts], color=INK, linewidth=1.4)
    if len(steps) > MAX_POINTS:
        low, high = ([float(f(values[p])) for p in parts] for f in (np.min, np.max))
        axes.fill_between(middle, low, high, color=INK, alpha=0.22, linewidth=0)
    return _inline(figure)


def _style(axes: Axes) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.tick_params(which="both", length=0, labelsize=9, labelcolor=TEXT)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.margins(x=0.01)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def _inline(figure: Figure) -> Markup:
    """The figure as an <svg> element without metadata, with the page's colours."""
    buffer = io.StringIO()
    figure.patch.set_visible(False)
    figure.axes[0].patch.set_visible(False)
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "robocache"}):
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(METADATA))
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for pattern in (r' id="\w+_\d+"', r' (width|height)="[\d.]+pt"', r"<style.*?</style>"):
        text = re.sub(pattern, "", text)
    for colour, variable in THEME.items():
        text = text.replace(colour, variable)
    return Markup(text)
