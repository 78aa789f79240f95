"""What a report costs: seconds and bytes of the page that compares two policies.

    python benchmarks/report.py

The page of `robocache report CANDIDATE BASELINE` for two evaluations of the demo's size, 10 tasks
and 50 layouts each. The policies come from a short training and episodes are cut at --max-steps, so
that making them takes a minute; the page has as many rows, charts, strips and clocks as the demo's.
The first page also loads what draws it, and counts for the target.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path

from measure import arguments, interleave, publish

from robocache.cli.collect import collect
from robocache.cli.evaluate import evaluate_closed_loop
from robocache.cli.report import report
from robocache.cli.train import train_all
from robocache.runs import RunStore

TARGET_S = 5.0
TARGET_BYTES = 5_000_000


def main() -> None:
    parser = arguments(__doc__, rounds=7)
    parser.add_argument("--tasks", default="mt10")
    parser.add_argument("--steps", type=int, default=500, help="optimizer steps")
    parser.add_argument("--layouts", type=int, default=50, help="episodes per task and policy")
    parser.add_argument("--max-steps", type=int, default=100, help="where episodes are cut")
    parser.add_argument("--workers", type=int, default=2, help="processes that make the episodes")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, contextlib.redirect_stdout(sys.stderr):
        os.environ["ROBOCACHE_HOME"] = home
        episodes = make_runs(args.tasks, args.steps, args.layouts, args.max_steps, args.workers)
        page = Path(home) / "report.html"
        spent: list[float] = []

        def write() -> float:
            began = time.perf_counter()
            report("candidate", "baseline", page)
            spent.append(time.perf_counter() - began)
            return spent[-1]

        seconds = interleave({"report": write}, args.rounds)
        size = page.stat().st_size
    publish(
        args,
        {
            "measures": "seconds and bytes of the page that compares two evaluations",
            "episodes_per_policy": episodes,
            "first_page_s": round(spent[0], 3),
            "bytes": size,
            "target": {"first_page_s": TARGET_S, "bytes": TARGET_BYTES},
            "target_met": spent[0] < TARGET_S and size < TARGET_BYTES,
        },
        seconds=seconds,
        peers={},
    )


def make_runs(tasks: str, steps: int, layouts: int, max_steps: int, workers: int) -> int:
    """The evaluations `candidate` and `baseline`; how many episodes each has."""
    made = [f"tasks=[{tasks}]", f"workers={workers}"]
    collect([*made, "episodes=1"], "demos")
    training = [f"trainer.steps={steps}", "trainer.keep_at=[1]", "trainer.log_every=4"]
    train_all(["dataset=demos", "require_success=false", *training], "policy")
    judging = [*made, f"episodes={layouts}", f"env.max_steps={max_steps}"]
    evaluate_closed_loop(RunStore(), "policy@1", judging, "baseline")
    return len(evaluate_closed_loop(RunStore(), "policy", judging, "candidate").rows)


if __name__ == "__main__":
    main()
