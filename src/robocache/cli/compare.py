"""`robocache compare`, `promote`, `rollback`: evidence, and what may be done on it."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from robocache.cli.configuration import load
from robocache.cli.evaluate import Judged, evaluate_closed_loop, find_policy, print_closed_loop
from robocache.cli.progress import console
from robocache.core.errors import ConfigError
from robocache.evaluation.closed_loop import paired_outcomes
from robocache.evaluation.gate import GateConfig, Verdict, judge
from robocache.runs import Promotion, Registry, RunStore


@dataclass(frozen=True)
class CompareConfig:
    """The rule of a comparison; its plan is the configuration of `eval`."""

    gate: GateConfig


def compare(
    candidate: str, baseline: str, overrides: Sequence[str]
) -> tuple[Verdict, Judged, Judged]:
    """Both policies on the same layouts (evaluated now where they were not), and the verdict.

    Overrides that begin with `gate.` set the rule, all others the plan.
    """
    rule_overrides = [text for text in overrides if text.lstrip("+").startswith("gate.")]
    plan_overrides = [text for text in overrides if text not in rule_overrides]
    rule, _ = load("compare", CompareConfig, rule_overrides)
    store = RunStore()
    if find_policy(store, candidate)[1] == find_policy(store, baseline)[1]:
        raise ConfigError("candidate and baseline are the same checkpoint")
    console.print(f"candidate {candidate}")
    first = evaluate_closed_loop(store, candidate, plan_overrides)
    print_closed_loop(first.result())
    console.print(f"baseline {baseline}")
    second = evaluate_closed_loop(store, baseline, plan_overrides)
    print_closed_loop(second.result())
    verdict = judge(paired_outcomes(first.rows), paired_outcomes(second.rows), rule.gate)
    plan = {
        "tasks": list(first.plan.tasks),
        "episodes": first.plan.episodes,
        "seed": first.plan.seed,
        "runs": [first.run.id, second.run.id],
        "gate": asdict(rule.gate),
    }
    registry = Registry(store.engine)
    if not _known(registry, first.sha256, second.sha256, plan):
        registry.add_verdict(
            first.sha256, second.sha256, verdict.outcome, numbers=verdict.to_json(), plan=plan
        )
    console.print(f"verdict: {verdict.outcome}\n{verdict.explain()}")
    return verdict, first, second


def _known(registry: Registry, candidate: str, baseline: str, plan: dict[str, object]) -> bool:
    """Whether this very comparison was recorded before; looking again is not a new attempt."""
    return any(verdict.plan == plan for verdict in registry.verdicts(candidate, baseline))


def promote(slot: str, candidate: str, against: str | None) -> Promotion:
    """Move a slot, if an accepting verdict on exactly this pair allows it."""
    store = RunStore()
    path = store.find_checkpoint(candidate)
    baseline = None if against is None else store.find_checkpoint(against)
    moved = Registry(store.engine).promote(slot, path, against=baseline, who=getpass.getuser())
    console.print(describe(moved))
    return moved


def rollback(slot: str) -> Promotion:
    """Give a slot back to the checkpoint that held it before."""
    store = RunStore()
    moved = Registry(store.engine).rollback(slot, getpass.getuser())
    console.print(describe(moved))
    return moved


def describe(move: Promotion) -> str:
    """A move of a slot in one sentence."""
    verb = "promoted" if move.kind == "promote" else "rolled back"
    evidence = "" if move.verdict_id is None else f" on verdict {move.verdict_id}"
    attempts = "" if move.attempts <= 1 else f" ({move.attempts} comparisons of this pair)"
    return (
        f"{verb}: {move.slot} version {move.version} is checkpoint {move.checkpoint[:12]}"
        f"{evidence}{attempts}, by {move.who}"
    )
