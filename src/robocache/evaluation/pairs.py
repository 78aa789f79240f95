"""Paired outcomes: what became of every episode under both policies, one cell each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from robocache.evaluation.closed_loop import judged
from robocache.evaluation.statistics import paired_counts
from robocache.runs import LedgerRow

Kind = Literal["both", "candidate", "baseline", "neither"]
_KINDS: dict[tuple[bool, bool], Kind] = {
    (True, True): "both",
    (True, False): "candidate",
    (False, True): "baseline",
    (False, False): "neither",
}


@dataclass(frozen=True)
class Cell:
    """One episode: its number under the seed, and who solved it."""

    index: int
    kind: Kind


@dataclass(frozen=True)
class TaskPairs:
    """The episodes of one task, in the order of their numbers."""

    task: str
    cells: tuple[Cell, ...]

    def count(self, kind: Kind) -> int:
        return sum(cell.kind == kind for cell in self.cells)


def pair_by_task(
    candidate: Sequence[LedgerRow], baseline: Sequence[LedgerRow]
) -> tuple[TaskPairs, ...]:
    """The episodes of both policies side by side, tasks sorted by name.

    Raises:
        DataError: the two did not run the same episodes, or one was not judged.
    """
    ours, theirs = (
        {(row.task, row.seed, row.index): judged(row) for row in rows}
        for rows in (candidate, baseline)
    )
    paired_counts({str(key): v for key, v in ours.items()}, {str(k): v for k, v in theirs.items()})
    tasks: dict[str, list[Cell]] = {}
    for key in sorted(ours, key=lambda key: (key[0], key[1] or 0, key[2])):
        tasks.setdefault(key[0], []).append(Cell(key[2], _KINDS[ours[key], theirs[key]]))
    return tuple(TaskPairs(task, tuple(cells)) for task, cells in tasks.items())
