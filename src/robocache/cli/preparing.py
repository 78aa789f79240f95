"""From settings and data to a policy with fresh weights, and the windows it learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from robocache.cli.progress import console
from robocache.cli.retention import in_bytes
from robocache.cli.train_config import PolicyConfig, TrainConfig
from robocache.cli.training_data import TrainingData
from robocache.cli.windows_seen import windows_of
from robocache.core.errors import ConfigError
from robocache.core.seeding import derive_seed
from robocache.core.statistics import Statistics
from robocache.core.window import StreamInput
from robocache.datasets import Mixture, WindowTable
from robocache.datasets.unread import without_pictures
from robocache.datasets.windows import Windows
from robocache.learning.randomized import BatchRandomizer
from robocache.policies import FlowConfig, FlowPolicy, TrainablePolicy, load_policy
from robocache.policies.flow.policy import relative_name, require_comparable
from robocache.policies.groot_n16.feature_cache import open_feature_cache
from robocache.policies.groot_n16.policy import GrootPolicy
from robocache.policies.groot_n16.settings import GrootSettings
from robocache.policies.groot_n16.streams import RobotStreams


def prepare(
    config: TrainConfig,
    data: TrainingData,
    seed: int,
    start: Path | None,
) -> tuple[TrainablePolicy, WindowTable | Mixture]:
    """A policy with fresh weights (or those of `start`), and the windows it learns from."""
    table = data.windows(windows_of(config.policy, start))
    policy = _policy(config.policy, data, table, seed, start)
    if isinstance(policy, GrootPolicy) and policy.settings.feature_cache:
        if config.sim_to_real.randomization is not None:
            raise ConfigError(
                "sim_to_real changes pictures in every step, feature_cache keeps what was seen of "
                "them: use one of the two"
            )
        table = keep_features(policy, data, table, config.trainer.device)
    return policy, table


def _policy(
    wanted: PolicyConfig | None,
    data: TrainingData,
    table: WindowTable | Mixture,
    seed: int,
    start: Path | None,
) -> TrainablePolicy:
    if start is not None:
        return load_policy(start)
    assert wanted is not None
    torch.manual_seed(derive_seed(seed, "initial-weights"))
    if isinstance(wanted.network, GrootSettings):
        return _groot_policy(wanted, wanted.network, data, table)
    return _flow_policy(wanted, wanted.network, data, table)


def randomizer_for(
    config: TrainConfig, table: WindowTable | Mixture, seed: int
) -> BatchRandomizer | None:
    """What changes the pictures and ranges of every batch; None: nothing is to be changed."""
    wanted = config.sim_to_real.randomization
    if wanted is None:
        return None
    tables = [table] if isinstance(table, WindowTable) else table.tables
    specs = {name: spec for part in tables for name, spec in part.specs.items()}
    made = BatchRandomizer(wanted, seed, specs)
    if not made.streams:
        console.print("randomized in every step: nothing, the policy reads no picture and no depth")
        return None
    console.print(f"randomized in every step: {', '.join(made.streams)}")
    return made


def keep_features(
    policy: GrootPolicy, data: TrainingData, table: WindowTable | Mixture, device: str
) -> WindowTable | Mixture:
    """Let a policy keep the features of these windows; without pictures where it has all."""
    store = open_feature_cache(policy, table, data.samples(table), device)
    policy.feature_store = store
    console.print(
        f"features of {store.filled} of {len(store)} windows are in {store.folder} "
        f"({in_bytes(store.bytes)})"
    )
    return without_pictures(table) if store.filled == len(store) else table


def _flow_policy(
    wanted: PolicyConfig, network: FlowConfig, data: TrainingData, table: WindowTable | Mixture
) -> FlowPolicy:
    numbers = [view.stream for view in wanted.inputs if view.size is None]
    statistics = data.statistics([*numbers, wanted.action])
    require_readable(wanted.inputs, table, statistics)
    reference = network.relative_to
    if reference:
        require_comparable(reference, wanted.action, table.specs)
        relative = data.relative_statistics(table, reference)
        streams = {**statistics.streams, relative_name(wanted.action, reference): relative}
        statistics = replace(statistics, streams=streams)
    return FlowPolicy(
        network,
        inputs=wanted.inputs,
        specs=table.specs,
        action=wanted.action,
        rate_hz=wanted.rate_hz,
        statistics=statistics,
    )


def _groot_policy(
    wanted: PolicyConfig, settings: GrootSettings, data: TrainingData, table: WindowTable | Mixture
) -> TrainablePolicy:
    from robocache.policies.groot_n16.beginning import begin
    from robocache.policies.groot_n16.checkpoint import LICENSE_NOTICE

    console.print(LICENSE_NOTICE)
    tables = tables_by_embodiment(table, settings.first)
    require_instructions([part for parts in tables.values() for part in parts])
    streams = {tag: _streams_of(parts, data) for tag, parts in tables.items()}
    shared = streams.get(settings.first) or next(iter(streams.values()))
    policy, origin = begin(
        settings,
        inputs=shared.inputs,
        specs=shared.specs,
        action=shared.action,
        rate_hz=shared.rate_hz,
        statistics=shared.statistics,
        data={tag: [(part.table, part.weight) for part in parts] for tag, parts in tables.items()},
        own=streams if len(streams) > 1 else {},
    )
    for tag, names in origin.items():
        kinds = {kind: [n for n, k in names.items() if k == kind] for kind in names.values()}
        told = "; ".join(f"{kind}: {', '.join(found)}" for kind, found in kinds.items())
        console.print(f"statistics of {tag}: {told}")
    return policy


@dataclass(frozen=True)
class Part:
    """A dataset of an embodiment: its name, its windows and its weight in the mixture."""

    name: str
    table: WindowTable
    weight: float


def tables_by_embodiment(table: WindowTable | Mixture, first: str) -> dict[str, list[Part]]:
    """Embodiment -> its datasets.

    Args:
        first: the embodiment where the data does not name any.
    """
    if isinstance(table, WindowTable):
        return {first: [Part("", table, 1.0)]}
    found: dict[str, list[Part]] = {}
    for (name, source), part in zip(table.sources.items(), table.tables, strict=True):
        tag = source.embodiment or first
        found.setdefault(tag, []).append(Part(name, part, table.weights[name]))
    return found


def _streams_of(parts: Sequence[Part], data: TrainingData) -> RobotStreams:
    window = parts[0].table.window
    names = [part.name for part in parts] if data.members else None
    return RobotStreams.of(
        window.inputs,
        window.action,
        window.rate_hz,
        parts[0].table.specs,
        data.statistics([window.action], names),
    )


def require_instructions(parts: Sequence[Part]) -> None:
    """Refuse episodes without words before anything is computed."""
    for part in parts:
        aligned = part.table.aligned
        words = zip(aligned.keys, aligned.instructions, strict=True)
        silent = [key for key, text in words if not text.strip()]
        if silent:
            where = f" of {part.name}" if part.name else ""
            raise ConfigError(
                f"{len(silent)} of {len(aligned.keys)} episodes{where} have no instruction "
                f"({', '.join(silent[:3])}{', ...' if len(silent) > 3 else ''}), and GR00T reads "
                f"one with every sample: add require_instruction=true to leave them out"
            )


def require_readable(inputs: Sequence[StreamInput], table: Windows, statistics: Statistics) -> None:
    """Refuse pictures of floats, which are neither colours nor depth in millimetres."""
    for view in inputs:
        spec = table.specs[view.stream]
        if view.stream not in statistics.streams and not spec.dtype.startswith("uint"):
            raise ConfigError(
                f"the policy cannot read {view.stream!r}, {spec.dtype} {spec.shape}: pictures are "
                f"uint8 colours or uint16 depth in millimetres"
            )
