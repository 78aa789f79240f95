"""`robocache collect`: scripted demonstrations, recorded with every sensor's clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robocache.cli.configuration import load
from robocache.cli.datasets import EPISODES
from robocache.cli.progress import console, progress
from robocache.core.errors import ConfigError, unknown_name
from robocache.envs import make_env
from robocache.envs.metaworld import ALL_TASKS, MT10, SCENES
from robocache.rollouts import PolicySource, RolloutPlan, execute
from robocache.runs import Ledger, LedgerRow, Run, RunStore
from robocache.sim_to_real import LatencyConfig

TASK_GROUPS: Mapping[str, tuple[str, ...]] = {
    "mt10": tuple(f"metaworld/{task}" for task in MT10),
    "scenes": tuple(f"metaworld/{scene}" for scene in SCENES),
    "metaworld": tuple(f"metaworld/{task}" for task in ALL_TASKS),
}


@dataclass(frozen=True)
class SensorsConfig:
    """Imperfections of the sensors.

    Attributes:
        clock_jitter_s: standard deviation of the firing times, in seconds.
        latency: stream name -> delay and loss.
    """

    clock_jitter_s: float = 0.0
    latency: Mapping[str, LatencyConfig] = field(default_factory=dict)


@dataclass(frozen=True)
class CollectConfig:
    """What is collected.

    Attributes:
        tasks: environment names, or the groups mt10 and metaworld.
        episodes: per task.
        seed: root seed.
        expert_noise: standard deviation of the noise on executed actions.
        steps_after_success: how long an episode goes on once solved.
        env: options of the environment.
        sensors: imperfections of the sensors.
        workers: processes. Changes nothing in the result.
        batch: episodes in lockstep per process. Changes nothing in the result.
    """

    tasks: tuple[str, ...]
    episodes: int
    seed: int
    expert_noise: float
    steps_after_success: int
    env: dict[str, Any]
    sensors: SensorsConfig
    workers: int
    batch: int


def task_names(tasks: Sequence[str]) -> tuple[str, ...]:
    """Task groups spelt out."""
    return tuple(name for task in tasks for name in TASK_GROUPS.get(task, (task,)))


def make_plan(
    tasks: Sequence[str],
    env: Mapping[str, Any],
    sensors: SensorsConfig,
    *,
    episodes: int,
    seed: int,
    purpose: str,
    actor: str,
    phrases: str = "train",
    expert_noise: float = 0.0,
    steps_after_success: int = 0,
) -> RolloutPlan:
    """A plan whose environments, one of each kind, were tried out before any work.

    Args:
        tasks: environment names and task groups.
        env: options of the environments.
        sensors: imperfections of the sensors.
        phrases: which instructions Meta-World gives, unless `env` says so.
        episodes, seed, purpose, actor, expert_noise, steps_after_success: see `RolloutPlan`.
    """
    names = task_names(tasks)
    if not names:
        raise ConfigError("tasks must name at least one environment")
    options = dict(env)
    if all(name.startswith("metaworld/") for name in names):
        options = {"phrases": phrases, "clock_jitter_s": sensors.clock_jitter_s, **options}
    elif sensors.clock_jitter_s:
        raise ConfigError("sensors.clock_jitter_s is known to Meta-World alone; set it to 0")
    versions = []
    for name in {name.split("/")[0]: name for name in names}.values():
        tried = make_env(name, **options)
        versions.append(tried.spec.version)
        for stream in sensors.latency:
            if stream not in tried.spec.streams:
                raise unknown_name(f"stream of {name}", stream, tried.spec.streams)
        tried.close()
    return RolloutPlan(
        tasks=names,
        episodes=episodes,
        seed=seed,
        purpose=purpose,
        actor=actor,
        env_version="; ".join(sorted(versions)),
        env_options=options,
        latency=dict(sensors.latency),
        expert_noise=expert_noise,
        steps_after_success=steps_after_success,
    )


def result_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a configuration that determines the result."""
    return {key: value for key, value in config.items() if key not in ("workers", "batch")}


def make_episodes(
    run: Run,
    store: RunStore,
    plan: RolloutPlan,
    *,
    title: str,
    workers: int,
    batch: int,
    policy: PolicySource | None = None,
) -> list[LedgerRow]:
    """All episodes of the plan, made now or before, with a progress bar."""
    with progress(title, "episodes") as say:
        return execute(
            plan,
            run.folder / EPISODES,
            Ledger(store.engine, run.id),
            policy=policy,
            workers=workers,
            batch=batch,
            progress=say,
        )


def collect(overrides: Sequence[str], name: str | None) -> Run:
    """Collect, or go on collecting, and print what came of it."""
    config, plain = load("collect", CollectConfig, overrides)
    plan = make_plan(
        config.tasks,
        config.env,
        config.sensors,
        episodes=config.episodes,
        seed=config.seed,
        purpose="collect",
        actor="expert",
        expert_noise=config.expert_noise,
        steps_after_success=config.steps_after_success,
    )
    store = RunStore()
    settings = {**result_config(plain), "environment": plan.env_version}
    with store.begin("collect", settings, name=name, seeds=[config.seed]) as run:
        ledger = Ledger(store.engine, run.id)
        if not run.complete:
            rows = make_episodes(
                run, store, plan, title="collect", workers=config.workers, batch=config.batch
            )
            solved = sum(bool(row.success) for row in rows)
            run.finish(
                {
                    "episodes": len(rows),
                    "solved": solved,
                    "steps": sum(row.steps for row in rows),
                    "fingerprint": ledger.fingerprint(),
                }
            )
        report_collection(run.id, run.folder / EPISODES, ledger)
        return run


def report_collection(name: str, folder: Path, ledger: Ledger) -> None:
    """Print demonstrations per task, and where they are."""
    tasks: dict[str, list[LedgerRow]] = {}
    for row in ledger.rows():
        tasks.setdefault(row.task, []).append(row)
    for task, rows in tasks.items():
        solved = sum(bool(row.success) for row in rows)
        console.print(f"  {task:36} {solved:4}/{len(rows)} solved")
    console.print(f"dataset {name}: {sum(map(len, tasks.values()))} episodes in {folder}")
    console.print(f"fingerprint {ledger.fingerprint()}")
