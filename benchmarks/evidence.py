"""What evidence costs: the share of a training and of an evaluation that goes into its records.

    python benchmarks/evidence.py

Both are run by the verbs in this process, at about the size of `robocache demo`. A stopwatch is put
on every function that makes or checks evidence: manifests, the run store, figures, the trace of
training, hashes of checkpoints and their publication, the ledger, hashes of episodes, checks of
what is built on. The peer is the same round without that time. Weights and episodes are not
evidence: the files that hold them are written with and without it.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from measure import arguments, interleave, publish, ratio

import robocache.cli.datasets
import robocache.cli.evaluate
import robocache.cli.policies
import robocache.cli.train
import robocache.learning.imitation
import robocache.rollouts.local
import robocache.rollouts.worker
from robocache.cli.collect import collect
from robocache.cli.evaluate import evaluate_closed_loop
from robocache.cli.train import train_all
from robocache.learning.engine.trace import Trace
from robocache.runs import Ledger, Run, RunStore

EVIDENCE = (
    (RunStore, ("begin", "write_checkpoint", "find_checkpoint", "maker")),
    (Run, ("log_metrics", "rewind_metrics", "finish")),
    (Trace, ("__init__", "add", "flush")),
    (Ledger, ("keys", "rows", "shards", "fingerprint", "digest", "commit", "conflicts")),
    (robocache.cli.datasets, ("require_sound",)),
    (robocache.cli.train, ("verify_checkpoint",)),
    (robocache.cli.policies, ("verify_checkpoint", "require_sound")),
    (robocache.cli.evaluate, ("require_sound", "simulator_assets")),
    (robocache.rollouts.local, ("adopt", "sweep")),
    (robocache.rollouts.worker, ("ledger_row",)),
)
PRODUCT = (robocache.learning.imitation, "write_training_state")
TARGET = 0.01


def main() -> None:
    parser = arguments(__doc__, rounds=4)
    parser.add_argument("--tasks", default="mt10")
    parser.add_argument("--demonstrations", type=int, default=10, help="per task")
    parser.add_argument("--steps", type=int, default=1000, help="optimizer steps")
    parser.add_argument("--layouts", type=int, default=50, help="episodes per task to judge on")
    parser.add_argument("--max-steps", type=int, default=100, help="where episodes are cut")
    args = parser.parse_args()
    tasks = f"tasks=[{args.tasks}]"
    with tempfile.TemporaryDirectory() as home, contextlib.redirect_stdout(sys.stderr):
        os.environ["ROBOCACHE_HOME"] = home
        collect([tasks, f"episodes={args.demonstrations}", "workers=0"], "demos")
        train_all(["dataset=demos", "trainer.steps=1", "require_success=false"], "untrained")
        layouts = [tasks, f"episodes={args.layouts}", f"env.max_steps={args.max_steps}"]
        training = ["dataset=demos", f"trainer.steps={args.steps}", "require_success=false"]
        verbs: dict[str, Callable[[str], Any]] = {
            "training": lambda name: train_all(training, name),
            "evaluation": lambda name: evaluate_closed_loop(
                RunStore(), "untrained", [*layouts, "workers=0"], name
            ),
        }
        watch = Stopwatch()
        spent: dict[str, list[dict[str, float]]] = {name: [] for name in verbs}
        sides = {name: side(name, verb, watch, spent[name]) for name, verb in verbs.items()}
        seconds = interleave(sides, args.rounds)
    evidence = {name: [sum(one.values()) for one in spent[name][1:]] for name in verbs}
    without = {
        name: [whole - part for whole, part in zip(seconds[name], evidence[name], strict=True)]
        for name in verbs
    }
    shares = {name: ratio(evidence[name], without[name]) for name in verbs}
    publish(
        args,
        {
            "measures": "seconds of evidence over all other seconds of a run",
            "share": shares,
            "evidence_s": {name: by_function(spent[name][1:]) for name in verbs},
            "target": TARGET,
            "target_met": all(share["median"] < TARGET for share in shares.values()),
        },
        seconds={
            **seconds,
            **{f"{name} without evidence": values for name, values in without.items()},
            **{f"evidence of {name}": values for name, values in evidence.items()},
        },
        peers={f"evidence of {name}": f"{name} without evidence" for name in verbs},
    )


class Stopwatch:
    """Seconds spent in the functions of `EVIDENCE`, by name; calls within one belong to it."""

    def __init__(self) -> None:
        self.spent_s: dict[str, float] = defaultdict(float)
        self._inside = False
        self._product_s = 0.0
        for owner, names in EVIDENCE:
            for name in names:
                shown = f"{owner.__name__.rpartition('.')[2]}.{name}"
                setattr(owner, name, self._timed(shown, getattr(owner, name)))
        owner, name = PRODUCT
        setattr(owner, name, self._left_out(getattr(owner, name)))

    def _timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if self._inside:
                return function(*args, **kwargs)
            self._inside, self._product_s = True, 0.0
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self._inside = False
                self.spent_s[name] += time.perf_counter() - began - self._product_s

        return call

    def _left_out(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self._product_s += time.perf_counter() - began

        return call


def side(
    name: str, verb: Callable[[str], Any], watch: Stopwatch, spent: list[dict[str, float]]
) -> Callable[[], float]:
    """Runs the verb under a new name, leaves what evidence took in `spent`, tells all seconds."""
    numbers = itertools.count()

    def run() -> float:
        watch.spent_s.clear()
        began = time.perf_counter()
        verb(f"{name}-{next(numbers)}")
        whole = time.perf_counter() - began
        spent.append(dict(watch.spent_s))
        return whole

    return run


def by_function(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Median seconds of each function in a round, the longest first."""
    names = {name for one in rounds for name in one}
    medians = {name: statistics.median(one.get(name, 0.0) for one in rounds) for name in names}
    return {name: round(medians[name], 4) for name in sorted(names, key=medians.__getitem__)[::-1]}


if __name__ == "__main__":
    main()
