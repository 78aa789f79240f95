"""Whether the ledger says that a candidate gives what a slot asks for.

The verdict behind a promotion is never taken from anybody: it is computed from the ledger rows of
exactly the candidate and the present holder, on the plan that the slot's rule declared before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from robocache.core.errors import ConfigError, IntegrityError, PromotionRefused, unknown_name
from robocache.evaluation.closed_loop import paired_outcomes
from robocache.evaluation.gate import Verdict, judge
from robocache.evaluation.slot_rule import FloorVerdict, SlotRule, judge_floor
from robocache.rollouts import RolloutPlan, read_rows
from robocache.runs import (
    Ledger,
    LedgerRow,
    Registry,
    Rule,
    RunRecord,
    RunStore,
    config_hash,
    first_difference,
    plain,
    rows_digest,
)
from robocache.runs import Verdict as RecordedVerdict
from robocache.runs.ledger import content_of

Soundness = Callable[[RunRecord], None]
"""Raises an IntegrityError where what a run left is not what was recorded of it."""


@dataclass(frozen=True)
class Decision:
    """A verdict for a slot, as it was computed and as it was recorded.

    Attributes:
        attempts: how many verdicts on this pair were ever recorded, this one included.
    """

    verdict: Verdict | FloorVerdict
    recorded: RecordedVerdict
    attempts: int

    def explain(self) -> str:
        """The verdict in plain sentences, and how often it was tried."""
        tried = f" Comparison {self.attempts} of this pair." if self.attempts > 1 else ""
        return self.verdict.explain() + tried


def rule_in_force(store: RunStore, slot: str) -> tuple[Rule, SlotRule]:
    """The rule in force for a slot, as it is kept and as it is understood.

    Raises:
        ConfigError: the slot has none.
        IntegrityError: it is not what was declared.
    """
    registry = Registry(store.engine)
    declared = registry.rules(slot)
    if not declared:
        how = f"declare one first: robocache slots declare {slot} tasks=... floor=..."
        if slot in registry.slots():
            raise ConfigError(f"slot {slot!r} has no rule yet; {how}")
        raise ConfigError(f"{unknown_name('slot', slot, registry.slots())}; {how}")
    last = declared[-1]
    content = asdict(last)
    if config_hash({name: value for name, value in content.items() if name != "sha256"}) != (
        last.sha256
    ):
        raise IntegrityError(
            f"rule {last.version} of slot {slot!r} is not what {last.who} declared (its sha256 is "
            f"no longer {last.sha256[:12]}): restore the database from a copy"
        )
    return last, SlotRule.from_json(last.rule)


def require_rival(store: RunStore, slot: str, candidate: str) -> None:
    """Refuse a checkpoint, given by its identity hash, that holds the slot already."""
    holder = Registry(store.engine).holder(slot)
    if holder is not None and holder.checkpoint == candidate:
        raise PromotionRefused(f"checkpoint {candidate[:12]} holds slot {slot!r} already")


def decide(store: RunStore, slot: str, candidate: str, require_sound: Soundness) -> Decision:
    """The verdict on a candidate under the slot's rule, from the ledger; recorded.

    Args:
        candidate: identity hash.
        require_sound: called with every run whose rows are used.

    Raises:
        ConfigError: the slot has no rule.
        PromotionRefused: the candidate or the holder was not run on exactly the planned episodes,
            or the candidate holds the slot already.
        IntegrityError: a rule, run or row is not as it was recorded.
    """
    registry = Registry(store.engine)
    declared, rule = rule_in_force(store, slot)
    require_rival(store, slot, candidate)
    holder = registry.holder(slot)
    ours, evidence = _rows(store, declared, rule, candidate, require_sound)
    used: dict[str, Any] = {"candidate": evidence}
    verdict: Verdict | FloorVerdict
    if holder is None:
        verdict = judge_floor(ours, rule)
    else:
        theirs, used["baseline"] = _rows(store, declared, rule, holder.checkpoint, require_sound)
        verdict = judge(paired_outcomes(ours), paired_outcomes(theirs), rule.gate)
    baseline = "" if holder is None else holder.checkpoint
    recorded = registry.add_verdict(
        candidate,
        baseline,
        verdict.outcome,
        numbers=verdict.to_json(),
        plan=declared.rule,
        evidence=used,
        rule=declared.sha256,
    )
    return Decision(verdict, recorded, len(registry.verdicts(candidate, baseline)))


def rule_runs(store: RunStore, declared: Rule, sha256: str) -> list[RunRecord]:
    """Runs that judge this checkpoint under this rule, complete or not, oldest first."""
    wanted = (declared.sha256, sha256)
    return [
        record
        for record in store.runs(verb="eval")
        if (record.config.get("rule"), record.config.get("policy")) == wanted
    ]


def earlier_looks(store: RunStore, plan: RolloutPlan) -> list[str]:
    """Evaluations on layouts of this plan: who ran them knows how such episodes end."""
    looks = []
    for record in store.runs(verb="eval"):
        seen = record.config.get("plan", {})
        same = (seen.get("purpose"), seen.get("seed")) == (plan.purpose, plan.seed)
        if same and set(plan.tasks) & set(seen["tasks"]):
            looks.append(record.id)
    return looks


def _rows(
    store: RunStore, declared: Rule, rule: SlotRule, sha256: str, require_sound: Soundness
) -> tuple[list[LedgerRow], dict[str, Any]]:
    """Ledger rows of exactly the planned episodes, in the plan's order, and where they are."""
    plan = rule.plan_for(sha256)
    runs = rule_runs(store, declared, sha256)
    complete = [record for record in runs if record.status == "complete"]
    if not complete:
        state = f"; run {runs[-1].id!r} is {runs[-1].status}" if runs else ""
        raise PromotionRefused(
            f"checkpoint {sha256[:12]} was not judged under rule {declared.version} of slot "
            f"{declared.slot!r}{state}: run robocache eval {sha256[:12]} --slot {declared.slot}"
        )
    found = []
    for record in complete:
        require_sound(record)
        found.append(_planned_rows(store, record, plan))
    for record, rows in zip(complete, found, strict=True):
        if rows_digest(rows) != rows_digest(found[0]):
            raise PromotionRefused(
                f"nondeterminism: runs {complete[0].id!r} and {record.id!r} hold the same "
                f"episodes of checkpoint {sha256[:12]} with other results; neither is evidence"
            )
    return found[0], {"run": complete[0].id, "ledger": complete[0].ledger}


def _planned_rows(store: RunStore, record: RunRecord, plan: RolloutPlan) -> list[LedgerRow]:
    """The rows of a run, which must be those of the plan and say what its shards say."""
    difference = first_difference(plain(plan.to_json()), record.config.get("plan"), "plan")
    if difference:
        where, planned, made = difference
        raise PromotionRefused(
            f"run {record.id!r} was made with {where} = {made!r}, the rule has {planned!r}"
        )
    by_key = {row.key: row for row in Ledger(store.engine, record.id).rows()}
    planned_keys = [job.key for job in plan.jobs()]
    missing = [key for key in planned_keys if key not in by_key]
    if missing or len(by_key) != len(planned_keys):
        example = f"; {missing[0]} is missing" if missing else ""
        raise PromotionRefused(
            f"run {record.id!r} holds {len(by_key)} episodes, "
            f"{len(planned_keys) - len(missing)} of them among the {len(planned_keys)} that the "
            f"rule plans{example}"
        )
    rows = [by_key[key] for key in planned_keys]
    _require_same_in_shards(record, rows)
    return rows


def _require_same_in_shards(record: RunRecord, rows: Sequence[LedgerRow]) -> None:
    """Refuse rows that say anything else of their episode than the shard that holds it.

    Shards that were removed on purpose cannot be asked; the digest of the rows stands for them.
    """
    kept = [row for row in rows if f"episodes/{row.shard}" not in record.removed]
    told = {
        row.key: content_of(row)
        for shard in sorted({row.shard for row in kept})
        for row in read_rows(record.folder / "episodes" / shard)
    }
    for row in kept:
        place = f"run {record.id}: ledger row of episode {row.key}"
        if row.key not in told:
            raise IntegrityError(f"{place} names an episode that {row.shard} does not hold")
        difference = first_difference(plain(told[row.key]), plain(content_of(row)))
        if difference:
            where, was, now = difference
            raise IntegrityError(f"{place} is altered: {where} is {now!r}, {was!r} in {row.shard}")
