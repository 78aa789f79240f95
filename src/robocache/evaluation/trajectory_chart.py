"""Predicted chunks against recorded actions over time: a chart for each action dimension."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from robocache.datasets.dimensions import Dimension
from robocache.evaluation.charts import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    axes,
    path,
    round_limits,
    scale,
    svg,
)
from robocache.evaluation.trajectories import Trajectory, TrajectoryErrors

SHOWN = 9
"""Charts of an episode that are seen at once: the dimensions with the largest errors."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DimensionChart:
    """One dimension of one episode: its name, unit and mean absolute error in words, the chart."""

    name: str
    remark: str
    svg: Markup


@dataclass(frozen=True)
class DrawnTrajectory:
    """One episode: its key and the charts, `shown` those with the largest errors."""

    episode: str
    steps: int
    shown: tuple[DimensionChart, ...]
    others: tuple[DimensionChart, ...]


@dataclass(frozen=True)
class TrajectoryPage:
    """What the page shows of whole trajectories: figures of all, charts of a few."""

    errors: TrajectoryErrors
    counted: int
    size: int
    drawn: tuple[DrawnTrajectory, ...]


def trajectory_page(
    errors: TrajectoryErrors, kept: Sequence[Trajectory], dimensions: Sequence[Dimension]
) -> TrajectoryPage:
    """Draw the trajectories that were kept; `dimensions` of their actions."""
    return TrajectoryPage(
        errors=errors,
        counted=int(errors.counted.sum()),
        size=len(errors.counted),
        drawn=tuple(_drawn(one, dimensions) for one in kept),
    )


def _drawn(trajectory: Trajectory, dimensions: Sequence[Dimension]) -> DrawnTrajectory:
    mae = np.abs(trajectory.errors()).mean(axis=0)
    order = np.argsort(-mae, kind="stable")
    charts = [
        DimensionChart(
            name=one.name,
            remark=f"{one.unit + ', ' if one.unit else ''}MAE {error:.3g}",
            svg=_chart(trajectory, number, f"{one} of {trajectory.episode}"),
        )
        for number, (one, error) in enumerate(zip(dimensions, mae, strict=True))
    ]
    return DrawnTrajectory(
        trajectory.episode,
        len(trajectory.times_s),
        tuple(charts[number] for number in sorted(order[:SHOWN])),
        tuple(charts[number] for number in sorted(order[SHOWN:])),
    )


def _chart(trajectory: Trajectory, number: int, name: str) -> Markup:
    """The recorded action as one line, each predicted chunk as another, a dot where it begins."""
    times_s = trajectory.times_s
    recorded, predicted = (
        values[:, number].astype(np.float64)
        for values in (trajectory.recorded, trajectory.predicted)
    )
    both = np.concatenate([recorded, predicted])
    known = both[np.isfinite(both)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    low, high = round_limits(low, high)
    end_s = float(times_s[-1]) if times_s[-1] > times_s[0] else float(times_s[0]) + 1.0
    across, up = scale(float(times_s[0]), end_s, LEFT, RIGHT), scale(low, high, BOTTOM, TOP)
    xs, ys = across(times_s), up(predicted)
    parts = [axes(float(times_s[0]), end_s, low, high, across, up, logarithmic=False, whole=False)]
    parts.append(f'<path class="line recorded" d="{path(xs, up(recorded))}"/>')
    chunks = np.split(np.arange(len(xs)), trajectory.starts[1:])
    lines = "".join(path(xs[chunk], ys[chunk]) for chunk in chunks)
    parts.append(f'<path class="line predicted" d="{lines}"/>')
    parts += [
        f'<circle class="dot" cx="{xs[at]:.1f}" cy="{ys[at]:.1f}" r="2"/>'
        for at in trajectory.starts
        if np.isfinite(ys[at])
    ]
    return svg(parts, name)
