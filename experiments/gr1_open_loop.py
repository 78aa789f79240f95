"""GR-1 recordings, one of five episodes left out in turn: the policy against two simple predictors.

    python experiments/gr1_open_loop.py path/to/gr1_lerobot_v20

Uses the verbs `train` and `eval --open-loop`; writes experiments/results/gr1_open_loop.json.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from report_results import save

from robocache.cli.open_loop import evaluate_recordings
from robocache.cli.train import train_all
from robocache.datasets import open_dataset
from robocache.evaluation.open_loop import Measure, OpenLoopResult
from robocache.runs import RunStore

LATE = slice(8, 16)
"""Horizon steps 9 to 16."""


def describe(result: OpenLoopResult, measure: Measure) -> dict[str, Any]:
    """Overall errors, those of steps 9 to 16, and at how many of these the policy beats holding."""
    curves = result.per_step(measure)
    return {
        "overall": result.overall(measure),
        "steps_9_to_16": {name: float(curve[LATE].mean()) for name, curve in curves.items()},
        "late_steps_below_hold": int(np.sum(curves["policy"][LATE] < curves["hold"][LATE])),
        "curves": {name: curve.round(5).tolist() for name, curve in curves.items()},
    }


def main(path: str) -> None:
    folds: dict[str, dict[str, Any]] = {}
    for key in open_dataset(path).keys():  # noqa: SIM118
        chosen = [f"dataset={path}", "policy=flow_lerobot", f"hold_out=[{key}]"]
        run = train_all([*chosen, "trainer.steps=600", "trainer.warmup_steps=50"], None)[0]
        asked = [f"dataset={path}", f"episodes=[{key}]", "samples=16"]
        _, result = evaluate_recordings(RunStore(), run.id, asked)
        folds[key] = {"absolute": describe(result, "absolute"), "rms": describe(result, "square")}
    summary = {}
    for measure in ("absolute", "rms"):
        for key, fold in folds.items():
            overall, late = fold[measure]["overall"], fold[measure]["steps_9_to_16"]
            print(
                f"{measure} {key}: policy {overall['policy']:.4f}, mean {overall['mean']:.4f}; "
                f"steps 9-16: policy {late['policy']:.4f}, hold {late['hold']:.4f}, "
                f"below at {fold[measure]['late_steps_below_hold']} of 8"
            )
        below_mean = [
            f[measure]["overall"]["policy"] < f[measure]["overall"]["mean"] for f in folds.values()
        ]
        below_hold = [f[measure]["late_steps_below_hold"] == 8 for f in folds.values()]
        summary[measure] = {"below_mean": sum(below_mean), "below_hold": sum(below_hold)}
        print(
            f"{measure}: below 'predict the mean' in {sum(below_mean)} folds, below 'hold the last "
            f"action' at each of steps 9-16 in {sum(below_hold)} folds, of {len(folds)}"
        )
    save("gr1_open_loop", {"summary": summary, "folds": folds})


if __name__ == "__main__":
    main(sys.argv[1])
