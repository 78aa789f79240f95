"""`robocache slots`, `promote`, `rollback`: what a slot asks for, who holds it, and why."""

from __future__ import annotations

import getpass
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from robocache.cli.compare import require_checkpoint, split_gate
from robocache.cli.configuration import load
from robocache.cli.datasets import require_sound
from robocache.cli.evaluate import EvalConfig, evaluation_plan
from robocache.cli.policies import sound_checkpoint
from robocache.cli.progress import console
from robocache.core.errors import PromotionRefused, unknown_name
from robocache.evaluation.gate import GateConfig
from robocache.evaluation.promotion import decide, earlier_looks, rule_in_force
from robocache.evaluation.slot_rule import SlotRule
from robocache.runs import Promotion, Registry, Rule, RunStore


@dataclass(frozen=True)
class SlotConfig:
    """What a slot asks for besides its plan, which is the configuration of `eval`.

    Attributes:
        gate: how a candidate is compared with the holder.
        floor: success rate that the whole interval of a candidate must reach while the slot is
            empty.
    """

    gate: GateConfig
    floor: float


def declare(slot: str, overrides: Sequence[str]) -> Rule:
    """Put a rule in force for a slot; only episodes that are run afterwards count for it.

    The same rule again changes nothing. Evaluations that saw its layouts before are named.
    """
    gate, rest = split_gate(overrides)
    floor = [text for text in rest if text.startswith("floor=")]
    settings, _ = load("slot", SlotConfig, [*gate, *floor])
    config, _ = load("eval", EvalConfig, [text for text in rest if text not in floor])
    rule = SlotRule(evaluation_plan(config, actor=""), settings.gate, settings.floor)
    store = RunStore()
    known = len(Registry(store.engine).rules(slot))
    looks = earlier_looks(store, rule.plan)
    declared = Registry(store.engine).declare(slot, rule.to_json(), who=user())
    console.print(describe_rule(declared))
    if looks and declared.version > known:
        console.print(
            f"note: layouts of seed {rule.plan.seed} were looked at before, by {len(looks)} "
            f"evaluations ({', '.join(looks[:3])}{', ...' if len(looks) > 3 else ''}); a seed that "
            f"nobody has used is stronger evidence"
        )
    return declared


def promote(slot: str, candidate: str) -> Promotion:
    """Move a slot, if its rule and the ledger allow it.

    Raises:
        ConfigError: no such slot or checkpoint.
        PromotionRefused: they do not; the message has the numbers.
        CheckpointError, IntegrityError: something is not as it was recorded; it is named.
    """
    require_checkpoint(slot, candidate)
    store = RunStore()
    rule_in_force(store, slot)
    path, sha256 = sound_checkpoint(store, candidate)
    decision = decide(store, slot, sha256, lambda record: require_sound(store, record))
    if decision.verdict.outcome != "accepted":
        raise PromotionRefused(
            f"checkpoint {sha256[:12]} does not come to slot {slot!r}: {decision.explain()}"
        )
    console.print(f"verdict: {decision.verdict.outcome}\n{decision.explain()}")
    moved = Registry(store.engine).promote(slot, path, decision.recorded, who=user())
    console.print(describe(moved))
    return moved


def rollback(slot: str) -> Promotion:
    """Give a slot back to the checkpoint that held it before."""
    moved = Registry(RunStore().engine).rollback(slot, user())
    console.print(describe(moved))
    return moved


def show(slot: str | None) -> None:
    """One slot, or all: its rules with the one in force last, and every move.

    Raises:
        ConfigError: no such slot.
    """
    registry = Registry(RunStore().engine)
    known = registry.slots()
    if slot is not None and slot not in known:
        raise unknown_name("slot", slot, known)
    for name in known if slot is None else [slot]:
        console.print(f"slot {name}", style="bold")
        rules, moves = registry.rules(name), registry.history(name)
        for rule in rules:
            console.print(f"  {rule.created[:19]} {describe_rule(rule)}", soft_wrap=True)
        if not rules:
            console.print("  no rule")
        for move in moves:
            console.print(f"  {move.created[:19]} {describe(move)}", soft_wrap=True)
        if not moves:
            console.print("  empty")
    if not known:
        console.print("no slots; declare one: robocache slots declare NAME tasks=... floor=...")


def user() -> str:
    """On whose authority this process acts."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return f"user {os.getuid()}"


def describe_rule(declared: Rule) -> str:
    """A rule in one sentence."""
    rule = SlotRule.from_json(declared.rule)
    plan = rule.plan
    return (
        f"rule {declared.version} of {declared.slot}, by {declared.who}: {plan.episodes} layouts "
        f"of each of {len(plan.tasks)} tasks, seed {plan.seed}, alpha {rule.gate.alpha:g}, floor "
        f"{100 * rule.floor:g} %, on {plan.env_version} ({declared.sha256[:12]})"
    )


def describe(move: Promotion) -> str:
    """A move of a slot in one sentence."""
    verb = "promoted" if move.kind == "promote" else "rolled back"
    evidence = "" if move.verdict_id is None else f" on verdict {move.verdict_id}"
    return (
        f"{verb}: {move.slot} version {move.version} is checkpoint {move.checkpoint[:12]}"
        f"{evidence}{_attempts(move)}, by {move.who}"
    )


def _attempts(move: Promotion) -> str:
    counts: list[Any] = []
    if move.attempts > 1:
        counts.append(f"{move.attempts} comparisons of this pair")
    if move.rivals:
        others = "candidate was" if move.rivals == 1 else "candidates were"
        counts.append(f"{move.rivals} other {others} tried against the same holder")
    return f" ({'; '.join(counts)})" if counts else ""
