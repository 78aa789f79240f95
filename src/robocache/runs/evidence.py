"""Checkpoints, verdicts on them and moves of slots, as they are recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from sqlalchemy import Connection, RowMapping, func, select, update

from robocache.core.errors import StoreError
from robocache.runs.checkpoints import read_listing
from robocache.runs.database import insert_missing
from robocache.runs.home import located, portable
from robocache.runs.plain import utc_now
from robocache.runs.tables import checkpoints, promotions, rules, verdicts

Outcome = Literal["accepted", "rejected", "inconclusive"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


@dataclass(frozen=True)
class Verdict:
    """The outcome of comparing two checkpoints.

    Attributes:
        candidate, baseline: identity hashes; an empty baseline means a floor.
        outcome: accepted, rejected or inconclusive.
        numbers: what was measured.
        plan: what was decided before measuring.
        created: ISO 8601 UTC.
        rule: hash of the slot's rule that was applied; None for a comparison outside of one.
        evidence: role -> the run that was judged and the hash of its ledger rows.
    """

    id: int
    candidate: str
    baseline: str
    outcome: Outcome
    numbers: Mapping[str, Any]
    plan: Mapping[str, Any]
    created: str
    rule: str | None
    evidence: Mapping[str, Any]


@dataclass(frozen=True)
class Rule:
    """What a slot asks of a candidate, declared before any episode that counts was run.

    Attributes:
        sha256: identity; two declarations never share one.
        version: number of the declaration within the slot, from 1; the last one is in force.
        rule: the plan of episodes, the gate and the floor, as plain values.
        created: ISO 8601 UTC.
    """

    sha256: str
    slot: str
    version: int
    rule: Mapping[str, Any]
    who: str
    created: str


@dataclass(frozen=True)
class Promotion:
    """One move of a slot.

    Attributes:
        version: number of the move within the slot, from 1.
        checkpoint: identity hash of the new holder, and `path` its folder.
        previous: identity hash of the holder before; None when the slot was empty.
        baseline, verdict_id: the evidence; None for a rollback. An empty baseline: a floor.
        attempts: how many verdicts on this pair were recorded until then, this one included, and
            `rivals` how many other candidates were judged against the same baseline; the more
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
    rivals: int


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
        connection.execute(insert_missing(connection, checkpoints).values(sha256=sha256, **row))
    elif not located(there).is_dir():
        given = {name: value for name, value in row.items() if value is not None}
        connection.execute(update(checkpoints).where(known).values(given))


def record_checkpoints(connection: Connection, run_id: str, found: Mapping[int, Path]) -> None:
    """Remember the checkpoints of a run: step -> folder."""
    for step, path in found.items():
        record_checkpoint(connection, read_listing(path).sha256, path, run_id=run_id, step=step)


def standing(past: Sequence[Promotion]) -> list[Promotion]:
    """The promotions that were not rolled back; the last holds the slot."""
    stack: list[Promotion] = []
    for move in past:
        if move.kind == "promote":
            stack.append(move)
        elif stack:
            stack.pop()
        else:
            raise StoreError(
                f"version {move.version} of slot {move.slot!r} goes back to nothing: the database "
                f"is not what it was (robocache runs check)"
            )
    return stack


def verdicts_on(connection: Connection, candidate: str, baseline: str) -> list[Verdict]:
    query = select(verdicts).where(
        verdicts.c.candidate == candidate, verdicts.c.baseline == baseline
    )
    found = connection.execute(query.order_by(verdicts.c.id)).mappings()
    return [Verdict(**row) for row in found]


def rules_of(connection: Connection, slot: str) -> list[Rule]:
    query = select(rules).where(rules.c.slot == slot).order_by(rules.c.version)
    return [Rule(**row) for row in connection.execute(query).mappings()]


def slot_history(connection: Connection, slot: str) -> list[Promotion]:
    attempts = (
        select(func.count())
        .where(
            verdicts.c.candidate == promotions.c.checkpoint,
            verdicts.c.baseline == promotions.c.baseline,
            verdicts.c.id <= promotions.c.verdict_id,
        )
        .scalar_subquery()
    )
    rivals = (
        select(func.count(verdicts.c.candidate.distinct()))
        .where(
            verdicts.c.candidate != promotions.c.checkpoint,
            verdicts.c.baseline == promotions.c.baseline,
            verdicts.c.baseline != "",
            verdicts.c.id <= promotions.c.verdict_id,
        )
        .scalar_subquery()
    )
    query = (
        select(
            promotions,
            checkpoints.c.path,
            attempts.label("attempts"),
            rivals.label("rivals"),
        )
        .join(checkpoints, checkpoints.c.sha256 == promotions.c.checkpoint)
        .where(promotions.c.slot == slot)
        .order_by(promotions.c.version)
    )
    return [_promotion(row) for row in connection.execute(query).mappings()]


def _promotion(row: RowMapping) -> Promotion:
    values = {name: value for name, value in row.items() if name != "id"}
    return Promotion(**{**values, "path": located(row["path"])})
