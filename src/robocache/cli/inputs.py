"""What a recorded run read, found again by its hash: dataset, checkpoint, policy, plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from robocache.cli.collect import SensorsConfig, make_plan, plan_of_today
from robocache.cli.configuration import build
from robocache.cli.content import KnownRun
from robocache.cli.datasets import EPISODES, find_dataset
from robocache.cli.mixture import read_members, source_of, validation_options, window_for
from robocache.cli.policies import find_policy, sound_checkpoint
from robocache.cli.skipped import needed_as, needed_by
from robocache.cli.train_config import from_record
from robocache.cli.windows_seen import windows_of
from robocache.core.errors import CheckpointError, ConfigError
from robocache.datasets import Reader
from robocache.datasets.damaged import Needed
from robocache.datasets.reader import is_uri
from robocache.rollouts import PolicySource, RolloutPlan
from robocache.runs import RunStore, home, verify_checkpoint
from robocache.runs.checkpoints import LISTING_NAME
from robocache.runs.drift import Difference, differences


@dataclass(frozen=True)
class Inputs:
    """What a run reads, as far as its verb reads it, and where any of it is not what it was."""

    datasets: Mapping[str, Reader] = field(default_factory=dict)
    validation: Reader | None = None
    checkpoint: Path | None = None
    source: PolicySource | None = None
    plan: RolloutPlan | None = None
    difference: Difference | None = None
    drift: tuple[Difference, ...] = ()


def find_inputs(store: RunStore, original: KnownRun) -> Inputs:
    """What the run reads, found in this home or where the manifest says.

    Raises:
        ConfigError, CheckpointError: it is missing.
        IntegrityError: it is not what was recorded of it.
    """
    verb, config = original.manifest["verb"], original.config
    if verb in ("collect", "eval"):
        plan, version = _recorded_plan(verb, config)
        now = plan_of_today(plan).env_version
        drift = tuple(differences(version, now, "environment version"))
        if verb == "collect":
            return Inputs(plan=plan, drift=drift)
        source, sha256 = _find_policy(store, original, config)
        changed = next(differences(config["policy"], sha256, f"source of {source.name}"), None)
        return Inputs(plan=plan, source=source, difference=changed, drift=drift)
    wanted = [config["policy"]] if verb == "open-loop" else config["init_from"]
    checkpoints = [_find_checkpoint(store, original, sha256) for sha256 in wanted]
    checkpoint = next(iter(checkpoints), None)
    found = {}
    for read in _recorded_datasets(original, checkpoint):
        found[read.role] = _find_dataset(store, original, read)
        name = f"{read.role} {found[read.role].name}, fingerprint"
        changed = next(differences(read.fingerprint, found[read.role].fingerprint, name), None)
        if changed is not None:
            return Inputs(difference=changed)
    validation = found.pop("validation", None)
    mixture = config.get("mixture")
    return Inputs(
        datasets={name: found[source_of(name)] for name in mixture}
        if mixture
        else {found["dataset"].name: found["dataset"]},
        validation=validation,
        checkpoint=checkpoint,
    )


@dataclass(frozen=True)
class _Read:
    """A dataset that a run read: what for, what it was called, and how it was opened."""

    role: str
    name: str
    fingerprint: str
    options: Mapping[str, Any]
    on_error: str
    needed: Needed


def _recorded_datasets(original: KnownRun, checkpoint: Path | None) -> list[_Read]:
    """What was read by a training, or of recordings by a checkpoint."""
    manifest, config = original.manifest, original.config
    on_error = config.get("on_error", "raise")
    if original.manifest["verb"] == "open-loop":
        (name,) = manifest["datasets"]
        window = window_for(windows_of(None, checkpoint), config.get("embodiment", ""))
        needed = needed_by(window, config.get("rename", {}), config.get("transforms", ()))
        options = config.get("dataset_options", {})
        return [_Read("dataset", name, config["dataset"], options, on_error, needed)]
    windows = windows_of(from_record(config).policy, checkpoint)
    members = read_members(config.get("mixture", {}))
    if members:
        read = [
            _Read(
                role,
                manifest["sources"][role],
                member.dataset,
                member.options,
                member.on_error or on_error,
                needed_as(member, windows),
            )
            for name, member in members.items()
            for role in [source_of(name)]
        ]
    else:
        (name,) = manifest["datasets"]
        needed = needed_as(None, windows)
        options = config.get("dataset_options", {})
        read = [_Read("dataset", name, config["dataset"], options, on_error, needed)]
    if config.get("validation"):
        place, options = manifest["sources"]["validation"], validation_options(config)
        needed = needed_as(members.get(config.get("validation_as", "")), windows)
        read.append(_Read("validation", place, config["validation"], options, on_error, needed))
    return read


def _recorded_plan(verb: str, config: Mapping[str, Any]) -> tuple[RolloutPlan, str]:
    """The plan of a collection or evaluation, and the version of its environments."""
    if "plan" in config:
        plan = RolloutPlan.from_json(config["plan"])
        return plan, plan.env_version
    plan = make_plan(  # manifests of version 1 kept settings instead
        config["tasks"],
        config["env"],
        build(SensorsConfig, config["sensors"]),
        phrases=config.get("phrases", "train"),
        episodes=config["episodes"],
        seed=config["seed"],
        purpose="collect" if verb == "collect" else "evaluate",
        actor=config.get("policy", "expert"),
        expert_noise=config.get("expert_noise", 0.0),
        steps_after_success=config.get("steps_after_success", 0),
    )
    return replace(plan, env_version=config["environment"]), config["environment"]


def _find_dataset(store: RunStore, original: KnownRun, read: _Read) -> Reader:
    """The dataset by the name of the run that made it, else where the manifest says it was."""
    runs = store.runs(run_id=read.name)
    places = [read.name] if any((run.folder / EPISODES).is_dir() for run in runs) else []
    manifest = original.manifest
    source = manifest["sources"].get(read.role, read.name)
    path = Path(manifest["directory"], source)
    if is_uri(source) or path.exists():
        places.append(source if is_uri(source) else str(path))
    found = [
        find_dataset(store, place, read.options, on_error=read.on_error, needed=read.needed)
        for place in places
    ]
    for dataset in found:
        if dataset.fingerprint == read.fingerprint:
            return dataset
    if found:
        return found[0]
    raise ConfigError(
        f"{read.role} {read.name!r} (fingerprint {read.fingerprint[:12]}), which run "
        f"{original.name!r} read, is missing: there is no such run with episodes in {home()}, and "
        f"nothing at {path}; restore it"
    )


def _find_checkpoint(store: RunStore, original: KnownRun, sha256: str) -> Path:
    """The checkpoint with this hash, in this home or where the manifest says it was."""
    place = original.manifest["sources"].get("checkpoint")
    try:
        path = store.find_checkpoint(sha256)
    except ConfigError:
        path = Path(place or "")
        if not (path / LISTING_NAME).is_file() or verify_checkpoint(path) != sha256:
            raise CheckpointError(
                f"checkpoint {sha256[:12]}, which run {original.name!r} read, is missing: no run "
                f"in {home()} made it{f', and it is not at {place}' if place else ''}; restore it"
            ) from None
    return sound_checkpoint(store, str(path))[0]


def _find_policy(
    store: RunStore, original: KnownRun, config: Mapping[str, Any]
) -> tuple[PolicySource, str]:
    outside = original.manifest["sources"].get("policy")
    found = outside or str(_find_checkpoint(store, original, config["policy"]))
    return find_policy(store, found, config.get("device", "cpu"))
