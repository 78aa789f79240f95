"""`robocache eval`: a policy judged in simulation; on recordings see `open_loop.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from robocache.cli.collect import (
    FramesConfig,
    SensorsConfig,
    frames_until,
    make_episodes,
    make_plan,
    plan_of_today,
)
from robocache.cli.configuration import load
from robocache.cli.datasets import require_sound
from robocache.cli.policies import find_policy
from robocache.cli.progress import console
from robocache.core.errors import ConfigError
from robocache.envs import simulator_assets
from robocache.evaluation.closed_loop import ClosedLoopResult, summarise
from robocache.evaluation.promotion import rule_in_force, rule_runs
from robocache.rollouts import PolicySource, RolloutPlan
from robocache.runs import (
    Ledger,
    LedgerRow,
    Run,
    RunStore,
    first_difference,
    plain,
)
from robocache.sim_to_real import SimToReal

FREE = ("workers", "batch", "device")
"""Settings of an evaluation that no rule sets."""


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
        sim_to_real: what else lies between simulator and robot; `sensors.latency` comes first.
        frames: what camera frames are kept for; the policy sees them either way.
        workers: processes. Changes nothing in the result.
        batch: episodes in lockstep per process. Changes nothing in the result.
        device: where the policy's network computes: cpu, cuda, cuda:1. Another one gives other
            last digits, so it is part of what a run is.
    """

    tasks: tuple[str, ...]
    episodes: int
    seed: int
    phrases: str
    env: dict[str, Any]
    sensors: SensorsConfig
    sim_to_real: SimToReal
    frames: FramesConfig
    workers: int
    batch: int
    device: str


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
        slot: judge under this slot's rule, which sets the plan; only `FREE` settings can be given
            then. A run that does so already is found whatever its name.

    Raises:
        ConfigError: a setting that does not fit, or that the rule sets; or other versions of the
            simulators are installed than the rule asks for.
    """
    config, _ = load("eval", EvalConfig, overrides)
    settings: dict[str, Any] = {}
    if config.device != "cpu":
        settings["device"] = config.device
    source, sha256 = find_policy(store, policy, config.device)
    if slot is None:
        plan = evaluation_plan(config, sha256)
    else:
        require_no_plan(slot, overrides)
        declared, rule = rule_in_force(store, slot)
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
        if text.split("=")[0] not in FREE:
            raise ConfigError(
                f"{text}: the rule of slot {slot!r} sets the plan; only {', '.join(FREE)} can be "
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
        sim_to_real=config.sim_to_real,
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
