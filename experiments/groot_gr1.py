"""The tiny GR00T N1.6 fine-tuned on four GR-1 recordings and judged on the fifth.

    python experiments/groot_gr1.py path/to/gr1_lerobot_v20

It starts from random weights: what is shown is that training, normalisation and judgement fit
together, not what the released model can do. Uses the verbs `groot tiny`, `train` and
`eval --open-loop`; writes experiments/results/groot_gr1.json.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from report_results import save

from robocache.cli.open_loop import evaluate_recordings
from robocache.cli.train import train_all
from robocache.policies.groot_n16.tiny import write_tiny
from robocache.runs import RunStore, read_metrics

HELD_OUT = "episode_000004"
SETTINGS = (
    "policy=groot_gr1",
    "policy.network.dtype=float32",
    "policy.network.tune_top_llm_layers=1",
    "policy.network.augment=false",
    "policy.network.batch_rows=16",
    "trainer.steps=300",
    "trainer.batch_size=16",
    "trainer.learning_rate=2e-3",
    "trainer.warmup_steps=20",
    "trainer.ema_decay=0",
    "workers=1",
)


def main(path: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch) / "base"
        weights = write_tiny(base)
        given = [f"dataset={path}", f"policy.network.base={base}", f"hold_out=[{HELD_OUT}]"]
        (run,) = train_all([*given, *SETTINGS], None)
        asked = [f"dataset={path}", f"episodes=[{HELD_OUT}]", "samples=4", "stride=4"]
        _, result = evaluate_recordings(RunStore(), run.id, asked)
    losses = [line["loss"] for line in read_metrics(run.folder / "metrics.jsonl")]
    curves = {
        measure: {name: curve.round(5).tolist() for name, curve in result.per_step(measure).items()}
        for measure in ("absolute", "square")
    }
    overall = {measure: result.overall(measure) for measure in ("absolute", "square")}
    below = {
        name: int(np.sum(np.array(curves["absolute"]["policy"]) < curves["absolute"][name]))
        for name in ("hold", "mean")
    }
    print(f"loss {losses[0]:.3f} to {np.mean(losses[-3:]):.3f} in 300 steps, {weights:,} weights")
    for measure, errors in overall.items():
        print(measure, ", ".join(f"{name} {error:.4f}" for name, error in errors.items()))
    print(f"horizon steps below the mean: {below['mean']} of 16, below holding: {below['hold']}")
    save(
        "groot_gr1",
        {
            "weights": weights,
            "losses": losses,
            "overall": overall,
            "curves": curves,
            "steps_below": below,
        },
    )


if __name__ == "__main__":
    main(sys.argv[1])
