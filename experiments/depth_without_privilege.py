"""One task from a depth camera and proprioception alone, against the same policy with depth zeroed.

    python experiments/depth_without_privilege.py

Three policies' worth of evidence on the same layouts: trained and judged with depth; the same
weights judged with depth zeroed; and trained and judged with depth zeroed. Writes
experiments/results/depth_without_privilege.json.
"""

from __future__ import annotations

from report_results import save

from robocache.cli.collect import collect
from robocache.cli.evaluate import evaluate_closed_loop
from robocache.cli.train import train_all
from robocache.evaluation.closed_loop import record
from robocache.runs import RunStore

TASK = "metaworld/button-press-topdown"
CAMERA = [
    "env.sensors=[end_effector,topview_depth]",
    "env.image_height=64",
    "env.image_width=64",
]
KEPT = "frames.purpose=training a policy on depth"
BLIND = "sensors.latency.topview_depth={drop_probability: 1.0}"


def main() -> None:
    plan = [f"tasks=[{TASK}]", *CAMERA]
    training = ["policy=flow_depth", "trainer.steps=800", "trainer.batch_size=128"]
    seeing = collect([*plan, KEPT, "episodes=100"], None)
    blind = collect([*plan, KEPT, "episodes=100", BLIND], None)
    with_depth = train_all([f"dataset={seeing.id}", *training], None)[0]
    without = train_all([f"dataset={blind.id}", *training], None)[0]
    store = RunStore()
    rates = {
        "trained with depth, judged with depth": evaluate_closed_loop(
            store, with_depth.id, [*plan, "episodes=100"]
        ),
        "trained with depth, judged with depth zeroed": evaluate_closed_loop(
            store, with_depth.id, [*plan, "episodes=100", BLIND]
        ),
        "trained and judged with depth zeroed": evaluate_closed_loop(
            store, without.id, [*plan, "episodes=100", BLIND]
        ),
    }
    for name, judged in rates.items():
        print(f"{name}: {judged.result().overall}")
    save(
        "depth_without_privilege",
        {"task": TASK, **{name: record(j.result().overall) for name, j in rates.items()}},
    )


if __name__ == "__main__":
    main()
