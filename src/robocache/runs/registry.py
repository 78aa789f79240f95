"""The registry: which checkpoint holds a slot ("production"), on what evidence, since when.

A slot has a rule, declared before the episodes that count. It moves only by an accepted verdict
under that rule on exactly the candidate and the checkpoint it replaces (or, while it is empty, by
one on the rule's floor), or back by a rollback. Every move is a row; nothing is overwritten.

`evaluation.promotion` judges; this file only keeps.
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
    Rule,
    Verdict,
    record_checkpoint,
    rules_of,
    slot_history,
    standing,
    verdicts_on,
)
from robocache.runs.plain import config_hash, plain, utc_now
from robocache.runs.tables import promotions, rules, verdicts

_HASH = re.compile(r"[0-9a-f]{64}")
_SLOT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Registry:
    """Verdicts and slots in one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def declare(self, slot: str, rule: Mapping[str, Any], *, who: str) -> Rule:
        """Put a rule in force for a slot; the rule in force if it is the same.

        Raises:
            ConfigError: `slot` is not a name, or the rule cannot be kept.
        """
        _require_slot(slot)
        wanted = plain(rule)
        with writing(self._engine) as connection:
            past = rules_of(connection, slot)
            if past and past[-1].rule == wanted:
                return past[-1]
            row = {
                "slot": slot,
                "version": len(past) + 1,
                "rule": wanted,
                "who": who,
                "created": utc_now(),
            }
            connection.execute(insert(rules).values(**row, sha256=config_hash(row)))
            crash_point("rule-inserted")
            return rules_of(connection, slot)[-1]

    def rules(self, slot: str) -> list[Rule]:
        """All rules a slot ever had, oldest first; the last is in force."""
        with reading(self._engine) as connection:
            return rules_of(connection, slot)

    def rule(self, slot: str) -> Rule:
        """The rule in force.

        Raises:
            ConfigError: the slot has none; the message names the nearest slot.
        """
        declared = self.rules(slot)
        if not declared:
            raise unknown_name("slot", slot, self.slots())
        return declared[-1]

    def add_verdict(
        self,
        candidate: str,
        baseline: str,
        outcome: str,
        *,
        numbers: Mapping[str, Any],
        plan: Mapping[str, Any],
        evidence: Mapping[str, Any] | None = None,
        rule: str | None = None,
    ) -> Verdict:
        """Record a verdict on two checkpoints, given by their identity hashes.

        The same verdict on the same evidence is recorded once; looking again is no new attempt.

        Args:
            baseline: "" when the candidate was judged against a floor.
            evidence: which runs were judged.
            rule: hash of the slot's rule that was applied.

        Raises:
            ConfigError: an unknown outcome, or not a hash.
        """
        if outcome not in OUTCOMES:
            raise unknown_name("verdict outcome", outcome, OUTCOMES)
        for role, sha256 in (("candidate", candidate), ("baseline", baseline)):
            if not _HASH.fullmatch(sha256) and (role, sha256) != ("baseline", ""):
                raise ConfigError(
                    f"{role} must be a checkpoint's sha256 (64 digits), got {sha256!r}"
                )
        row = {
            "candidate": candidate,
            "baseline": baseline,
            "outcome": outcome,
            "numbers": plain(numbers),
            "plan": plain(plan),
            "evidence": plain(evidence or {}),
            "rule": rule,
        }
        with writing(self._engine) as connection:
            for known in verdicts_on(connection, candidate, baseline):
                if all(getattr(known, name) == value for name, value in row.items()):
                    return known
            values = {**row, "created": utc_now()}
            added = connection.execute(insert(verdicts).values(values).returning(*verdicts.c))
            return Verdict(**added.mappings().one())

    def verdicts(self, candidate: str, baseline: str) -> list[Verdict]:
        """All verdicts on a pair, oldest first."""
        with reading(self._engine) as connection:
            return verdicts_on(connection, candidate, baseline)

    def slots(self) -> list[str]:
        """Names of all slots that ever had a rule or a holder."""
        with reading(self._engine) as connection:
            held = set(connection.scalars(select(promotions.c.slot).distinct()))
            return sorted(held | set(connection.scalars(select(rules.c.slot).distinct())))

    def history(self, slot: str) -> list[Promotion]:
        """All moves of a slot, oldest first; empty for an unknown slot."""
        with reading(self._engine) as connection:
            return slot_history(connection, slot)

    def holder(self, slot: str) -> Promotion | None:
        """The move that gave the slot its present holder; None while it is empty."""
        return next(reversed(self.history(slot)), None)

    def promote(self, slot: str, candidate: Path, verdict: Verdict, *, who: str) -> Promotion:
        """Give the slot to the checkpoint in folder `candidate`, on this verdict.

        Args:
            verdict: as `add_verdict` returned it.
            who: on whose authority.

        Raises:
            PromotionRefused: the verdict is not an accepting one, under the rule in force, on
                exactly this checkpoint and the present holder; or the files are not what was
                judged.
        """
        sha256 = _verified(candidate)
        with writing(self._engine) as connection:
            past = slot_history(connection, slot)
            declared = rules_of(connection, slot)
            _require_fresh(slot, declared, past, sha256, verdict)
            record_checkpoint(connection, sha256, candidate)
            evidence = {"baseline": verdict.baseline, "verdict_id": verdict.id}
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


def _require_slot(slot: str) -> None:
    if not _SLOT.fullmatch(slot):
        raise ConfigError(f"slot {slot!r} must be up to 64 letters, digits, '.', '_' or '-'")


def _require_fresh(
    slot: str,
    declared: Sequence[Rule],
    past: Sequence[Promotion],
    candidate: str,
    verdict: Verdict,
) -> None:
    """Refuse a verdict that does not decide about this candidate and this slot as it is now."""
    holder = past[-1].checkpoint if past else ""
    if candidate == holder:
        raise PromotionRefused(f"checkpoint {candidate[:12]} holds slot {slot!r} already")
    if not declared or verdict.rule != declared[-1].sha256:
        raise PromotionRefused(
            f"verdict {verdict.id} was not given under the rule in force for slot {slot!r}"
        )
    if verdict.candidate != candidate:
        raise PromotionRefused(
            f"verdict {verdict.id} is on checkpoint {verdict.candidate[:12]}, not on "
            f"{candidate[:12]}"
        )
    if verdict.baseline != holder:
        raise PromotionRefused(
            f"verdict {verdict.id} is against {verdict.baseline[:12] or 'the floor'}, but slot "
            f"{slot!r} is {f'held by {holder[:12]}' if holder else 'empty'}: judge it again"
        )
    if verdict.outcome != "accepted":
        raise PromotionRefused(f"verdict {verdict.id} is {verdict.outcome}")


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
