"""Closed loop: success per task and overall, from the rows of the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from robocache.core.errors import DataError
from robocache.evaluation.statistics import Proportion
from robocache.runs import LedgerRow


@dataclass(frozen=True)
class ClosedLoopResult:
    """Success on one plan.

    Attributes:
        tasks: task -> success with its interval.
        overall: over all episodes.
        opposite: task -> how often the opposite of what was asked happened, for two-sided scenes.
    """

    tasks: dict[str, Proportion]
    overall: Proportion
    opposite: dict[str, Proportion]

    def to_json(self) -> dict[str, Any]:
        return {
            "overall": record(self.overall),
            "tasks": {task: record(value) for task, value in self.tasks.items()},
            "opposite": {task: record(value) for task, value in self.opposite.items()},
        }


def summarise(rows: Sequence[LedgerRow], confidence: float = 0.95) -> ClosedLoopResult:
    """Count successes.

    Raises:
        DataError: no rows, or an episode that nobody judged.
    """
    by_task: dict[str, list[LedgerRow]] = {}
    for row in rows:
        by_task.setdefault(row.task, []).append(row)
    opposite = {
        task: [bool(row.details["opposite_success"]) for row in mine]
        for task, mine in by_task.items()
        if all("opposite_success" in row.details for row in mine)
    }
    return ClosedLoopResult(
        tasks={t: _rate([judged(row) for row in mine], confidence) for t, mine in by_task.items()},
        overall=_rate([judged(row) for row in rows], confidence),
        opposite={task: _rate(values, confidence) for task, values in opposite.items()},
    )


def paired_outcomes(rows: Sequence[LedgerRow]) -> dict[str, bool]:
    """Success by task, seed and index: what two policies on the same plan have in common."""
    return {f"{row.task}/{row.seed}/{row.index}": judged(row) for row in rows}


def judged(row: LedgerRow) -> bool:
    """The success of an episode.

    Raises:
        DataError: nobody judged it.
    """
    if row.success is None:
        raise DataError("the episode was not judged", episode=row.key)
    return row.success


def record(value: Proportion) -> dict[str, float]:
    """A proportion as plain numbers."""
    return {
        "successes": value.successes,
        "trials": value.trials,
        "rate": value.rate,
        "low": value.low,
        "high": value.high,
    }


def _rate(outcomes: Sequence[bool], confidence: float) -> Proportion:
    return Proportion.wilson(sum(outcomes), len(outcomes), confidence)
