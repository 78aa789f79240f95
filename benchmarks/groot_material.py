"""A GR00T N1.6 with random weights, tiny or of the released size, and a recording to feed it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from robocache.core import Episode, Statistics, Stream, StreamInput, StreamSpec
from robocache.datasets import WindowTable, compute_statistics
from robocache.policies.groot_n16 import GrootConfig, GrootN16
from robocache.policies.groot_n16.lora import LoraSettings, add_lora
from robocache.policies.groot_n16.policy import GrootPolicy
from robocache.policies.groot_n16.processing.processor import GrootProcessor
from robocache.policies.groot_n16.processing.settings import ProcessorSettings
from robocache.policies.groot_n16.processing.statistics import EmbodimentStatistics
from robocache.policies.groot_n16.processing.text import GrootTokenizer
from robocache.policies.groot_n16.settings import (
    ActionGroup,
    EmbodimentSettings,
    GrootSettings,
    StateGroup,
)
from robocache.policies.groot_n16.tune import set_trainable

RATE_HZ, HORIZON, WIDTH = 10.0, 16, 7
TAG = "new_embodiment"
TEXT = "put the cup on the table"


def make_policy(
    *,
    released: bool,
    views: int,
    device: str,
    dtype: str,
    flow_steps: int = 4,
    lora: bool = False,
    frozen: bool = False,
) -> tuple[GrootPolicy, WindowTable]:
    """A policy on a device, its weights drawn there, and windows of a recording for it.

    Args:
        released: of the released size; else tiny.
        views: cameras of 256 x 256.
        dtype: of the weights that do not train.
        flow_steps: from noise to actions.
        lora: adapters train, beside the embodiment-specific layers; else what trains by default.
        frozen: nothing of the backbone trains.
    """
    names = [f"view{number}" for number in range(views)]
    inputs = tuple(StreamInput(name) for name in [*names, "state"])
    robot = EmbodimentSettings(
        video={name: name for name in names},
        state={"arm": StateGroup("state")},
        action={"arm": ActionGroup()},
        horizon=HORIZON,
    )
    adapters = LoraSettings(whole=("projector",)) if lora else None
    settings = GrootSettings(
        "none",
        {TAG: robot},
        flow_steps=flow_steps,
        tune_top_llm_layers=0 if frozen else 4,
        lora=adapters,
        augment=False,
        dtype=dtype,
    )
    model, processor = _network(released, settings, torch.device(device))
    episode = _episode(names)
    statistics: Statistics = compute_statistics([episode], ["state", "action"], "random")
    groups = EmbodimentStatistics(
        state={"arm": statistics["state"]}, action={"arm": statistics["action"]}
    )
    processor = processor.with_embodiment(robot.config(TAG), groups, 10)
    table = WindowTable([episode], settings.windows(inputs, "action", RATE_HZ)[TAG])
    policy = GrootPolicy(
        settings,
        model,
        processor,
        inputs=inputs,
        specs=table.specs,
        action="action",
        rate_hz=RATE_HZ,
        statistics=statistics,
    )
    return policy, table


def _network(
    released: bool, settings: GrootSettings, device: torch.device
) -> tuple[GrootN16, GrootProcessor]:
    tokenizer = GrootTokenizer.bytes_only()
    config = GrootConfig() if released else GrootConfig.tiny(max_state_dim=64, max_action_dim=64)
    top = min(settings.tune_top_llm_layers, config.select_layer)
    text = replace(config.text_config, image_token_id=tokenizer.image_token_id)
    config = replace(config, text_config=text, tune_top_llm_layers=top)
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, settings.dtype))
    try:
        with device:
            torch.manual_seed(0)
            model = GrootN16(config)
    finally:
        torch.set_default_dtype(before)
    set_trainable(model)
    if settings.lora is not None:
        add_lora(model, settings.lora)
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()
    sizes: dict[str, Any] = {
        "max_state_dim": config.max_state_dim,
        "max_action_dim": config.max_action_dim,
        "max_action_horizon": config.action_horizon,
    }
    return model, GrootProcessor(ProcessorSettings(**sizes), {}, {}, tokenizer)


def _episode(views: list[str], steps: int = 64) -> Episode:
    random = np.random.default_rng(0)
    times = np.arange(steps) / RATE_HZ
    values: dict[str, Any] = {
        name: random.integers(0, 255, (steps, 256, 256, 3), np.uint8) for name in views
    }
    for name in ("state", "action"):
        values[name] = random.normal(size=(steps, WIDTH)).astype(np.float32)
    streams = {
        name: Stream(array, times, StreamSpec(array.shape[1:], array.dtype.name, RATE_HZ))
        for name, array in values.items()
    }
    return Episode("random", streams, TEXT)
