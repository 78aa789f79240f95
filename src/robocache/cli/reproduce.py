"""`robocache reproduce RUN`: the same run again, in a home of its own, compared to the bit."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from robocache.cli.collect import collected, frames_until, make_episodes
from robocache.cli.configuration import build
from robocache.cli.content import Compared, KnownRun, compare_content, known_run
from robocache.cli.datasets import require_sound
from robocache.cli.difference import print_columns
from robocache.cli.evaluate import judge_plan
from robocache.cli.inputs import Inputs, find_inputs
from robocache.cli.open_loop import judge_recordings
from robocache.cli.policies import load_as
from robocache.cli.progress import console
from robocache.cli.train import train_one
from robocache.cli.train_config import from_record
from robocache.core.errors import ConfigError, RunError, unknown_name
from robocache.envs import simulator_assets
from robocache.evaluation.open_loop_config import OpenLoopConfig
from robocache.rollouts import RolloutPlan
from robocache.runs import (
    Ledger,
    Run,
    RunStore,
    collect_manifest,
    config_hash,
    read_manifest,
    utc_now,
)
from robocache.runs.database import DATABASE_VARIABLE
from robocache.runs.drift import Difference, differences, environment_drift, shown
from robocache.runs.files import storage_errors

HOME_VARIABLE = "ROBOCACHE_HOME"
BATCH = 20
FEW_EPISODES = 40
_PLACES = 40


@dataclass(frozen=True)
class Reproduction:
    """What came of running a run again.

    Attributes:
        run, verb: what was run again.
        compared: the first difference, and how much was compared.
        environment: what differs in code and machine.
        home: where the new run is; None when it was removed, or nothing was run.
    """

    run: str
    verb: str
    compared: Compared
    environment: tuple[Difference, ...]
    home: Path | None

    @property
    def identical(self) -> bool:
        return self.compared.difference is None

    def to_json(self) -> dict[str, Any]:
        first = self.compared.difference
        return {
            "run": self.run,
            "run_verb": self.verb,
            "identical": self.identical,
            "difference": first.to_json() if first else None,
            "compared": dict(self.compared.counts),
            "environment": [one.to_json() for one in self.environment],
            "home": None if self.home is None else str(self.home),
        }


def reproduce(text: str, threads: int | None, keep: bool) -> Reproduction:
    """Run a run again and say whether everything it makes is the same.

    Args:
        text: name of a complete run, or the path of a manifest or run folder from elsewhere.
        threads: torch threads; None: as many as it was run with.
        keep: keep the home of the new run.

    Raises:
        ConfigError: no such run, an input of it is missing, or its settings are no longer known.
        IntegrityError: it is not as it was recorded.
        StorageError: the new run cannot be written; the original is not touched.
    """
    store = RunStore()
    original = known_run(store, text)
    _require_reproducible(store, original, threads)
    manifest = original.manifest
    console.print(f"run {original.name}: {manifest['verb']} of {manifest['started'][:19]}")
    difference = _settings_difference(store, original)
    inputs = Inputs() if difference else find_inputs(store, original)
    difference = difference or inputs.difference
    place: Path | None = None
    with _threads(threads or _recorded_threads(original)):
        if difference is not None:
            compared = Compared(difference, {})
            present = collect_manifest(manifest["verb"], {}, started=utc_now())
            present["threads"] = manifest["threads"]  # nothing was run with others
        else:
            with _scratch_home(keep) as place:
                again = _again(original, inputs)
                compared = compare_content(original, again)
                present = again.manifest
    drift = (*inputs.drift, *_sessions(manifest), *environment_drift(manifest, present))
    result = Reproduction(original.name, manifest["verb"], compared, drift, place if keep else None)
    _report(result)
    return result


def _require_reproducible(store: RunStore, original: KnownRun, threads: int | None) -> None:
    verb, status = original.manifest["verb"], original.manifest.get("status")
    if original.record is not None:
        status = original.record.status
        require_sound(store, original.record)
    if verb not in _VERBS:
        raise unknown_name("verb that can be reproduced", verb, _VERBS)
    if status != "complete":
        raise RunError(
            f"run {original.name!r} is {status}: finish it first, with the command that began it"
        )
    if threads is not None and threads < 1:
        raise ConfigError(f"threads must be at least 1, got {threads}")
    if threads is not None and verb in ("collect", "eval"):
        raise ConfigError(f"--threads: {verb} uses one thread for each worker, whatever is asked")


def _settings_difference(store: RunStore, original: KnownRun) -> Difference | None:
    """Where the settings of a manifest are not those whose hash it names."""
    sha256 = original.manifest["config_hash"]
    if config_hash(original.config) == sha256:
        return None
    for record in store.runs():
        if record.config_hash == sha256:
            return next(differences(record.config, original.config, "config"), None)
    return Difference(
        "config", f"sha256 {sha256[:12]}", f"sha256 {config_hash(original.config)[:12]}"
    )


def _again(original: KnownRun, inputs: Inputs) -> KnownRun:
    """Execute it in the present home."""
    store = RunStore()
    try:
        run = _VERBS[original.manifest["verb"]](store, original, inputs)
    finally:
        store.engine.dispose()
    return KnownRun(run.id, read_manifest(run.folder), run.folder)


def _collect(store: RunStore, original: KnownRun, inputs: Inputs) -> Run:
    plan = inputs.plan
    assert plan is not None
    with store.begin(
        "collect",
        {"plan": plan.to_json()},
        name=original.name,
        seeds=[plan.seed],
        assets=simulator_assets(plan.tasks),
    ) as run:
        rows = make_episodes(run, store, plan, title="collect", workers=_workers(plan), batch=BATCH)
        run.finish({**collected(rows, Ledger(store.engine, run.id)), **frames_until(plan)})
    return run


def _evaluate(store: RunStore, original: KnownRun, inputs: Inputs) -> Run:
    plan, source = inputs.plan, inputs.source
    assert plan is not None and source is not None
    settings = {name: value for name, value in original.config.items() if name != "plan"}
    if "plan" not in original.config:  # a manifest of version 1
        settings = {"policy": original.config["policy"]}
    judged = judge_plan(
        store, plan, source, settings, name=original.name, workers=_workers(plan), batch=BATCH
    )
    return judged.run


def _open_loop(store: RunStore, original: KnownRun, inputs: Inputs) -> Run:
    (dataset,), checkpoint = inputs.datasets.values(), inputs.checkpoint
    assert checkpoint is not None
    config = build(OpenLoopConfig, {k: v for k, v in original.config.items() if k != "policy"})
    policy = load_as(checkpoint, config.embodiment, config.device)
    keys = config.episodes or dataset.keys()
    with store.begin("open-loop", original.config, name=original.name, seeds=[config.seed]) as run:
        judge_recordings(run, policy, dataset, keys, config)
    return run


def _train(store: RunStore, original: KnownRun, inputs: Inputs) -> Run:
    config = from_record(original.config)
    run = train_one(
        store,
        replace(config, trainer=replace(config.trainer, threads=torch.get_num_threads())),
        original.config,
        inputs.datasets,
        inputs.checkpoint,
        name=original.name,
        sources=original.manifest["sources"],
        validation=inputs.validation,
    )
    assert run is not None, "one process reproduces"
    return run


def _workers(plan: RolloutPlan) -> int:
    """Worker processes; starting them is not worth while for a few episodes."""
    return 0 if len(plan.jobs()) <= FEW_EPISODES else min(8, len(os.sched_getaffinity(0)))


def _recorded_threads(original: KnownRun) -> int | None:
    count = (original.manifest.get("threads") or {}).get("torch")
    return count if isinstance(count, int) and count > 0 else None


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _scratch_home(keep: bool) -> Iterator[Path]:
    """A home of its own, removed at the end however it comes; $TMPDIR says where."""
    with storage_errors(Path(tempfile.gettempdir())):
        folder = Path(tempfile.mkdtemp(prefix="robocache-reproduce-"))
    before = {name: os.environ.pop(name, None) for name in (HOME_VARIABLE, DATABASE_VARIABLE)}
    os.environ[HOME_VARIABLE] = str(folder)
    try:
        yield folder
    finally:
        del os.environ[HOME_VARIABLE]
        os.environ.update({name: text for name, text in before.items() if text is not None})
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _sessions(manifest: Mapping[str, Any]) -> list[Difference]:
    """Where sessions of the original itself, which was interrupted, ran on something else."""
    return [
        replace(one, place=f"session {number} of the original, {one.place}")
        for number, session in enumerate(manifest.get("earlier", []), start=1)
        for one in environment_drift(session, manifest)
    ]


def _report(result: Reproduction) -> None:
    first, drift = result.compared.difference, result.environment
    if first is None:
        console.print(f"identical: {result.compared}")
        title = "although code or machine changed:" if drift else ""
    else:
        console.print(f"differs, first at {first}", markup=False)
        title = (
            "code and machine changed, which may explain it:"
            if drift
            else ("nothing that the manifest records of code and machine changed")
        )
    if title:
        console.print(title)
    print_columns([_row(one) for one in drift[:_PLACES]])
    if len(drift) > _PLACES:
        console.print(f"  and {len(drift) - _PLACES} more")
    if result.home is not None:
        console.print(f"the new run is kept in {result.home}", markup=False)


def _row(one: Difference) -> tuple[str, str, str]:
    return one.place, f"was {shown(one.was)}", f"now {shown(one.now)}"


_VERBS: Mapping[str, Callable[[RunStore, KnownRun, Inputs], Run]] = {
    "collect": _collect,
    "eval": _evaluate,
    "open-loop": _open_loop,
    "train": _train,
}
