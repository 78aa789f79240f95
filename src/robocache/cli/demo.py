"""`robocache demo`: the whole road with the public verbs, on the ten tasks of MT10."""

from __future__ import annotations

import time
from collections.abc import Sequence

from robocache.cli.collect import collect
from robocache.cli.compare import compare, describe, promote
from robocache.cli.progress import console
from robocache.cli.report import write_comparison
from robocache.cli.train import train_all
from robocache.core.errors import PromotionRefused
from robocache.runs import Registry, RunStore

SLOT = "demo"


def demo(*, episodes: int, steps: int, layouts: int, tasks: Sequence[str]) -> None:
    """Collect, train, compare with the same policy after a tenth of the steps, promote."""
    began = time.monotonic()
    listed = f"tasks=[{','.join(tasks)}]"
    _say(f"robocache collect {listed} episodes={episodes}")
    data = collect([listed, f"episodes={episodes}"], None)

    early = max(1, steps // 10)
    arguments = [f"dataset={data.id}", f"trainer.steps={steps}", f"trainer.keep_at=[{early}]"]
    _say("robocache train " + " ".join(arguments))
    training = train_all(arguments, None)[0]

    candidate, baseline = training.id, f"{training.id}@{early}"
    plan = [listed, f"episodes={layouts}"]
    _say(f"robocache compare {candidate} {baseline} " + " ".join(plan))
    verdict, first, second = compare(candidate, baseline, plan)

    _say(f"robocache promote {SLOT} {candidate} --against {baseline}")
    store = RunStore()
    promotion = None
    holder = Registry(store.engine).holder(SLOT)
    if holder is not None and holder.checkpoint == first.sha256:
        promotion = describe(holder)
        console.print(f"{SLOT} holds this checkpoint already: {promotion}")
    else:
        try:
            promotion = describe(promote(SLOT, candidate, baseline if holder is None else None))
        except PromotionRefused as refusal:
            promotion = f"not promoted: {refusal}"
            console.print(promotion)

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
    console.print(f"  took      {(time.monotonic() - began) / 60:.1f} minutes")


def _say(text: str) -> None:
    console.print(f"\n$ {text}", soft_wrap=True, style="bold", markup=False)
