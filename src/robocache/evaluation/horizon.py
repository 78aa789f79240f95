"""Errors over the horizon, for reading: a curve for each predictor, a table, and dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from robocache.core.errors import DataError
from robocache.datasets.dimensions import Dimension
from robocache.evaluation.charts import Line, draw_lines
from robocache.evaluation.open_loop import Measure, OpenLoopResult

MEASURES: dict[Measure, str] = {
    "absolute": "Mean absolute error",
    "square": "Root mean square error",
}


@dataclass(frozen=True)
class HorizonRow:
    """One step of the horizon: how many windows were judged, and an error for each column."""

    step: int
    windows: int
    errors: tuple[float, ...]


@dataclass(frozen=True)
class DimensionRow:
    """One action dimension.

    Attributes:
        name, unit: as far as they are known.
        errors: mean absolute error over the horizon for each column.
        shares: the same of the largest error of any dimension in this unit, 0 to 1.
    """

    name: str
    unit: str
    errors: tuple[float, ...]
    shares: tuple[float, ...]


@dataclass(frozen=True)
class HorizonErrors:
    """What the page shows of an open-loop evaluation, or of two on the same windows.

    Attributes:
        columns: (name, CSS style) of each predictor.
        charts: (measure, drawing).
        rows: steps; mean absolute errors of all columns, then root mean square ones.
        overall: the same over all steps.
        dimensions: action dimensions.
        unit: of all of them; "" where it is not one, or not known.
    """

    columns: tuple[tuple[str, str], ...]
    charts: tuple[tuple[str, Markup], ...]
    rows: tuple[HorizonRow, ...]
    overall: tuple[float, ...]
    dimensions: tuple[DimensionRow, ...]
    unit: str = ""


def horizon_errors(result: OpenLoopResult, baseline: OpenLoopResult | None = None) -> HorizonErrors:
    """Errors of a policy beside those of holding still and of the mean action.

    Args:
        result: of the policy, or the candidate.
        baseline: of another policy on the same windows.

    Raises:
        DataError: the two were not judged on the same windows.
    """
    if baseline is not None and not (
        np.array_equal(result.windows, baseline.windows)
        and result.absolute["policy"].shape == baseline.absolute["policy"].shape
        and np.allclose(result.absolute["hold"], baseline.absolute["hold"])
    ):
        raise DataError("the two open-loop evaluations were not made on the same windows")
    arms = [("policy" if baseline is None else "candidate", "candidate", result, "policy")]
    if baseline is not None:
        arms.append(("baseline", "baseline", baseline, "policy"))
    arms += [("hold", "hold", result, "hold"), ("mean", "mean", result, "mean")]

    curves: list[list[NDArray[np.float64]]] = [
        [arm.per_step(measure)[predictor] for _, _, arm, predictor in arms] for measure in MEASURES
    ]
    charts = []
    for title, values in zip(MEASURES.values(), curves, strict=True):
        lines = [Line(arm[0], v, arm[1]) for arm, v in zip(arms, values, strict=True)]
        charts.append((title, draw_lines(lines[::-1], f"{title} over the horizon")))
    return HorizonErrors(
        columns=tuple((arm[0], arm[1]) for arm in arms),
        charts=tuple(charts),
        rows=tuple(
            HorizonRow(step + 1, int(count), tuple(float(v[step]) for v in curves[0] + curves[1]))
            for step, count in enumerate(result.windows)
        ),
        overall=tuple(
            arm.overall(measure)[predictor] for measure in MEASURES for _, _, arm, predictor in arms
        ),
        dimensions=_dimensions(
            result.named(), [arm.per_dimension()[name] for _, _, arm, name in arms]
        ),
        unit=result.unit,
    )


def _dimensions(
    named: Sequence[Dimension], errors: Sequence[NDArray[np.float64]]
) -> tuple[DimensionRow, ...]:
    """From (A,) errors of each column."""
    largest: dict[str, float] = {}
    for number, one in enumerate(named):
        most = max(float(column[number]) for column in errors)
        largest[one.unit] = max(largest.get(one.unit, 0.0), most)
    rows = []
    for number, one in enumerate(named):
        values = tuple(float(column[number]) for column in errors)
        shares = tuple(value / (largest[one.unit] or 1.0) for value in values)
        rows.append(DimensionRow(one.name, one.unit, values, shares))
    return tuple(rows)
