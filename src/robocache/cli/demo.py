"""`robocache demo`: the whole road with the public verbs, on the ten tasks of MT10."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any

from robocache.cli.collect import collect
from robocache.cli.evaluate import Judged, evaluate_closed_loop, print_closed_loop
from robocache.cli.policies import sound_checkpoint
from robocache.cli.progress import console
from robocache.cli.report import write_comparison
from robocache.cli.results import comparison
from robocache.cli.slots import declare, describe, promote
from robocache.cli.train import train_all
from robocache.core.errors import PromotionRefused
from robocache.evaluation.closed_loop import paired_outcomes
from robocache.evaluation.gate import judge
from robocache.evaluation.promotion import rule_in_force
from robocache.runs import Registry, RunStore

FLOOR = 0.5


def demo(*, episodes: int, steps: int, layouts: int, tasks: Sequence[str]) -> dict[str, Any]:
    """Declare a slot, collect, train, and promote: the policy after a tenth of the steps on the
    slot's floor, then the whole one if it is better. What came of it, as plain data."""
    began = time.monotonic()
    listed = f"tasks=[{','.join(tasks)}]"
    slot = slot_name(tasks)
    rule = [listed, f"episodes={layouts}", f"floor={FLOOR}"]
    _say(f"robocache slots declare {slot} " + " ".join(rule))
    declare(slot, rule)

    _say(f"robocache collect {listed} episodes={episodes}")
    data = collect([listed, f"episodes={episodes}"], None)

    early = max(1, steps // 10)
    arguments = [f"dataset={data.id}", f"trainer.steps={steps}", f"trainer.keep_at=[{early}]"]
    _say("robocache train " + " ".join(arguments))
    training = train_all(arguments, None)[0]

    store = RunStore()
    candidate, baseline = training.id, f"{training.id}@{early}"
    second = _judged(store, baseline, slot)
    if Registry(store.engine).holder(slot) is None:
        _promote(store, baseline, slot)
    first = _judged(store, candidate, slot)
    gate = rule_in_force(store, slot)[1].gate
    verdict = judge(paired_outcomes(first.rows), paired_outcomes(second.rows), gate)
    promotion = _promote(store, candidate, slot)

    page = training.folder / "report.html"
    write_comparison(
        page,
        title=f"{len(first.plan.tasks)} tasks, one policy",
        verdict=verdict,
        candidate=first,
        baseline=second,
        training=training,
        promotion=promotion,
    )
    _say("summary")
    console.print(f"  success   {first.result().overall}")
    console.print(f"  baseline  {second.result().overall}")
    console.print(f"  verdict   {verdict.outcome}")
    console.print(f"  slot      {promotion}")
    console.print(f"  report    {page}", soft_wrap=True)
    took_s = time.monotonic() - began
    console.print(f"  took      {took_s / 60:.1f} minutes")
    return {
        **comparison(verdict, first, second),
        "collection": data.id,
        "training": training.id,
        "slot": slot,
        "promotion": promotion,
        "page": page,
        "took_s": took_s,
    }


def slot_name(tasks: Sequence[str]) -> str:
    """The slot of a task list, because only policies for the same tasks can be compared."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", f"demo-{'-'.join(tasks)}")[:64]


def _judged(store: RunStore, policy: str, slot: str) -> Judged:
    _say(f"robocache eval {policy} --slot {slot}")
    judged = evaluate_closed_loop(store, policy, [], slot=slot)
    print_closed_loop(judged.result())
    return judged


def _promote(store: RunStore, candidate: str, slot: str) -> str:
    """Promote; what came of it in words. The holder of another demo is judged first."""
    sha256 = sound_checkpoint(store, candidate)[1]
    holder = Registry(store.engine).holder(slot)
    if holder is not None and holder.checkpoint == sha256:
        text = f"it holds {slot} already: {describe(holder)}"
        console.print(text)
        return text
    if holder is not None:
        _judged(store, f"slot:{slot}", slot)
    _say(f"robocache promote {slot} {candidate}")
    try:
        return describe(promote(slot, candidate))
    except PromotionRefused as refusal:
        console.print(f"not promoted: {refusal}")
        return f"not promoted: {refusal}"


def _say(text: str) -> None:
    console.print(f"\n$ {text}", soft_wrap=True, style="bold", markup=False)
