"""Settings of `robocache train`, and how a manifest keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robocache.cli.caching import CacheSetting, qualities
from robocache.cli.configuration import build
from robocache.cli.datasets import given
from robocache.cli.mixture import Member, record_members
from robocache.core.errors import ConfigError, unknown_name
from robocache.core.window import StreamInput
from robocache.datasets import Reader
from robocache.datasets.cache import OpenCache
from robocache.datasets.reader import OnError
from robocache.learning import TrainerConfig
from robocache.policies import FlowConfig
from robocache.policies.groot_n16.base import require_same
from robocache.policies.groot_n16.checkpoint import find_folder
from robocache.policies.groot_n16.settings import GrootSettings
from robocache.runs import verify_checkpoint
from robocache.sim_to_real import SimToReal


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
    network: FlowConfig | GrootSettings


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Attributes:
        hold_out: keys of episodes not to train on; of a mixture see `Member`.
        require_success: leave out episodes that are known to have failed.
        seeds: one run is made for each.
        init_from: a checkpoint to start from; it keeps its own statistics and architecture, so
            `policy` cannot be given beside it.
        evaluate: settings of `eval` for judging checkpoints on the way, every
            `trainer.evaluate_every` steps.
        trainer: how.
        policy: what is trained; None where `init_from` says it.
        dataset: a folder, or the name of a collection. Either this or `mixture` is given.
        dataset_options: given to the dataset's reader, e.g. {split: train}.
        require_instruction: leave out episodes without words.
        mixture: several datasets: name -> settings of a `Member`.
        validation: recordings that checkpoints are judged on, instead of by `evaluate`, and the
            last one always is; a folder, or the name of a collection.
        validation_options: given to its reader.
        validation_as: name of the dataset of the mixture as which they are renamed and transformed.
        allow_training_episodes: let episodes of the training be among those of `validation`.
        on_error: `raise` at an episode that cannot be read, or `skip` such episodes; of every
            dataset that does not say otherwise, and of `validation`.
        sim_to_real: pictures, ranges and arrival as a robot would have them; a new drawing of the
            pictures in every step.
        workers: processes that decode pictures and videos. Changes nothing in the result.
        cache: what is read instead of the datasets, see `CacheSetting`.
    """

    hold_out: tuple[str, ...]
    require_success: bool
    seeds: tuple[int, ...]
    init_from: str | None
    evaluate: tuple[str, ...]
    trainer: TrainerConfig
    policy: PolicyConfig | None = None
    dataset: str | None = None
    dataset_options: Mapping[str, Any] = field(default_factory=dict)
    require_instruction: bool = False
    mixture: Mapping[str, Any] = field(default_factory=dict)
    validation: str | None = None
    validation_options: Mapping[str, Any] = field(default_factory=dict)
    validation_as: str = ""
    allow_training_episodes: bool = False
    on_error: OnError = "raise"
    sim_to_real: SimToReal = field(default_factory=SimToReal)
    workers: int = 0
    cache: CacheSetting = "auto"

    def __post_init__(self) -> None:
        if (self.dataset is None) == (not self.mixture):
            raise ConfigError(
                "either dataset or mixture must be given: add dataset=... to the command, or "
                "mixture={name: {dataset: ...}, ...}"
            )
        if self.mixture and (self.hold_out or self.dataset_options):
            raise ConfigError(
                "hold_out and dataset_options are of one dataset: give hold_out and options inside "
                "of mixture"
            )
        if self.validation_as and self.validation_as not in self.mixture:
            raise unknown_name("dataset of the mixture", self.validation_as, self.mixture)


def to_record(
    plain: Mapping[str, Any],
    datasets: Mapping[str, Reader],
    members: Mapping[str, Member],
    start: Path | None,
    validation: Reader | None,
) -> dict[str, Any]:
    """The configuration as a manifest keeps it: inputs by their hashes, not by their names."""
    parents = [] if start is None else [verify_checkpoint(start)]
    prints = {name: dataset.fingerprint for name, dataset in datasets.items()}
    recorded = {**given(plain), "init_from": parents}
    if members:
        recorded["mixture"] = record_members(members, prints)
    else:
        (recorded["dataset"],) = prints.values()
    del recorded["workers"], recorded["cache"]
    if build(SimToReal, recorded["sim_to_real"]).is_none:
        del recorded["sim_to_real"]
    if validation is not None:
        recorded["validation"] = validation.fingerprint
    if start is not None:
        del recorded["policy"]
    elif recorded.get("policy"):
        recorded["policy"] = _record_policy(recorded["policy"])
    return recorded


def _record_policy(policy: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a policy, with what its base holds where it starts from one."""
    network = dict(policy["network"])
    if not network.get("ages", True):
        del network["ages"]  # runs from before there was this setting keep their names
    if network.get("kind") == "groot_n16":
        folder = find_folder(network["base"])
        network["base_sha256"] = require_same(folder, network["base_sha256"])
    return {**policy, "network": network}


def to_record_caches(
    recorded: Mapping[str, Any], caches: Mapping[str, OpenCache]
) -> dict[str, Any]:
    """The same with what the caches changed: their quality of JPEG, where they hold colours."""
    kept = qualities(caches)
    if not kept:
        return dict(recorded)
    return {**recorded, "cached": kept if "mixture" in recorded else next(iter(kept.values()))}


def from_record(recorded: Mapping[str, Any]) -> TrainConfig:
    """The configuration of a run from what its manifest keeps of it.

    Raises:
        ConfigError: this version does not know one of its settings.
    """
    settings = {name: value for name, value in recorded.items() if name != "threads"}
    settings["cache"] = settings.pop("cached", "off")
    return build(TrainConfig, {**settings, "init_from": next(iter(recorded["init_from"]), None)})
