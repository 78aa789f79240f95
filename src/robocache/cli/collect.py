"""`robocache collect`: scripted demonstrations, recorded with every sensor's clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robocache.cli.configuration import load
from robocache.cli.datasets import EPISODES, require_sound
from robocache.cli.progress import console, progress
from robocache.core.env import EnvSpec
from robocache.core.errors import ConfigError, unknown_name
from robocache.envs import make_env, simulator_assets
from robocache.envs.metaworld import ALL_TASKS, MT10, SCENES
from robocache.rollouts import PolicySource, RolloutPlan, execute
from robocache.rollouts.recorder import is_camera
from robocache.runs import Ledger, LedgerRow, Run, RunStore, utc_now
from robocache.runs.retention import after_days
from robocache.sim_to_real import LatencyConfig, SimToReal
from robocache.sim_to_real.kinds import is_changed

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
class FramesConfig:
    """What camera frames are kept for.

    Attributes:
        purpose: in words; "": frames are not kept.
        keep_days: after how many days `robocache runs gc` removes them, with the episodes they
            are in; None: no end is set.
    """

    purpose: str = ""
    keep_days: float | None = None


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
        sim_to_real: what else lies between simulator and robot; `sensors.latency` comes first.
        frames: what camera frames are kept for; a collection with cameras must say it.
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
    sim_to_real: SimToReal
    frames: FramesConfig
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
    frames: FramesConfig = FramesConfig(),
    sim_to_real: SimToReal = SimToReal(),
    phrases: str = "train",
    expert_noise: float = 0.0,
    steps_after_success: int = 0,
) -> RolloutPlan:
    """A plan whose environments, one of each kind, were tried out before any work.

    Args:
        tasks: environment names and task groups.
        env: options of the environments.
        sensors: imperfections of the sensors.
        frames: what camera frames are kept for.
        sim_to_real: what else lies between simulator and robot.
        phrases: which instructions Meta-World gives, unless `env` says so.
        episodes, seed, purpose, actor, expert_noise, steps_after_success: see `RolloutPlan`.

    Raises:
        ConfigError: an unknown task, option or stream; demonstrations of cameras whose frames are
            not to be kept, or a purpose of frames where there is no camera.
    """
    names = task_names(tasks)
    if not names:
        raise ConfigError("tasks must name at least one environment")
    options = dict(env)
    if all(name.startswith("metaworld/") for name in names):
        options = {"phrases": phrases, "clock_jitter_s": sensors.clock_jitter_s, **options}
    elif sensors.clock_jitter_s:
        raise ConfigError("sensors.clock_jitter_s is known to Meta-World alone; set it to 0")
    kinds = {name.split("/")[0]: name for name in names}.values()
    specs = {name: _tried(name, options) for name in kinds}
    streams = [item for spec in specs.values() for item in spec.streams.items()]
    late = {name: sim_to_real.latency_of(name, stream) for name, stream in streams}
    latency = {name: link for name, link in late.items() if link} | dict(sensors.latency)
    for name, spec in specs.items():
        for unknown in sorted({*latency, *sim_to_real.named} - spec.streams.keys()):
            raise unknown_name(f"stream of {name}", unknown, spec.streams)
    wanted = sim_to_real.randomization
    changed = [wanted is not None and is_changed(wanted, *item) for item in streams]
    cameras = {name for name, stream in streams if is_camera(stream)}
    _require_purpose(sorted(cameras), frames, purpose)
    return RolloutPlan(
        tasks=names,
        episodes=episodes,
        seed=seed,
        purpose=purpose,
        actor=actor,
        env_version="; ".join(sorted(spec.version for spec in specs.values())),
        env_options=options,
        latency=latency,
        expert_noise=expert_noise,
        steps_after_success=steps_after_success,
        frames_purpose=frames.purpose,
        frames_keep_days=frames.keep_days,
        randomization=wanted if any(changed) else None,
    )


def _tried(name: str, options: Mapping[str, Any]) -> EnvSpec:
    """What an environment offers, once it was made."""
    env = make_env(name, **options)
    env.close()
    return env.spec


def _require_purpose(cameras: Sequence[str], frames: FramesConfig, purpose: str) -> None:
    if cameras and purpose == "collect" and not frames.purpose:
        raise ConfigError(
            f"demonstrations with {', '.join(cameras)}: frames of cameras are kept for a purpose "
            f"alone; add frames.purpose='...' (and frames.keep_days=..., if they are to go), or "
            f"leave the cameras out of env.sensors"
        )
    if frames.purpose and not cameras:
        raise ConfigError(
            "frames.purpose is given, but nothing here is a camera: leave it out, or add one"
        )


def frames_until(plan: RolloutPlan) -> dict[str, str]:
    """The figure that says until when the frames of episodes that end now are kept, if any is."""
    if plan.frames_keep_days is None:
        return {}
    return {"frames_until": after_days(utc_now(), plan.frames_keep_days)}


def plan_of_today(plan: RolloutPlan) -> RolloutPlan:
    """The same plan with the environments, and their versions, that are installed now."""
    return make_plan(
        plan.tasks,
        plan.env_options,
        SensorsConfig(),
        frames=FramesConfig(plan.frames_purpose, plan.frames_keep_days),
        sim_to_real=SimToReal(plan.latency, *_changes(plan)),
        episodes=plan.episodes,
        seed=plan.seed,
        purpose=plan.purpose,
        actor=plan.actor,
        expert_noise=plan.expert_noise,
        steps_after_success=plan.steps_after_success,
    )


def _changes(plan: RolloutPlan) -> tuple[Any, ...]:
    wanted = plan.randomization
    return () if wanted is None else (wanted.images, wanted.depth, wanted.lidar)


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
    config, _ = load("collect", CollectConfig, overrides)
    plan = make_plan(
        config.tasks,
        config.env,
        config.sensors,
        frames=config.frames,
        sim_to_real=config.sim_to_real,
        episodes=config.episodes,
        seed=config.seed,
        purpose="collect",
        actor="expert",
        expert_noise=config.expert_noise,
        steps_after_success=config.steps_after_success,
    )
    store = RunStore()
    with store.begin(
        "collect",
        {"plan": plan.to_json()},
        name=name,
        seeds=[plan.seed],
        assets=simulator_assets(plan.tasks),
    ) as run:
        ledger = Ledger(store.engine, run.id)
        if run.complete:
            require_sound(store, run.record)
        else:
            rows = make_episodes(
                run, store, plan, title="collect", workers=config.workers, batch=config.batch
            )
            run.finish({**collected(rows, ledger), **frames_until(plan)})
        report_collection(run.id, run.folder / EPISODES, ledger)
        if run.complete and EPISODES in run.record.removed:
            console.print(
                f"its episodes were removed on {run.record.removed[EPISODES][:10]}; to make them "
                f"again, remove the run first: robocache runs rm {run.id}"
            )
        return run


def collected(rows: Sequence[LedgerRow], ledger: Ledger) -> dict[str, Any]:
    """The figures of a collection."""
    return {
        "episodes": len(rows),
        "solved": sum(bool(row.success) for row in rows),
        "steps": sum(row.steps for row in rows),
        "fingerprint": ledger.fingerprint(),
    }


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
