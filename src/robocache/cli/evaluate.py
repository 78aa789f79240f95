"""`robocache eval`: a policy judged in simulation (closed loop) or on recordings (open loop)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robocache.cli.collect import (
    SensorsConfig,
    make_episodes,
    make_plan,
    result_config,
)
from robocache.cli.configuration import load
from robocache.cli.datasets import find_dataset
from robocache.cli.progress import console
from robocache.core.errors import unknown_name
from robocache.core.plugins import installed
from robocache.core.window import Window
from robocache.datasets import WindowTable
from robocache.evaluation.closed_loop import ClosedLoopResult, summarise
from robocache.evaluation.open_loop import (
    PREDICTORS,
    OpenLoopConfig,
    OpenLoopResult,
    evaluate_open_loop,
)
from robocache.policies import load_policy, make_policy
from robocache.rollouts import PolicySource, RolloutPlan
from robocache.runs import (
    Ledger,
    LedgerRow,
    Run,
    RunStore,
    atomic_write,
    verify_checkpoint,
)


@dataclass(frozen=True)
class EvalConfig:
    """On what a policy is judged.

    Attributes:
        tasks: environment names, or the groups mt10 and metaworld.
        episodes: per task.
        seed: root seed of the layouts; layouts of collections are never among them.
        phrases: instructions of Meta-World: held_out (in no demonstration) or train.
        env: options of the environment.
        sensors: imperfections of the sensors.
        workers: processes. Changes nothing in the result.
        batch: episodes in lockstep per process. Changes nothing in the result.
    """

    tasks: tuple[str, ...]
    episodes: int
    seed: int
    phrases: str
    env: dict[str, Any]
    sensors: SensorsConfig
    workers: int
    batch: int


@dataclass(frozen=True)
class Judged:
    """A policy and what it did: the run, its plan and the rows of its episodes."""

    run: Run
    sha256: str
    rows: list[LedgerRow]
    plan: RolloutPlan

    def result(self) -> ClosedLoopResult:
        return summarise(self.rows)


def find_policy(store: RunStore, text: str) -> tuple[PolicySource, str]:
    """A policy by checkpoint, run, slot or hash, or from outside by entry point or module:name.

    Returns:
        Where workers load it from, and the hash that identifies it.
    """
    outside = ":" in text and not text.startswith("slot:")
    if outside or text in installed("robocache.policies"):
        return PolicySource(name=text), make_policy(text)[1]
    path = store.find_checkpoint(text)
    sha256 = verify_checkpoint(path)
    load_policy(path)
    return PolicySource(checkpoint=path), sha256


def evaluate_closed_loop(
    store: RunStore, policy: str, overrides: Sequence[str], name: str | None = None
) -> Judged:
    """Run the plan with this policy, or find it already run."""
    config, plain = load("eval", EvalConfig, overrides)
    source, sha256 = find_policy(store, policy)
    plan = make_plan(
        config.tasks,
        config.env,
        config.sensors,
        phrases=config.phrases,
        episodes=config.episodes,
        seed=config.seed,
        purpose="evaluate",
        actor=sha256,
    )
    settings = {
        **result_config(plain),
        "tasks": list(plan.tasks),
        "policy": sha256,
        "environment": plan.env_version,
    }
    with store.begin("eval", settings, name=name, seeds=[config.seed], parents=[sha256]) as run:
        ledger = Ledger(store.engine, run.id)
        if run.complete:
            rows = ledger.rows()
        else:
            rows = make_episodes(
                run,
                store,
                plan,
                title="eval",
                workers=config.workers,
                batch=config.batch,
                policy=source,
            )
            run.finish({**summarise(rows).to_json(), "fingerprint": ledger.fingerprint()})
    return Judged(run, sha256, rows, plan)


def print_closed_loop(result: ClosedLoopResult) -> None:
    """Success per task and overall, with 95 % Wilson intervals."""
    for task, rate in result.tasks.items():
        other = result.opposite.get(task)
        tail = "" if other is None else f"   opposite {other}"
        console.print(f"  {task:36} {rate}{tail}")
    console.print(f"  {'overall':36} {result.overall}")


def evaluate_recordings(
    store: RunStore, policy: str, overrides: Sequence[str], name: str | None = None
) -> OpenLoopResult:
    """Open loop on a dataset, or the result of the same command before; printed, kept in a run."""
    config, plain = load("open_loop", OpenLoopConfig, overrides)
    path = store.find_checkpoint(policy)
    sha256 = verify_checkpoint(path)
    loaded = load_policy(path)
    dataset = find_dataset(store, config.dataset)
    known = dataset.keys()
    keys = list(config.episodes) or known
    for key in keys:
        if key not in known:
            raise unknown_name(f"episode of {dataset.name}", key, known)
    window = Window(loaded.inputs, loaded.action, loaded.rate_hz, loaded.config.horizon)
    settings = {**plain, "dataset": dataset.fingerprint, "policy": sha256}
    with store.begin(
        "open-loop",
        settings,
        name=name,
        parents=[sha256],
        datasets={dataset.name: dataset.fingerprint},
        seeds=[config.seed],
    ) as run:
        file = run.folder / "open_loop.json"
        if run.complete:
            result = OpenLoopResult.from_json(json.loads(file.read_text()))
        else:
            table = WindowTable((dataset[key] for key in keys), window)
            mean = loaded.statistics[loaded.action].mean.reshape(-1)
            result = evaluate_open_loop(loaded, table, mean, config)
            atomic_write(file, json.dumps(result.to_json()).encode())
            errors = {"absolute": result.overall(), "rms": result.overall("square")}
            run.finish({"errors": errors})
    print_open_loop(result, run.folder)
    return result


def print_open_loop(result: OpenLoopResult, folder: Path) -> None:
    """Errors by horizon step, against holding the last action and the mean action."""
    console.print("errors over action dimensions, in the action's units")
    console.print(f"  {'':7}  {'mean absolute':^31}   {'root mean square':^31}")
    heads = "  ".join(f"{name:>9}" for name in PREDICTORS)
    console.print(f"  {'step':>7}  {heads}   {heads}  windows")
    curves = (result.per_step("absolute"), result.per_step("square"))
    for step, count in enumerate(result.windows):
        row = "   ".join(
            "  ".join(f"{curve[name][step]:9.5f}" for name in PREDICTORS) for curve in curves
        )
        console.print(f"  {step + 1:7}  {row}  {count}")
    totals = (result.overall("absolute"), result.overall("square"))
    row = "   ".join("  ".join(f"{t[name]:9.5f}" for name in PREDICTORS) for t in totals)
    console.print(f"  {'overall':>7}  {row}")
    console.print(f"per dimension: {folder / 'open_loop.json'}")
