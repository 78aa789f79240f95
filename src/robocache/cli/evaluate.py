"""`robocache eval`: a policy judged in simulation (closed loop) or on recordings (open loop)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robocache.cli.collect import (
    FramesConfig,
    SensorsConfig,
    frames_until,
    make_episodes,
    make_plan,
    plan_of_today,
)
from robocache.cli.configuration import build, load
from robocache.cli.datasets import find_dataset, given, require_sound
from robocache.cli.mixture import seen, settings_of_member
from robocache.cli.overlap import require_unseen, training_episodes
from robocache.cli.policies import find_policy, is_outside, load_as, sound_checkpoint
from robocache.cli.progress import console, progress
from robocache.cli.skipped import needed_by, told_of_skipped
from robocache.core.errors import ConfigError, unknown_name
from robocache.datasets import WindowTable
from robocache.datasets.skipping import SoundEpisodes
from robocache.envs import simulator_assets
from robocache.evaluation.closed_loop import ClosedLoopResult, summarise
from robocache.evaluation.open_loop import (
    PREDICTORS,
    OpenLoopConfig,
    OpenLoopResult,
    evaluate_open_loop,
)
from robocache.evaluation.promotion import rule_in_force, rule_runs
from robocache.rollouts import PolicySource, RolloutPlan
from robocache.runs import (
    Ledger,
    LedgerRow,
    Run,
    RunStore,
    atomic_write,
    first_difference,
    plain,
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
        frames: what camera frames are kept for; the policy sees them either way.
        workers: processes. Changes nothing in the result.
        batch: episodes in lockstep per process. Changes nothing in the result.
    """

    tasks: tuple[str, ...]
    episodes: int
    seed: int
    phrases: str
    env: dict[str, Any]
    sensors: SensorsConfig
    frames: FramesConfig
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


def evaluate_closed_loop(
    store: RunStore,
    policy: str,
    overrides: Sequence[str],
    name: str | None = None,
    *,
    slot: str | None = None,
) -> Judged:
    """Run the plan with this policy, or find it already run.

    Args:
        slot: judge under this slot's rule, which sets the plan; only `workers` and `batch` can be
            given then. A run that does so already is found whatever its name.

    Raises:
        ConfigError: a setting that does not fit, or that the rule sets; or other versions of the
            simulators are installed than the rule asks for.
    """
    config, _ = load("eval", EvalConfig, overrides)
    settings: dict[str, Any] = {}
    if slot is None:
        source, sha256 = find_policy(store, policy)
        plan = evaluation_plan(config, sha256)
    else:
        require_no_plan(slot, overrides)
        declared, rule = rule_in_force(store, slot)
        source, sha256 = find_policy(store, policy)
        plan = rule.plan_for(sha256)
        settings["rule"] = declared.sha256
        begun = rule_runs(store, declared, sha256)
        done = [record for record in begun if record.status == "complete"]
        if not done:
            require_installed(slot, plan)
        if name is None and begun:
            name = (done or begun)[0].name
    settings["policy"] = sha256
    return judge_plan(
        store, plan, source, settings, name=name, workers=config.workers, batch=config.batch
    )


def require_no_plan(slot: str, overrides: Sequence[str]) -> None:
    """Refuse settings that a slot's rule sets."""
    for text in overrides:
        if text.split("=")[0] not in ("workers", "batch"):
            raise ConfigError(
                f"{text}: the rule of slot {slot!r} sets the plan; only workers and batch can be "
                f"given (robocache slots show {slot})"
            )


def require_installed(slot: str, plan: RolloutPlan) -> None:
    """Refuse to make a rule's episodes with other environments than it was declared with."""
    here = plan_of_today(plan)
    difference = first_difference(plain(plan.to_json()), plain(here.to_json()))
    if difference:
        where, asked, found = difference
        raise ConfigError(
            f"the rule of slot {slot!r} asks for {where} = {asked!r}, here it is {found!r}: "
            f"install what it asks for, or declare the rule again and judge again"
        )


def evaluation_plan(config: EvalConfig, actor: str) -> RolloutPlan:
    """The episodes that these settings ask for."""
    return make_plan(
        config.tasks,
        config.env,
        config.sensors,
        frames=config.frames,
        phrases=config.phrases,
        episodes=config.episodes,
        seed=config.seed,
        purpose="evaluate",
        actor=actor,
    )


def judge_plan(
    store: RunStore,
    plan: RolloutPlan,
    source: PolicySource,
    settings: Mapping[str, Any],
    *,
    name: str | None,
    workers: int,
    batch: int,
) -> Judged:
    """The run in which this policy acts in the plan's episodes, made now or before."""
    sha256 = settings["policy"]
    with store.begin(
        "eval",
        {**settings, "plan": plan.to_json()},
        name=name,
        seeds=[plan.seed],
        parents=[sha256],
        sources={} if source.name is None else {"policy": source.name},
        assets=simulator_assets(plan.tasks),
    ) as run:
        ledger = Ledger(store.engine, run.id)
        if run.complete:
            require_sound(store, run.record)
            rows = ledger.rows()
        else:
            rows = make_episodes(
                run, store, plan, title="eval", workers=workers, batch=batch, policy=source
            )
            run.finish(
                {
                    **summarise(rows).to_json(),
                    "fingerprint": ledger.fingerprint(),
                    **frames_until(plan),
                }
            )
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
) -> tuple[Run, OpenLoopResult]:
    """Open loop on a dataset, or the result of the same command before; printed, kept in a run.

    Raises:
        ConfigError: the policy was trained on some of the episodes, by content.
    """
    config, asked = load("open_loop", OpenLoopConfig, overrides)
    if is_outside(policy):
        raise ConfigError(f"{policy} is code: errors on recordings are for checkpoints alone")
    path, sha256 = sound_checkpoint(store, policy)
    if config.seen_as:
        asked = {**asked, **settings_of_member(store, sha256, config)}
        config = build(OpenLoopConfig, asked)
    loaded = load_as(path, config.embodiment)
    dataset = find_dataset(
        store,
        config.dataset,
        config.dataset_options,
        on_error=config.on_error,
        needed=needed_by(loaded.window, config.rename, config.transforms),
    )
    known = dataset.keys()
    keys = list(config.episodes) or known
    for key in keys:
        if isinstance(dataset, SoundEpisodes) and key in dataset.damaged:
            raise dataset.damaged[key]
        if key not in known:
            raise unknown_name(f"episode of {dataset.name}", key, known)
    if not config.allow_training_episodes:
        trained = training_episodes(store, path, sha256)
        if trained is None:
            console.print("not known: which episodes the policy was trained on")
        require_unseen(trained or {}, dataset, keys)
    settings = {**given(asked), "dataset": dataset.fingerprint, "policy": sha256}
    with store.begin(
        "open-loop",
        settings,
        name=name,
        parents=[sha256],
        datasets={dataset.name: dataset.fingerprint},
        sources={"dataset": config.dataset},
        seeds=[config.seed],
        skipped=told_of_skipped({"dataset": dataset}),
    ) as run:
        file = run.folder / "open_loop.json"
        if run.complete:
            require_sound(store, run.record)
            result = OpenLoopResult.from_json(json.loads(file.read_text()))
        else:
            judged = seen(dataset, config.rename, config.transforms)
            table = WindowTable((judged[key] for key in keys), loaded.window)
            mean = loaded.statistics[loaded.window.action].mean.reshape(-1)
            with progress("open loop", "windows") as say:
                result = evaluate_open_loop(loaded, table, mean, config, say)
            atomic_write(file, json.dumps(result.to_json()).encode())
            errors = {"absolute": result.overall(), "rms": result.overall("square")}
            run.finish({"errors": errors})
    print_open_loop(result, run.folder)
    return run, result


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
