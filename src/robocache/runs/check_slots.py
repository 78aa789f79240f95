"""Which moves of slots are not borne by what was recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import Engine, Row, select

from robocache.runs.database import reading
from robocache.runs.evidence import Verdict
from robocache.runs.plain import config_hash
from robocache.runs.tables import checkpoints, promotions, rules, runs, verdicts

Found = tuple[str, str]


def slot_problems(engine: Engine) -> Iterator[Found]:
    """Place and problem of every rule, verdict and move that does not agree with the others."""
    with reading(engine) as connection:
        declared = list(connection.execute(select(rules).order_by(rules.c.slot, rules.c.version)))
        judged = {
            row["id"]: Verdict(**row) for row in connection.execute(select(verdicts)).mappings()
        }
        order = select(promotions).order_by(promotions.c.slot, promotions.c.version)
        moves = list(connection.execute(order))
        known = set(connection.scalars(select(checkpoints.c.sha256)))
        ledgers = {
            row.id: row.ledger for row in connection.execute(select(runs.c.id, runs.c.ledger))
        }
    yield from _rule_problems(declared)
    slots = {row.sha256: row.slot for row in declared}
    for slot, of_slot in groupby(moves, key=lambda move: move.slot):
        past = list(of_slot)
        yield from _order_problems(slot, past)
        for move in past:
            place = f"slot {slot}, version {move.version},"
            if move.checkpoint not in known:
                yield place, f"is of checkpoint {move.checkpoint[:12]}, which is not known"
            if move.kind == "promote":
                for problem in _evidence_problems(move, judged, slots, ledgers):
                    yield place, problem


def _rule_problems(declared: Sequence[Row[Any]]) -> Iterator[Found]:
    """Rules whose text is not what their hash was made of, and versions left out."""
    for slot, of_slot in groupby(declared, key=lambda row: row.slot):
        for version, row in enumerate(of_slot, start=1):
            stated = {name: getattr(row, name) for name in ("slot", "version", "rule", "who")}
            if config_hash({**stated, "created": row.created}) != row.sha256:
                yield f"slot {slot}, rule {row.version},", "is altered"
            if row.version != version:
                yield f"slot {slot}, rule {version},", "is gone"
                break


def _order_problems(slot: str, past: Sequence[Row[Any]]) -> Iterator[Found]:
    """Moves that do not follow from the moves before them."""
    stack: list[str] = []
    holder = None
    for version, move in enumerate(past, start=1):
        place = f"slot {slot}, version {version},"
        if move.version != version:
            yield place, "is gone"
            return
        if move.previous != holder:
            yield place, f"follows {_short(move.previous)}, but {_short(holder)} held the slot"
        if move.kind == "promote":
            stack.append(move.checkpoint)
        elif stack[-2:-1] != [move.checkpoint]:
            yield place, f"goes back to {_short(move.checkpoint)}, which did not hold it before"
            return
        else:
            stack.pop()
        holder = move.checkpoint


def _evidence_problems(
    move: Row[Any],
    judged: Mapping[int, Verdict],
    slots: Mapping[str, str],
    ledgers: Mapping[str, str | None],
) -> Iterator[str]:
    """Why a promotion does not rest on its verdict."""
    verdict = judged.get(move.verdict_id)
    if verdict is None:
        yield "rests on no verdict"
        return
    stated = (verdict.candidate, verdict.baseline, verdict.outcome)
    if stated != (move.checkpoint, move.baseline, "accepted"):
        yield (
            f"is not borne by verdict {verdict.id}: {verdict.outcome}, "
            f"{_short(verdict.candidate)} against {_short(verdict.baseline)}"
        )
    if verdict.rule is None:
        return  # given before slots had rules
    if slots.get(verdict.rule) != move.slot:
        yield f"rests on a rule that slot {move.slot} never had"
    if verdict.baseline != (move.previous or ""):
        yield f"was judged against {_short(verdict.baseline)}, not against the holder"
    for used in verdict.evidence.values():
        run_id, ledger = used["run"], used["ledger"]
        if run_id not in ledgers:
            yield f"rests on run {run_id}, which is not known"
        elif ledgers[run_id] != ledger:
            yield f"rests on episodes that run {run_id} no longer has"


def _short(sha256: str | None) -> str:
    return sha256[:12] if sha256 else "nothing"
