"""`robocache train`: imitation from a dataset, resumed where it stopped."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from robocache.cli.configuration import build, load
from robocache.cli.datasets import find_dataset, given, keep_keys, require_sound
from robocache.cli.evaluate import evaluate_closed_loop
from robocache.cli.overlap import hashed, keep_training_episodes, learned_before, require_unseen
from robocache.cli.policies import sound_checkpoint
from robocache.cli.progress import console, progress
from robocache.core.errors import ConfigError
from robocache.core.policy import EvaluationCallback
from robocache.core.seeding import derive_seed
from robocache.core.statistics import Statistics
from robocache.core.window import StreamInput, Window
from robocache.datasets import Loader, Reader, WindowTable, compute_statistics
from robocache.datasets.statistics import relative_statistics
from robocache.evaluation.open_loop import PREDICTORS, OpenLoopConfig, evaluate_open_loop
from robocache.learning import TrainerConfig, train
from robocache.policies import FlowConfig, FlowPolicy, load_policy
from robocache.policies.flow.policy import relative_name, require_comparable
from robocache.runs import Run, RunStore, latest_checkpoint, verify_checkpoint
from robocache.runs.checkpoints import read_listing


@dataclass(frozen=True)
class PolicyConfig:
    """What is trained.

    Attributes:
        inputs: the streams it reads.
        action: the stream it learns to predict.
        rate_hz: rate of its action clock.
        network: size and behaviour.
    """

    inputs: tuple[StreamInput, ...]
    action: str
    rate_hz: float
    network: FlowConfig


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Attributes:
        dataset: a folder, or the name of a collection.
        hold_out: keys of episodes not to train on.
        require_success: leave out episodes that are known to have failed.
        seeds: one run is made for each.
        init_from: a checkpoint to start from; it keeps its own statistics and architecture, so
            `policy` cannot be given beside it.
        evaluate: settings of `eval` for judging checkpoints on the way, every
            `trainer.evaluate_every` steps.
        trainer: how.
        policy: what is trained; None where `init_from` says it.
        dataset_options: given to the dataset's reader, e.g. {split: train}.
        validation: recordings that checkpoints are judged on, instead of by `evaluate`, and the
            last one always is; a folder, or the name of a collection.
        validation_options: given to its reader.
        allow_training_episodes: let episodes of the training be among those of `validation`.
        workers: processes that decode pictures and videos. Changes nothing in the result.
    """

    dataset: str
    hold_out: tuple[str, ...]
    require_success: bool
    seeds: tuple[int, ...]
    init_from: str | None
    evaluate: tuple[str, ...]
    trainer: TrainerConfig
    policy: PolicyConfig | None = None
    dataset_options: Mapping[str, Any] = field(default_factory=dict)
    validation: str | None = None
    validation_options: Mapping[str, Any] = field(default_factory=dict)
    allow_training_episodes: bool = False
    workers: int = 0


def train_all(overrides: Sequence[str], name: str | None) -> list[Run]:
    """One run per training seed, each made now, continued, or found complete."""
    config, plain = load("train", TrainConfig, overrides)
    if not config.seeds:
        raise ConfigError("seeds must name at least one training seed")
    if config.init_from is not None:
        for text in overrides:
            if text.startswith(("policy=", "policy.")):
                raise ConfigError(f"{text}: init_from keeps the policy of its checkpoint")
    store = RunStore()
    dataset = find_dataset(store, config.dataset, config.dataset_options)
    validation = None
    if config.validation is not None:
        validation = find_dataset(store, config.validation, config.validation_options)
    start = None if config.init_from is None else sound_checkpoint(store, config.init_from)[0]
    sources = {"dataset": config.dataset}
    if config.validation is not None:
        sources["validation"] = config.validation
    if start is not None:
        sources["checkpoint"] = str(start)
    recorded = to_record(plain, dataset, start, validation)
    runs = []
    for seed in config.seeds:
        run = train_one(
            store,
            replace(config, seeds=(seed,)),
            {**recorded, "seeds": [seed]},
            dataset,
            start,
            name=name if name is None or len(config.seeds) == 1 else f"{name}-seed{seed}",
            sources=sources,
            validation=validation,
        )
        if run.record.status != "complete":  # as it was found
            path = last_checkpoint(run)
            console.print(f"checkpoint {read_listing(path).sha256[:12]} in {path}")
        runs.append(run)
    return runs


def to_record(
    plain: Mapping[str, Any], dataset: Reader, start: Path | None, validation: Reader | None
) -> dict[str, Any]:
    """The configuration as a manifest keeps it: inputs by their hashes, not by their names."""
    parents = [] if start is None else [verify_checkpoint(start)]
    recorded = {**given(plain), "dataset": dataset.fingerprint, "init_from": parents}
    del recorded["workers"]
    if validation is not None:
        recorded["validation"] = validation.fingerprint
    if start is not None:
        del recorded["policy"]
    return recorded


def from_record(recorded: Mapping[str, Any]) -> TrainConfig:
    """The configuration of a run from what its manifest keeps of it.

    Raises:
        ConfigError: this version does not know one of its settings.
    """
    settings = {name: value for name, value in recorded.items() if name != "threads"}
    return build(TrainConfig, {**settings, "init_from": next(iter(recorded["init_from"]), None)})


def train_one(
    store: RunStore,
    config: TrainConfig,
    recorded: Mapping[str, Any],
    dataset: Reader,
    start: Path | None,
    *,
    name: str | None,
    sources: Mapping[str, str],
    validation: Reader | None = None,
) -> Run:
    """The run of one training seed.

    Args:
        config: has one seed.
        recorded: the same for the manifest, see `to_record`.
        start: the checkpoint to start from.
        name, sources: see `RunStore.begin`.
        validation: recordings to judge on.
    """
    keys = keep_keys(dataset, require_success=config.require_success, hold_out=config.hold_out)
    if not keys:
        raise ConfigError(f"{dataset.name} has no episode left to train on")
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
    threads = {"torch": torch.get_num_threads()}
    if validation is not None and not config.allow_training_episodes:
        learned = learned_before(store, start)
        for _ in hashed((dataset[key] for key in keys), learned):
            continue
        require_unseen(learned, validation, validation.keys())
    (seed,) = config.seeds
    with store.begin(
        "train",
        {**recorded, "threads": threads},
        name=name,
        parents=recorded["init_from"],
        seeds=[seed],
        datasets={dataset.name: dataset.fingerprint},
        threads=threads,
        sources=sources,
    ) as run:
        if run.complete:
            require_sound(store, run.record)
            console.print(f"run {run.id} is complete; nothing to do")
            return run
        console.print(f"run {run.id}: {len(keys)} of {len(dataset)} episodes of {dataset.name}")
        learned = learned_before(store, start)
        policy, table = prepare(config, dataset, keys, seed, start, learned)
        keep_training_episodes(run.folder, learned)
        judge = judge_by(store, config.evaluate, policy, validation)
        loader = Loader(
            table,
            config.trainer.batch_size,
            seed,
            workers=config.workers,
            pin_memory=config.trainer.device.startswith("cuda"),
        )
        with loader, progress("train", "steps") as say:
            path = train(
                policy,
                loader,
                config.trainer,
                run=run,
                store=store,
                seed=seed,
                progress=say,
                evaluate=judge,
            )
        sha256 = verify_checkpoint(path)
        figures = {"steps": config.trainer.steps, "checkpoint": sha256, "windows": len(table)}
        last = {} if validation is None else judge(path, config.trainer.steps)
        run.finish({**figures, **last})
        return run


def judge_on_the_way(
    store: RunStore, settings: Sequence[str], path: Path, step: int
) -> dict[str, float]:
    """Success of the checkpoint at `path`; an evaluation callback."""
    success = evaluate_closed_loop(store, str(path), settings).result().overall
    console.print(f"step {step}: success {success}")
    return {"success": success.rate}


def judge_by(
    store: RunStore, settings: Sequence[str], policy: FlowPolicy, validation: Reader | None
) -> EvaluationCallback:
    """How checkpoints are judged: in simulation, or on recordings where there are any."""
    if validation is None:
        return functools.partial(judge_on_the_way, store, settings)
    window = Window(policy.inputs, policy.action, policy.rate_hz, policy.config.horizon)
    table = WindowTable((validation[key] for key in validation.keys()), window)  # noqa: SIM118
    return functools.cache(functools.partial(judge_on_recordings, table))


def judge_on_recordings(table: WindowTable, path: Path, step: int) -> dict[str, float]:
    """Open-loop errors of the checkpoint at `path`; an evaluation callback."""
    policy = load_policy(path)
    mean = policy.statistics[policy.action].mean.reshape(-1)
    errors = evaluate_open_loop(policy, table, mean, OpenLoopConfig("", samples=4)).overall()
    console.print(
        f"step {step}: validation error "
        + ", ".join(f"{name} {errors[name]:.4g}" for name in PREDICTORS)
    )
    return {f"validation_{name}": errors[name] for name in PREDICTORS}


def prepare(
    config: TrainConfig,
    dataset: Reader,
    keys: Sequence[str],
    seed: int,
    start: Path | None,
    learned: dict[str, str],
) -> tuple[FlowPolicy, WindowTable]:
    """A policy with fresh weights (or those of `start`), and the windows it learns from.

    Args:
        learned: gets content hash -> key of the episodes.
    """
    episodes = hashed((dataset[key] for key in keys), learned)
    if start is not None:
        policy = load_policy(start)
        window = Window(policy.inputs, policy.action, policy.rate_hz, policy.config.horizon)
        return policy, WindowTable(episodes, window)
    wanted = config.policy
    if wanted is None:
        raise ConfigError("there is neither a policy nor init_from in the configuration")
    window = Window(wanted.inputs, wanted.action, wanted.rate_hz, wanted.network.horizon)
    table = WindowTable(episodes, window)
    names = [*(view.stream for view in wanted.inputs), wanted.action]
    statistics = compute_statistics((dataset[key] for key in keys), names, dataset.fingerprint)
    require_readable(wanted.inputs, table, statistics)
    reference = wanted.network.relative_to
    if reference:
        require_comparable(reference, wanted.action, table.specs)
        relative = relative_statistics(table, reference)
        streams = {**statistics.streams, relative_name(wanted.action, reference): relative}
        statistics = replace(statistics, streams=streams)
    torch.manual_seed(derive_seed(seed, "initial-weights"))
    policy = FlowPolicy(
        wanted.network,
        inputs=wanted.inputs,
        specs=table.specs,
        action=wanted.action,
        rate_hz=wanted.rate_hz,
        statistics=statistics,
    )
    return policy, table


def require_readable(
    inputs: Sequence[StreamInput], table: WindowTable, statistics: Statistics
) -> None:
    """Refuse pictures of floats, which are neither colours nor depth in millimetres."""
    for view in inputs:
        spec = table.specs[view.stream]
        if view.stream not in statistics.streams and not spec.dtype.startswith("uint"):
            raise ConfigError(
                f"the policy cannot read {view.stream!r}, {spec.dtype} {spec.shape}: pictures are "
                f"uint8 colours or uint16 depth in millimetres"
            )


def last_checkpoint(run: Run) -> Path:
    """The final checkpoint of a complete run."""
    path = latest_checkpoint(run.folder)
    if path is None:
        raise ConfigError(f"run {run.id} has no checkpoint")
    return path
