"""How checkpoints are judged while a policy is trained: in simulation, or on recordings."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

from robocache.cli.evaluate import evaluate_closed_loop
from robocache.cli.policies import load_as
from robocache.cli.progress import console
from robocache.core.policy import EvaluationCallback
from robocache.core.window import Window
from robocache.datasets import Reader, WindowTable
from robocache.evaluation.open_loop import PREDICTORS, evaluate_open_loop
from robocache.evaluation.open_loop_config import OpenLoopConfig
from robocache.runs import RunStore


def judge_by(
    store: RunStore,
    settings: Sequence[str],
    window: Window,
    validation: Reader | None,
    *,
    embodiment: str,
    device: str,
) -> EvaluationCallback:
    """How checkpoints are judged: in simulation, or on recordings where there are any.

    Args:
        window: what a sample sees and predicts.
        embodiment: of the recordings.
        device: where the policy's network computes.
    """
    if validation is None:
        return functools.partial(judge_in_simulation, store, [f"device={device}", *settings])
    episodes = (validation[key] for key in validation.keys())  # noqa: SIM118
    table = WindowTable(episodes, window)
    return functools.cache(functools.partial(judge_on_recordings, table, embodiment, device))


def judge_in_simulation(
    store: RunStore, settings: Sequence[str], path: Path, step: int
) -> dict[str, float]:
    """Success of the checkpoint at `path`; an evaluation callback."""
    success = evaluate_closed_loop(store, str(path), settings).result().overall
    console.print(f"step {step}: success {success}")
    return {"success": success.rate}


def judge_on_recordings(
    table: WindowTable, embodiment: str, device: str, path: Path, step: int
) -> dict[str, float]:
    """Open-loop errors of the checkpoint at `path`; an evaluation callback."""
    policy = load_as(path, embodiment, device)
    mean = policy.statistics[policy.window.action].mean.reshape(-1)
    errors = evaluate_open_loop(policy, table, mean, OpenLoopConfig("", samples=4)).overall()
    console.print(
        f"step {step}: validation error "
        + ", ".join(f"{name} {errors[name]:.4g}" for name in PREDICTORS)
    )
    return {f"validation_{name}": errors[name] for name in PREDICTORS}
