"""How a GR00T N1.6 policy begins: from a base and data, or from what a checkpoint says of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dacite
import numpy as np
import torch
from numpy.typing import NDArray

from robocache.core.errors import ConfigError
from robocache.core.statistics import Statistics
from robocache.core.stream import StreamSpec
from robocache.core.window import StreamInput
from robocache.datasets.windows import WindowTable
from robocache.policies.groot_n16.base import require_same
from robocache.policies.groot_n16.checkpoint import find_folder, read_checkpoint
from robocache.policies.groot_n16.lora import add_lora
from robocache.policies.groot_n16.model import GrootN16
from robocache.policies.groot_n16.policy import GrootPolicy
from robocache.policies.groot_n16.processing.dataset_statistics import compute_statistics
from robocache.policies.groot_n16.processing.embodiments import PROJECTOR_IDS
from robocache.policies.groot_n16.processing.processor import GrootProcessor
from robocache.policies.groot_n16.processing.statistics import (
    EmbodimentStatistics,
    choose_statistics,
    merge_statistics,
)
from robocache.policies.groot_n16.robot import Robot
from robocache.policies.groot_n16.settings import GrootSettings
from robocache.policies.groot_n16.streams import RobotStreams, steps_before
from robocache.policies.groot_n16.tune import TUNE_FIELDS, set_gradient_checkpointing, set_trainable

Groups = Mapping[str, NDArray[Any]]
Weighted = Sequence[tuple[WindowTable, float]]


def begin(
    settings: GrootSettings,
    *,
    inputs: Sequence[StreamInput],
    specs: Mapping[str, StreamSpec],
    action: str,
    rate_hz: float,
    statistics: Statistics,
    data: Mapping[str, Weighted],
    own: Mapping[str, RobotStreams] | None = None,
) -> tuple[GrootPolicy, dict[str, dict[str, str]]]:
    """A policy with the weights of its base, to be trained; and where its statistics are from.

    Args:
        settings, inputs, specs, action, rate_hz, statistics, own: see `GrootPolicy`.
        data: tag -> windows of that embodiment's datasets, each with its weight.

    Returns:
        The policy, and tag -> name such as "state.arm" -> "pretrained", "dataset" or "merge".

    Raises:
        ConfigError: settings, base and streams do not fit each other.
        CheckpointError: the base is damaged, of another model, or not what `base_sha256` says.
    """
    folder = find_folder(settings.base)
    settings = replace(settings, base_sha256=require_same(folder, settings.base_sha256))
    chosen: dict[str, EmbodimentStatistics] = {}
    origin: dict[str, dict[str, str]] = {}
    known = _processor(settings, folder)
    shared = RobotStreams.of(inputs, action, rate_hz, specs, statistics)
    for tag, robot in settings.embodiments.items():
        streams = (own or {}).get(tag, shared)
        recorded = streams.robot(tag, robot)
        found = None
        if robot.statistics != "pretrained":
            if tag not in data:
                raise ConfigError(f"no dataset is of embodiment {tag!r}, so it has no statistics")
            steps = steps_before(streams.inputs, streams.rate_hz)
            config = robot.config(tag, steps, known.embodiments.get(tag))
            tables, weights = zip(*data[tag], strict=True)
            parts = [compute_statistics(config, episode_groups(t, recorded)) for t in tables]
            found = merge_statistics(parts, weights, tag)
        made = choose_statistics(
            robot.statistics, tag, pretrained=known.statistics.get(tag), dataset=found
        )
        chosen[tag], origin[tag] = made.statistics, dict(made.origin)
    return _assemble(settings, folder, chosen, shared, own or {}), origin


def restore(data: Mapping[str, Any]) -> GrootPolicy:
    """The policy described by `GrootPolicy.to_json`, with the weights of its base.

    Raises:
        CheckpointError: the base is not what it was.
        ConfigError: the base is not where it was.
    """
    settings = dacite.from_dict(
        GrootSettings, data["settings"], dacite.Config(strict=True, cast=[tuple])
    )
    folder = find_folder(settings.base)
    require_same(folder, settings.base_sha256)
    return _assemble(
        settings,
        folder,
        {
            tag: EmbodimentStatistics.from_json(tag, groups)
            for tag, groups in data["normalisation"].items()
        },
        RobotStreams.from_json(data),
        {tag: RobotStreams.from_json(streams) for tag, streams in data["own"].items()},
    )


def episode_groups(table: WindowTable, robot: Robot) -> Iterator[tuple[Groups, Groups]]:
    """(states, actions) of each episode at the times of its windows; group -> (N, D)."""
    pictures = set(robot.settings.video.values())
    for number in range(len(table.keys)):
        rows = np.flatnonzero(table.episode_of == number)
        unread = {name: torch.empty(len(rows), 1) for name in pictures}
        batch = table.batch(rows, frames=unread)
        values = {n: v[:, -1].numpy() for n, v in batch.values.items() if n not in pictures}
        yield robot.states(values), robot.columns(batch.actions[:, 0].flatten(1).numpy())


def config_changes(settings: GrootSettings) -> dict[str, Any]:
    """Fields of the base's `GrootConfig` that the settings decide."""
    tuned = {name: getattr(settings, name) for name in TUNE_FIELDS}
    return {"state_dropout_prob": settings.state_dropout, **tuned}


def make_trainable(model: GrootN16, settings: GrootSettings) -> None:
    """Choose what trains, which is float32 from then on; add adapters where they are asked for."""
    set_trainable(model)
    if settings.lora is not None:
        add_lora(model, settings.lora)
    set_gradient_checkpointing(model, settings.gradient_checkpointing)
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()


def _processor(settings: GrootSettings, folder: Path) -> GrootProcessor:
    """That of the base, with the sizes of its network."""
    config = read_checkpoint(folder).config
    return GrootProcessor.from_pretrained(
        folder,
        tokenizer=settings.tokenizer or None,
        max_state_dim=config.max_state_dim,
        max_action_dim=config.max_action_dim,
        max_action_horizon=config.action_horizon,
    )


def _assemble(
    settings: GrootSettings,
    folder: Path,
    normalisation: Mapping[str, EmbodimentStatistics],
    shared: RobotStreams,
    own: Mapping[str, RobotStreams],
) -> GrootPolicy:
    trains_projector = settings.lora is None or "projector" in settings.lora.whole
    if settings.state_dropout and not (trains_projector and settings.tune_projector):
        raise ConfigError("state_dropout learns a token, so the projector must train")
    processor = _processor(settings, folder)
    relative = any(
        group.rep != "ABSOLUTE"
        for robot in settings.embodiments.values()
        for group in robot.action.values()
    )
    sines = any(robot.sin_cos for robot in settings.embodiments.values())
    processor.settings = processor.settings.changed(
        use_relative_action=processor.settings.use_relative_action or relative,
        apply_sincos_state_encoding=processor.settings.apply_sincos_state_encoding or sines,
    )
    for tag, robot in settings.embodiments.items():
        streams = own.get(tag, shared)
        steps = steps_before(streams.inputs, streams.rate_hz)
        config = robot.config(tag, steps, processor.embodiments.get(tag))
        ids = {**PROJECTOR_IDS, **processor.embodiment_ids}
        number = robot.projector if robot.projector is not None else ids.get(tag)
        if number is None:
            raise ConfigError(
                f"embodiment {tag!r} has no row in the projector yet: give its projector=, e.g. "
                f"{ids['new_embodiment']} (new_embodiment)"
            )
        processor = processor.with_embodiment(config, normalisation[tag], number)
    model = GrootN16.from_pretrained(
        folder,
        dtype=getattr(torch, settings.dtype),
        changes=config_changes(settings),
    )
    make_trainable(model, settings)
    return GrootPolicy(
        settings,
        model,
        processor,
        inputs=shared.inputs,
        specs=shared.specs,
        action=shared.action,
        rate_hz=shared.rate_hz,
        statistics=shared.statistics,
        own=own,
    )
