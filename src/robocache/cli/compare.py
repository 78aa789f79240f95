"""`robocache compare`: two policies on the same layouts, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from robocache.cli.configuration import load
from robocache.cli.datasets import require_sound
from robocache.cli.evaluate import (
    Judged,
    evaluate_closed_loop,
    print_closed_loop,
    require_no_plan,
)
from robocache.cli.policies import find_policy, is_outside
from robocache.cli.progress import console
from robocache.core.errors import ConfigError, PromotionRefused
from robocache.evaluation.closed_loop import paired_outcomes
from robocache.evaluation.gate import GateConfig, Verdict, judge
from robocache.evaluation.promotion import Decision, decide, require_rival, rule_in_force
from robocache.runs import Registry, RunStore


@dataclass(frozen=True)
class CompareConfig:
    """The rule of a comparison; its plan is the configuration of `eval`."""

    gate: GateConfig


def split_gate(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Overrides of the gate, and all others."""
    gate = [text for text in overrides if text.lstrip("+").startswith("gate.")]
    return gate, [text for text in overrides if text not in gate]


def compare(
    candidate: str, baseline: str, overrides: Sequence[str]
) -> tuple[Verdict, Judged, Judged]:
    """Both policies on the same layouts (evaluated now where they were not), and the verdict.

    Overrides that begin with `gate.` set the rule, all others the plan.
    """
    gate_overrides, plan_overrides = split_gate(overrides)
    rule, _ = load("compare", CompareConfig, gate_overrides)
    store = RunStore()
    if find_policy(store, candidate)[1] == find_policy(store, baseline)[1]:
        raise ConfigError("candidate and baseline are the same checkpoint")
    first = _judged(store, "candidate", candidate, plan_overrides)
    second = _judged(store, "baseline", baseline, plan_overrides)
    verdict = judge(paired_outcomes(first.rows), paired_outcomes(second.rows), rule.gate)
    plan = first.plan.to_json() | {"actor": "", "gate": asdict(rule.gate)}
    judged = {"candidate": first, "baseline": second}
    Registry(store.engine).add_verdict(
        first.sha256,
        second.sha256,
        verdict.outcome,
        numbers=verdict.to_json(),
        plan=plan,
        evidence={role: {"run": one.run.id} for role, one in judged.items()},
    )
    console.print(f"verdict: {verdict.outcome}\n{verdict.explain()}")
    return verdict, first, second


def compare_for_slot(candidate: str, slot: str, overrides: Sequence[str]) -> Decision:
    """The candidate against the slot's holder (or its floor) under the slot's rule.

    Raises:
        ConfigError: the slot has no rule, or the candidate is unknown.
        PromotionRefused: the candidate can never come to the slot, or holds it already.
    """
    require_no_plan(slot, overrides)
    require_checkpoint(slot, candidate)
    store = RunStore()
    rule_in_force(store, slot)
    require_rival(store, slot, find_policy(store, candidate)[1])
    first = _judged(store, "candidate", candidate, overrides, slot)
    if Registry(store.engine).holder(slot) is not None:
        _judged(store, "baseline", f"slot:{slot}", overrides, slot)
    decision = decide(store, slot, first.sha256, lambda record: require_sound(store, record))
    console.print(f"verdict: {decision.verdict.outcome}\n{decision.explain()}")
    return decision


def require_checkpoint(slot: str, candidate: str) -> None:
    """Refuse code from outside as a candidate for a slot."""
    if is_outside(candidate):
        raise PromotionRefused(
            f"{candidate} is code, not a checkpoint: a slot holds checkpoints alone, whose files "
            f"can be served and checked later (compare it with the holder: robocache compare "
            f"{candidate} slot:{slot})"
        )


def _judged(
    store: RunStore, role: str, policy: str, overrides: Sequence[str], slot: str | None = None
) -> Judged:
    console.print(f"{role} {policy}")
    judged = evaluate_closed_loop(store, policy, overrides, slot=slot)
    print_closed_loop(judged.result())
    return judged
