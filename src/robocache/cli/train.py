"""`robocache train`: imitation from a dataset, resumed where it stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
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
    window_for,
)
from robocache.cli.output import be_silent
from robocache.cli.overlap import keep_training_episodes, learned_before, require_unseen
from robocache.cli.policies import sound_checkpoint
from robocache.cli.preparing import prepare, randomizer_for
from robocache.cli.progress import console, progress
from robocache.cli.skipped import needed_as, told_of_skipped
from robocache.cli.train_config import TrainConfig, to_record, to_record_caches
from robocache.cli.training_data import TrainingData, find_datasets, training_data
from robocache.cli.windows_seen import windows_of
from robocache.core.errors import ConfigError, unknown_name
from robocache.core.window import Window
from robocache.datasets import Loader, Reader
from robocache.learning import train
from robocache.learning.engine.processes import Processes, joined_processes
from robocache.runs import Run, RunStore, latest_checkpoint, read_manifest, verify_checkpoint
from robocache.runs.checkpoints import read_listing
from robocache.sim_to_real import Delays, DepthRanges, ImageRanges


def train_all(overrides: Sequence[str], name: str | None) -> list[Run]:
    """One run per training seed, each made now, continued, or found complete.

    Started by `torchrun`, its processes share each batch; only the first has the runs.
    """
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
    windows = windows_of(config.policy, start)
    datasets, sources = find_datasets(store, config, members, windows)
    validation = None
    if config.validation is not None:
        validation = find_dataset(
            store,
            config.validation,
            validation_options(plain),
            on_error=config.on_error,
            needed=needed_as(members.get(config.validation_as), windows),
        )
        sources["validation"] = config.validation
    if start is not None:
        sources["checkpoint"] = str(start)
    recorded = to_record(plain, datasets, members, start, validation)
    runs = []
    with joined_processes(config.trainer.device) as processes:
        if not processes.first:
            be_silent()
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
                processes=processes,
            )
            if run is None:
                continue
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
    processes: Processes = Processes(),
) -> Run | None:
    """The run of one training seed; None in all processes but the first.

    Args:
        config: has one seed.
        recorded: the same for the manifest, see `to_record`.
        datasets: name -> what is trained on.
        start: the checkpoint to start from.
        name, sources: see `RunStore.begin`.
        validation: recordings to judge on.
        processes: which of those that train it together this is.
    """
    members = read_members(config.mixture)
    data = training_data(
        datasets,
        members,
        require_success=config.require_success,
        require_instruction=config.require_instruction,
        hold_out=config.hold_out,
        learned=learned_before(store, start),
    )
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
    threads = {"torch": torch.get_num_threads()}
    if processes.count > 1:
        threads["processes"] = processes.count
    roles = {source_of(name) if members else "dataset": one for name, one in datasets.items()}
    if validation is not None:
        roles["validation"] = validation
    setting = cache_setting(store, name, config)
    windows = windows_of(config.policy, start)
    (seed,) = config.seeds
    data = delayed(data, config, windows, seed)
    data = data.cached(setting, windows, config.workers)
    recorded = to_record_caches(recorded, data.caches)
    if validation is not None and not config.allow_training_episodes:
        data.read_all()
        require_unseen(data.learned, validation, validation.keys())
    judged_as = ""
    if validation is not None and config.validation_as:
        member = members[config.validation_as]
        validation = seen(validation, member.rename, member.transforms)
        judged_as = member.embodiment
    begun: AbstractContextManager[Run | None] = nullcontext()
    if processes.first:
        begun = store.begin(
            "train",
            {**recorded, "threads": threads},
            name=name,
            parents=recorded["init_from"],
            seeds=[seed],
            datasets=data.fingerprints,
            threads=threads,
            sources=sources,
            skipped=told_of_skipped(roles),
        )
    with begun as run:
        if processes.share(None if run is None else run.complete):
            if run is not None:
                require_sound(store, run.record)
                console.print(f"run {run.id} is complete; nothing to do")
            return run
        policy, table = prepare(config, data, seed, start)
        if run is not None:
            console.print(f"run {run.id}: {data}")
            keep_training_episodes(run.folder, data.learned)
        judged = window_for(windows, judged_as)
        judge = judge_by(
            store,
            config.evaluate,
            judged,
            validation,
            embodiment=judged_as,
            device=config.trainer.device,
        )
        loader = Loader(
            table,
            config.trainer.batch_size,
            seed,
            workers=config.workers,
            pin_memory=config.trainer.device.startswith("cuda"),
            rank=processes.rank,
            world_size=processes.count,
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
                randomize=randomizer_for(config, table, seed),
                processes=processes,
            )
        if run is None:
            return None
        sha256 = verify_checkpoint(path)
        figures = {"steps": config.trainer.steps, "checkpoint": sha256, "windows": len(table)}
        last = {} if validation is None else judge(path, config.trainer.steps)
        run.finish({**figures, **last})
        return run


def delayed(
    data: TrainingData, config: TrainConfig, windows: Mapping[str, Window], seed: int
) -> TrainingData:
    """The same, with what the policy reads as late as a robot's sensors, where that is asked.

    Raises:
        ConfigError: `sim_to_real` names a stream that the policy does not read.
    """
    streams = {view.stream for window in windows.values() for view in window.inputs}
    for name in sorted(config.sim_to_real.named - streams):
        raise unknown_name("input of the policy in sim_to_real", name, streams)
    if not config.sim_to_real.latency:
        return data
    streams -= {window.action for window in windows.values()}  # their samples are the labels
    # What pictures look like changes nothing here: caches of the same samples keep their names.
    links = replace(config.sim_to_real, images=ImageRanges(), depth=DepthRanges())
    return replace(data, delays=Delays(links, tuple(sorted(streams)), seed))


def cache_setting(store: RunStore, name: str | None, config: TrainConfig) -> CacheSetting:
    """A run that is continued reads what it read before, unless something else is asked for."""
    begun = store.runs(run_id=name) if name and config.cache == "auto" else []
    if not begun:
        return config.cache
    kept: CacheSetting = read_manifest(begun[0].folder)["config"].get("cached", "off")
    return kept


def last_checkpoint(run: Run) -> Path:
    """The final checkpoint of a complete run."""
    path = latest_checkpoint(run.folder)
    if path is None:
        raise ConfigError(f"run {run.id} has no checkpoint")
    return path
