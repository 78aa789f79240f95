"""GR-1 recordings, one of five episodes left out in turn: the policy against two simple predictors.

    python experiments/gr1_open_loop.py path/to/gr1_lerobot_v20

Uses the verbs `train` and `eval --open-loop`; writes experiments/results/gr1_open_loop.json.
"""

from __future__ import annotations

import sys

from report_results import save

from robocache.cli.evaluate import evaluate_recordings
from robocache.cli.train import train_all
from robocache.datasets import open_dataset
from robocache.runs import RunStore


def main(path: str) -> None:
    folds = []
    keys = open_dataset(path).keys()
    for key in keys:
        chosen = [f"dataset={path}", "policy=flow_lerobot", f"hold_out=[{key}]"]
        run = train_all([*chosen, "trainer.steps=600", "trainer.warmup_steps=50"], None)[0]
        asked = [f"dataset={path}", f"episodes=[{key}]", "samples=16"]
        result = evaluate_recordings(RunStore(), run.id, asked)
        curves = {name: curve.round(5).tolist() for name, curve in result.per_step().items()}
        late = {name: float(result.per_step()[name][8:16].mean()) for name in curves}
        folds.append(
            {"held_out": key, "overall": result.overall(), "steps_9_to_16": late, "curves": curves}
        )
    for fold in folds:
        overall, late = fold["overall"], fold["steps_9_to_16"]
        print(
            f"{fold['held_out']}: policy {overall['policy']:.4f}, mean {overall['mean']:.4f}; "
            f"steps 9-16: policy {late['policy']:.4f}, hold {late['hold']:.4f}"
        )
    below_mean = sum(f["overall"]["policy"] < f["overall"]["mean"] for f in folds)
    below_hold = sum(
        all(p < h for p, h in zip(f["curves"]["policy"][8:], f["curves"]["hold"][8:], strict=True))
        for f in folds
    )
    print(f"below 'predict the mean' in {below_mean} of {len(folds)} folds")
    print(f"below 'hold the last action' at each of steps 9-16 in {below_hold} of {len(folds)}")
    save("gr1_open_loop", {"folds": folds, "below_mean": below_mean, "below_hold": below_hold})


if __name__ == "__main__":
    main(sys.argv[1])
