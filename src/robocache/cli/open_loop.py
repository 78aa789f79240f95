"""`robocache eval --open-loop`: a policy judged on recordings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robocache.cli.configuration import build, load
from robocache.cli.datasets import find_dataset, given, require_sound
from robocache.cli.mixture import seen, settings_of_member
from robocache.cli.open_loop_words import print_open_loop
from robocache.cli.overlap import require_unseen, training_episodes
from robocache.cli.policies import is_outside, load_as, sound_checkpoint
from robocache.cli.progress import console, progress
from robocache.cli.skipped import needed_by, told_of_skipped
from robocache.core.errors import ConfigError, unknown_name
from robocache.core.stream import StreamSpec
from robocache.datasets import Reader, WindowTable
from robocache.datasets.dimensions import Dimension, stream_dimensions
from robocache.datasets.skipping import SoundEpisodes
from robocache.evaluation.open_loop import OpenLoopResult, evaluate_open_loop
from robocache.evaluation.open_loop_config import OpenLoopConfig
from robocache.evaluation.trajectories import Trajectory, chunk_steps, evaluate_trajectories
from robocache.policies import TrainablePolicy
from robocache.runs import Run, RunStore, atomic_write

FIGURES, TRAJECTORIES = "open_loop.json", "trajectories.json"
"""Files of a run: what was measured, and what its page draws."""


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
    loaded = load_as(path, config.embodiment, config.device)
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
    chunk_steps(config, loaded.window.horizon)
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
        if run.complete:
            require_sound(store, run.record)
            result = read_result(run.folder)
        else:
            result = judge_recordings(run, loaded, dataset, keys, config)
    print_open_loop(result, run.folder / FIGURES)
    return run, result


def judge_recordings(
    run: Run,
    policy: TrainablePolicy,
    dataset: Reader,
    keys: Sequence[str],
    config: OpenLoopConfig,
) -> OpenLoopResult:
    """Ask the policy about these episodes; finish the run with the figures and two files."""
    judged = seen(dataset, config.rename, config.transforms)
    window = policy.window
    table = WindowTable((judged[key] for key in keys), window)
    mean = policy.statistics[window.action].mean.reshape(-1)
    dimensions, counted = action_dimensions(policy, judged, table.specs[window.action])
    with progress("trajectories", "episodes") as say:
        along, drawn = evaluate_trajectories(policy, table, config, counted, say)
    with progress("open loop", "windows") as say:
        result = evaluate_open_loop(policy, table, mean, config, say)
    result = replace(result, dimensions=dimensions, trajectories=along)
    kept = {"episodes": [one.to_json() for one in drawn]}
    atomic_write(run.folder / FIGURES, json.dumps(result.to_json()).encode())
    atomic_write(run.folder / TRAJECTORIES, json.dumps(kept).encode())
    run.finish(
        {
            "errors": {"absolute": result.overall(), "rms": result.overall("square")},
            "first_step": {"absolute": result.first_step(), "rms": result.first_step("square")},
            "trajectories": {"mse": along.mse, "mae": along.mae},
        }
    )
    return result


def action_dimensions(
    policy: TrainablePolicy, dataset: Reader, spec: StreamSpec
) -> tuple[tuple[Dimension, ...], NDArray[np.bool_]]:
    """Names of an action's numbers, the policy's own before the dataset's; (A,) bool, which of them
    it predicts."""
    dimensions = stream_dimensions(dataset, policy.window.action, spec)
    tell = getattr(policy, "action_names", None)
    names: tuple[str, ...] = tuple(one.name for one in dimensions) if tell is None else tell()
    named = tuple(
        replace(one, name=name or one.name) for one, name in zip(dimensions, names, strict=True)
    )
    return named, np.array([bool(name) for name in names])


def read_result(folder: Path) -> OpenLoopResult:
    """What an open-loop run measured."""
    return OpenLoopResult.from_json(json.loads((folder / FIGURES).read_text()))


def read_trajectories(folder: Path) -> list[Trajectory]:
    """The trajectories that an open-loop run kept; none of runs of before there were any."""
    file = folder / TRAJECTORIES
    if not file.is_file():
        return []
    return [Trajectory.from_json(one) for one in json.loads(file.read_text())["episodes"]]
