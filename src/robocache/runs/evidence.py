"""Checkpoints, verdicts on them and moves of slots, as they are recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from sqlalchemy import Connection, RowMapping, func, select, update

from robocache.runs.database import insert_missing
from robocache.runs.home import located, portable
from robocache.runs.plain import utc_now
from robocache.runs.tables import checkpoints, promotions, verdicts

Outcome = Literal["accepted", "rejected", "inconclusive"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


@dataclass(frozen=True)
class Verdict:
    """The outcome of comparing two checkpoints.

    Attributes:
        candidate, baseline: identity hashes.
        outcome: accepted, rejected or inconclusive.
        numbers: what was measured.
        plan: what was decided before measuring.
        created: ISO 8601 UTC.
    """

    id: int
    candidate: str
    baseline: str
    outcome: Outcome
    numbers: Mapping[str, Any]
    plan: Mapping[str, Any]
    created: str


@dataclass(frozen=True)
class Promotion:
    """One move of a slot.

    Attributes:
        version: number of the move within the slot, from 1.
        checkpoint: identity hash of the new holder, and `path` its folder.
        previous: identity hash of the holder before; None when the slot was empty.
        baseline, verdict_id: the evidence; None for a rollback.
        attempts: how many verdicts on this pair were ever recorded, this one included; the more
            there are, the less one accepted verdict says.
        created: ISO 8601 UTC.
    """

    slot: str
    version: int
    checkpoint: str
    path: Path
    previous: str | None
    baseline: str | None
    verdict_id: int | None
    kind: Literal["promote", "rollback"]
    who: str
    created: str
    attempts: int


def record_checkpoint(
    connection: Connection,
    sha256: str,
    path: Path,
    *,
    run_id: str | None = None,
    step: int | None = None,
) -> None:
    """Remember where a checkpoint is; one that is known stays where it is unless that is gone."""
    row = {"run_id": run_id, "step": step, "path": portable(path), "created": utc_now()}
    known = checkpoints.c.sha256 == sha256
    there = connection.scalar(select(checkpoints.c.path).where(known))
    if there is None:
        connection.execute(insert_missing(checkpoints).values(sha256=sha256, **row))
    elif not located(there).is_dir():
        given = {name: value for name, value in row.items() if value is not None}
        connection.execute(update(checkpoints).where(known).values(given))


def standing(past: Sequence[Promotion]) -> list[Promotion]:
    """The promotions that were not rolled back; the last holds the slot."""
    stack: list[Promotion] = []
    for move in past:
        if move.kind == "promote":
            stack.append(move)
        else:
            stack.pop()
    return stack


def verdicts_on(connection: Connection, candidate: str, baseline: str) -> list[Verdict]:
    query = select(verdicts).where(
        verdicts.c.candidate == candidate, verdicts.c.baseline == baseline
    )
    found = connection.execute(query.order_by(verdicts.c.id)).mappings()
    return [Verdict(**row) for row in found]


def slot_history(connection: Connection, slot: str) -> list[Promotion]:
    attempts = (
        select(func.count())
        .where(
            verdicts.c.candidate == promotions.c.checkpoint,
            verdicts.c.baseline == promotions.c.baseline,
        )
        .scalar_subquery()
    )
    query = (
        select(promotions, checkpoints.c.path, attempts.label("attempts"))
        .join(checkpoints, checkpoints.c.sha256 == promotions.c.checkpoint)
        .where(promotions.c.slot == slot)
        .order_by(promotions.c.version)
    )
    return [_promotion(row) for row in connection.execute(query).mappings()]


def _promotion(row: RowMapping) -> Promotion:
    values = {name: value for name, value in row.items() if name != "id"}
    return Promotion(**{**values, "path": located(row["path"])})
