"""`robocache train`: imitation from a dataset, resumed where it stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from robocache.cli.caching import CacheSetting
from robocache.cli.configuration import load
from robocache.cli.datasets import find_dataset, require_sound
from robocache.cli.judging import judge_by
from robocache.cli.mixture import (
    read_members,
    seen,
    source_of,
    take_mixture_file,
    validation_options,
)
from robocache.cli.overlap import keep_training_episodes, learned_before, require_unseen
from robocache.cli.policies import sound_checkpoint
from robocache.cli.progress import console, progress
from robocache.cli.skipped import needed_as, told_of_skipped
from robocache.cli.train_config import TrainConfig, to_record, to_record_caches
from robocache.cli.training_data import TrainingData, find_datasets, training_data, window_of
from robocache.core.errors import ConfigError
from robocache.core.seeding import derive_seed
from robocache.core.statistics import Statistics
from robocache.core.window import StreamInput
from robocache.datasets import Loader, Mixture, Reader, WindowTable
from robocache.datasets.windows import Windows
from robocache.learning import train
from robocache.policies import FlowPolicy, load_policy
from robocache.policies.flow.policy import relative_name, require_comparable
from robocache.runs import Run, RunStore, latest_checkpoint, read_manifest, verify_checkpoint
from robocache.runs.checkpoints import read_listing


def train_all(overrides: Sequence[str], name: str | None) -> list[Run]:
    """One run per training seed, each made now, continued, or found complete."""
    overrides, file = take_mixture_file(overrides)
    config, plain = load("train", TrainConfig, overrides, file)
    if not config.seeds:
        raise ConfigError("seeds must name at least one training seed")
    if config.init_from is not None:
        for text in overrides:
            if text.startswith(("policy=", "policy.")):
                raise ConfigError(f"{text}: init_from keeps the policy of its checkpoint")
    store = RunStore()
    members = read_members(config.mixture)
    start = None if config.init_from is None else sound_checkpoint(store, config.init_from)[0]
    window = window_of(config.policy, start)
    datasets, sources = find_datasets(store, config, members, window)
    validation = None
    if config.validation is not None:
        validation = find_dataset(
            store,
            config.validation,
            validation_options(plain),
            on_error=config.on_error,
            needed=needed_as(members.get(config.validation_as), window),
        )
        sources["validation"] = config.validation
    if start is not None:
        sources["checkpoint"] = str(start)
    recorded = to_record(plain, datasets, members, start, validation)
    runs = []
    for seed in config.seeds:
        run = train_one(
            store,
            replace(config, seeds=(seed,)),
            {**recorded, "seeds": [seed]},
            datasets,
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


def train_one(
    store: RunStore,
    config: TrainConfig,
    recorded: Mapping[str, Any],
    datasets: Mapping[str, Reader],
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
        datasets: name -> what is trained on.
        start: the checkpoint to start from.
        name, sources: see `RunStore.begin`.
        validation: recordings to judge on.
    """
    members = read_members(config.mixture)
    data = training_data(
        datasets,
        members,
        require_success=config.require_success,
        hold_out=config.hold_out,
        learned=learned_before(store, start),
    )
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
    threads = {"torch": torch.get_num_threads()}
    roles = {source_of(name) if members else "dataset": one for name, one in datasets.items()}
    if validation is not None:
        roles["validation"] = validation
    setting = cache_setting(store, name, config)
    data = data.cached(setting, window_of(config.policy, start), config.workers)
    recorded = to_record_caches(recorded, data.caches)
    if validation is not None and not config.allow_training_episodes:
        data.read_all()
        require_unseen(data.learned, validation, validation.keys())
    if validation is not None and config.validation_as:
        member = members[config.validation_as]
        validation = seen(validation, member.rename, member.transforms)
    (seed,) = config.seeds
    with store.begin(
        "train",
        {**recorded, "threads": threads},
        name=name,
        parents=recorded["init_from"],
        seeds=[seed],
        datasets=data.fingerprints,
        threads=threads,
        sources=sources,
        skipped=told_of_skipped(roles),
    ) as run:
        if run.complete:
            require_sound(store, run.record)
            console.print(f"run {run.id} is complete; nothing to do")
            return run
        console.print(f"run {run.id}: {data}")
        policy, table = prepare(config, data, seed, start)
        keep_training_episodes(run.folder, data.learned)
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


def cache_setting(store: RunStore, name: str | None, config: TrainConfig) -> CacheSetting:
    """A run that is continued reads what it read before, unless something else is asked for."""
    begun = store.runs(run_id=name) if name and config.cache == "auto" else []
    if not begun:
        return config.cache
    kept: CacheSetting = read_manifest(begun[0].folder)["config"].get("cached", "off")
    return kept


def prepare(
    config: TrainConfig,
    data: TrainingData,
    seed: int,
    start: Path | None,
) -> tuple[FlowPolicy, WindowTable | Mixture]:
    """A policy with fresh weights (or those of `start`), and the windows it learns from."""
    window = window_of(config.policy, start)
    if start is not None:
        return load_policy(start), data.windows(window)
    wanted = config.policy
    assert wanted is not None
    table = data.windows(window)
    numbers = [view.stream for view in wanted.inputs if view.size is None]
    statistics = data.statistics([*numbers, wanted.action])
    require_readable(wanted.inputs, table, statistics)
    reference = wanted.network.relative_to
    if reference:
        require_comparable(reference, wanted.action, table.specs)
        relative = data.relative_statistics(table, reference)
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


def require_readable(inputs: Sequence[StreamInput], table: Windows, statistics: Statistics) -> None:
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
