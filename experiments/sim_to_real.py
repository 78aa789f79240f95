"""What training with `sim_to_real` is worth on sensors that are late, lossy and noisy.

    python experiments/sim_to_real.py [states depth]

`states`: the policy of the demonstration on the ten tasks of MT10, trained with and without late
and lossy streams. `depth`: a policy that sees one task with a depth camera, trained with and
without noise, lost returns and outliers in every step. Both are judged on the same layouts, on the
simulator's sensors and on the changed ones; the second verdict is that of `robocache compare`.
Writes experiments/results/sim_to_real.json.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from report_results import save

from robocache.cli.collect import collect
from robocache.cli.evaluate import Judged, evaluate_closed_loop
from robocache.cli.train import train_all
from robocache.evaluation.closed_loop import paired_outcomes, record
from robocache.evaluation.gate import GateConfig, judge
from robocache.runs import RunStore


@dataclass(frozen=True)
class Case:
    """A policy, its tasks, and what is changed about its sensors."""

    plan: list[str]
    collection: list[str]
    training: list[str]
    preset: str
    layouts: int


CASES = {
    "states": Case(
        plan=["tasks=[mt10]"],
        collection=["episodes=50"],
        training=["trainer.steps=2000"],
        preset="strong",
        layouts=20,
    ),
    "depth": Case(
        plan=[
            "tasks=[metaworld/button-press-topdown]",
            "env.sensors=[end_effector,topview_depth]",
            "env.image_height=64",
            "env.image_width=64",
        ],
        collection=["episodes=100", "frames.purpose=training a policy on depth"],
        training=["policy=flow_depth", "trainer.steps=800", "trainer.batch_size=128"],
        preset="strong",
        layouts=200,
    ),
}


def main() -> None:
    store = RunStore()
    found: dict[str, Any] = {}
    for name in sys.argv[1:] or CASES:
        case = CASES[name]
        changed = f"sim_to_real={case.preset}"
        data = collect([*case.plan, *case.collection], None)
        trained = {
            "without": train_all([f"dataset={data.id}", *case.training], None)[0],
            "with": train_all([f"dataset={data.id}", *case.training, changed], None)[0],
        }
        rows: dict[str, Any] = {"preset": case.preset, "layouts": case.layouts}
        for sensors, settings in (("the simulator's", []), (changed, [changed])):
            plan = [*case.plan, f"episodes={case.layouts}", *settings]
            judged = {
                how: evaluate_closed_loop(store, run.id, plan) for how, run in trained.items()
            }
            rows[sensors] = compared(judged)
            print(name, sensors, rows[sensors], flush=True)
        found[name] = rows
    save("sim_to_real", found)


def compared(judged: dict[str, Judged]) -> dict[str, Any]:
    """Success of both, and whether training with it is better."""
    rates = {how: record(one.result().overall) for how, one in judged.items()}
    outcomes = {how: paired_outcomes(one.rows) for how, one in judged.items()}
    verdict = judge(outcomes["with"], outcomes["without"], GateConfig())
    return {**rates, "verdict": verdict.outcome, "p": verdict.p_value}


if __name__ == "__main__":
    main()
