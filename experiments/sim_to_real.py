"""What training with `sim_to_real` is worth on sensors that are late, lossy and noisy.

    python experiments/sim_to_real.py [states depth]

`states`: the policy of the demonstration on the ten tasks of MT10, trained without and with late
and lossy streams; both for three times as long; and with them while it reads how old its samples
are (`policy.network.ages`).
`depth`: the same of a policy that sees one task with a depth camera; there also noise, lost returns
and outliers in every step. All are judged on the same layouts, on the simulator's sensors and on
the changed ones; verdicts, against as many steps without, are those of `robocache compare`.
Writes experiments/results/sim_to_real.json; of one case alone, sim_to_real_<case>.json.
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
    steps: int
    preset: str
    layouts: int


CASES = {
    "states": Case(
        plan=["tasks=[mt10]"],
        collection=["episodes=50"],
        training=[],
        steps=2000,
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
        training=["policy=flow_depth", "trainer.batch_size=128"],
        steps=800,
        preset="strong",
        layouts=200,
    ),
}
CONTROLS = {"with": "without", "with ages": "without", "with, longer": "without, longer"}


def main() -> None:
    store = RunStore()
    found: dict[str, Any] = {}
    for name in sys.argv[1:] or CASES:
        case = CASES[name]
        changed = f"sim_to_real={case.preset}"
        data = collect([*case.plan, *case.collection], None)
        once, thrice = f"trainer.steps={case.steps}", f"trainer.steps={3 * case.steps}"
        trainings = {
            "without": [once],
            "with": [once, changed],
            "with ages": [once, changed, "policy.network.ages=true"],
            "without, longer": [thrice],
            "with, longer": [thrice, changed],
        }
        trained = {
            how: train_all([f"dataset={data.id}", *case.training, *settings], None)[0]
            for how, settings in trainings.items()
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
    save("_".join(["sim_to_real", *sys.argv[1:]]), found)


def compared(judged: dict[str, Judged]) -> dict[str, Any]:
    """Success of each, and whether training with it is better than as long without."""
    outcomes = {how: paired_outcomes(one.rows) for how, one in judged.items()}
    results = {how: one.result() for how, one in judged.items()}
    rows: dict[str, Any] = {
        how: {
            **record(one.overall),
            "tasks": {task: rate.successes for task, rate in one.tasks.items()},
        }
        for how, one in results.items()
    }
    for how, control in CONTROLS.items():
        verdict = judge(outcomes[how], outcomes[control], GateConfig())
        rows[how] |= {"verdict": verdict.outcome, "p": verdict.p_value}
    return rows


if __name__ == "__main__":
    main()
