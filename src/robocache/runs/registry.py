"""The registry: which checkpoint holds a slot ("production"), on what evidence, since when.

A slot moves only by an accepted verdict on exactly the candidate and the checkpoint it replaces,
or back by a rollback. Every move is a row; nothing is overwritten.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, insert, select

from robocache.core.errors import (
    CheckpointError,
    ConfigError,
    PromotionRefused,
    unknown_name,
)
from robocache.runs.checkpoints import verify_checkpoint
from robocache.runs.crash import crash_point
from robocache.runs.database import reading, writing
from robocache.runs.evidence import (
    OUTCOMES,
    Promotion,
    Verdict,
    record_checkpoint,
    slot_history,
    standing,
    verdicts_on,
)
from robocache.runs.plain import plain, utc_now
from robocache.runs.tables import promotions, verdicts

_HASH = re.compile(r"[0-9a-f]{64}")
_SLOT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Registry:
    """Verdicts and slots in one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add_verdict(
        self,
        candidate: str,
        baseline: str,
        outcome: str,
        *,
        numbers: Mapping[str, Any],
        plan: Mapping[str, Any],
    ) -> Verdict:
        """Record a verdict on two checkpoints, given by their identity hashes.

        Raises:
            ConfigError: an unknown outcome, or not a hash.
        """
        if outcome not in OUTCOMES:
            raise unknown_name("verdict outcome", outcome, OUTCOMES)
        for role, sha256 in (("candidate", candidate), ("baseline", baseline)):
            if not _HASH.fullmatch(sha256):
                raise ConfigError(
                    f"{role} must be a checkpoint's sha256 (64 digits), got {sha256!r}"
                )
        row = {
            "candidate": candidate,
            "baseline": baseline,
            "outcome": outcome,
            "numbers": plain(numbers),
            "plan": plain(plan),
            "created": utc_now(),
        }
        with writing(self._engine) as connection:
            added = connection.execute(insert(verdicts).values(row).returning(*verdicts.c))
            return Verdict(**added.mappings().one())

    def verdicts(self, candidate: str, baseline: str) -> list[Verdict]:
        """All verdicts on a pair, oldest first."""
        with reading(self._engine) as connection:
            return verdicts_on(connection, candidate, baseline)

    def slots(self) -> list[str]:
        """Names of all slots that ever had a holder."""
        with reading(self._engine) as connection:
            return sorted(connection.scalars(select(promotions.c.slot).distinct()))

    def history(self, slot: str) -> list[Promotion]:
        """All moves of a slot, oldest first; empty for an unknown slot."""
        with reading(self._engine) as connection:
            return slot_history(connection, slot)

    def holder(self, slot: str) -> Promotion | None:
        """The move that gave the slot its present holder; None while it is empty."""
        return next(reversed(self.history(slot)), None)

    def promote(
        self, slot: str, candidate: Path, *, against: Path | None = None, who: str
    ) -> Promotion:
        """Give the slot to the checkpoint in folder `candidate`.

        Args:
            against: the baseline, for a slot that is empty; else the holder is the baseline.
            who: on whose authority.

        Raises:
            PromotionRefused: no accepted verdict on exactly this pair, a checkpoint whose files
                are not what was recorded, or nothing to be decided.
            ConfigError: `slot` is not a name.
        """
        if not _SLOT.fullmatch(slot):
            raise ConfigError(f"slot {slot!r} must be up to 64 letters, digits, '.', '_' or '-'")
        sha256 = _verified(candidate)
        named = None if against is None else _verified(against)
        with writing(self._engine) as connection:
            past = slot_history(connection, slot)
            baseline = _baseline(slot, past, sha256, named)
            verdict = _accepted(connection, sha256, baseline)
            record_checkpoint(connection, sha256, candidate)
            evidence = {"baseline": baseline, "verdict_id": verdict.id}
            _move(connection, past, slot=slot, checkpoint=sha256, who=who, **evidence)
            crash_point("promotion-inserted")
            return slot_history(connection, slot)[-1]

    def rollback(self, slot: str, who: str) -> Promotion:
        """Give the slot back to the checkpoint that was promoted before its present holder.

        A second rollback goes one further back, not forward again.

        Raises:
            PromotionRefused: nothing was promoted before, or its files are not what was recorded.
        """
        target = _before_holder(slot, self.history(slot))
        found = _verified(target.path)
        if found != target.checkpoint:
            raise PromotionRefused(
                f"{target.path} now holds checkpoint {found[:12]}, version {target.version} of "
                f"slot {slot!r} was {target.checkpoint[:12]}: restore it from a copy"
            )
        with writing(self._engine) as connection:
            past = slot_history(connection, slot)
            if _before_holder(slot, past).version != target.version:
                raise PromotionRefused(f"slot {slot!r} was moved meanwhile: look at it again")
            _move(connection, past, slot=slot, checkpoint=target.checkpoint, who=who)
            crash_point("promotion-inserted")
            return slot_history(connection, slot)[-1]


def _before_holder(slot: str, past: Sequence[Promotion]) -> Promotion:
    stack = standing(past)
    if len(stack) < 2:
        raise PromotionRefused(
            f"slot {slot!r} has nothing to roll back to: "
            + ("its first checkpoint holds it" if stack else "it was never promoted to")
        )
    return stack[-2]


def _verified(path: Path) -> str:
    try:
        return verify_checkpoint(path)
    except CheckpointError as error:
        raise PromotionRefused(str(error)) from error


def _baseline(slot: str, past: Sequence[Promotion], candidate: str, named: str | None) -> str:
    """The hash that the candidate must have been judged against."""
    holder = past[-1].checkpoint if past else None
    if candidate == holder:
        raise PromotionRefused(f"checkpoint {candidate[:12]} holds slot {slot!r} already")
    if holder is None and named is None:
        raise PromotionRefused(
            f"slot {slot!r} is empty: say which checkpoint the candidate was judged against"
        )
    if holder is not None and named not in (None, holder):
        raise PromotionRefused(
            f"slot {slot!r} is held by {holder[:12]}, so the candidate must be judged against it, "
            f"not against {str(named)[:12]}"
        )
    if candidate == named:
        raise PromotionRefused(f"checkpoint {candidate[:12]} cannot be judged against itself")
    return str(holder or named)


def _accepted(connection: Connection, candidate: str, baseline: str) -> Verdict:
    """The newest accepted verdict on the pair."""
    found = verdicts_on(connection, candidate, baseline)
    for verdict in reversed(found):
        if verdict.outcome == "accepted":
            return verdict
    there = ", ".join(verdict.outcome for verdict in found) or "none"
    raise PromotionRefused(
        f"no accepted verdict on candidate {candidate[:12]} against baseline {baseline[:12]} "
        f"(recorded: {there}); evaluate this pair first"
    )


def _move(connection: Connection, past: Sequence[Promotion], **move: Any) -> None:
    """Add the next version of a slot: a promotion when there is a verdict, else a rollback."""
    row = {
        **move,
        "version": len(past) + 1,
        "previous": past[-1].checkpoint if past else None,
        "kind": "promote" if "verdict_id" in move else "rollback",
        "created": utc_now(),
    }
    connection.execute(insert(promotions).values(row))
