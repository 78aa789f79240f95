"""Low-rank adapters, through peft: Hu et al., "LoRA", 2021."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from robocache.core.errors import CheckpointError, ConfigError, StorageError
from robocache.core.optional import require
from robocache.policies.groot_n16.keys import compare_keys
from robocache.policies.groot_n16.model import GrootN16
from robocache.policies.groot_n16.tune import projector_parts
from robocache.policies.tensor_files import save_tensors

TARGETS = {
    "language": (
        r"backbone\.model\.language_model\.model\.layers\.\d+\."
        r"(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)"
    ),
    "vision": (
        r"backbone\.model\.vision_model\.vision_model\.encoder\.layers\.\d+\."
        r"(self_attn\.([qkv]|out)_proj|mlp\.fc[12])"
    ),
    "diffusion": (
        r"action_head\.model\.transformer_blocks\.\d+\."
        r"(attn1\.(to_[qkv]|to_out\.0)|ff\.net\.(0\.proj|2))"
    ),
}
"""Linear layers that get adapters, by the part they are in."""

WEIGHTS, SETTINGS = "adapter.safetensors", "adapter.json"
_ADAPTER = "default"


@dataclass(frozen=True)
class LoraSettings:
    """Size and places of adapters.

    Attributes:
        rank: of the product that is added to a weight.
        alpha: the product is scaled by alpha / rank.
        dropout: on what goes into the adapters, in training.
        targets: of "language", "vision" and "diffusion", whose linear layers get adapters.
        whole: of "projector", "vlln" and "fusion", what trains beside the adapters. The
            embodiment-specific networks of a new embodiment start at random, so they have to.
    """

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    targets: tuple[str, ...] = ("language", "diffusion")
    whole: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.rank < 1 or not 0 <= self.dropout < 1:
            raise ConfigError(
                f"an adapter needs rank of at least 1 and dropout in [0, 1), got {self.rank} and "
                f"{self.dropout}"
            )
        for name, given, known in (
            ("targets", self.targets, set(TARGETS)),
            ("whole", self.whole, {"projector", "vlln", "fusion"}),
        ):
            if not set(given) <= known:
                raise ConfigError(f"{name} of LoRA may be {sorted(known)}, got {list(given)}")
        if not self.targets:
            raise ConfigError(f"LoRA needs targets, of {sorted(TARGETS)}")


def add_lora(model: GrootN16, settings: LoraSettings) -> None:
    """Put adapters into a model, in place; nothing else trains, but what `settings.whole` names.

    A model with fresh adapters gives what it gave before. Adapters are float32, whatever the
    weights are.

    Raises:
        ConfigError: it has adapters already.
        MissingDependencyError: peft is not installed.
    """
    if has_lora(model):
        raise ConfigError("the model has LoRA adapters already; merge_lora first")
    peft: Any = require("peft", "groot")
    config = peft.LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules="|".join(f"({TARGETS[name]})" for name in settings.targets),
    )
    peft.inject_adapter_in_model(config, model, adapter_name=_ADAPTER)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(".lora_" in name)
        if ".lora_" in name:
            parameter.data = parameter.data.float()
    if "projector" in settings.whole:
        for part in projector_parts(model):
            part.requires_grad_(True)
    if "vlln" in settings.whole:
        model.action_head.vlln.requires_grad_(True)
    if "fusion" in settings.whole and isinstance(model.fusion, nn.Module):
        model.fusion.requires_grad_(True)


def has_lora(model: GrootN16) -> bool:
    """Whether adapters are in the model."""
    return any(".lora_" in name for name, _ in model.named_parameters())


@torch.no_grad()
def merge_lora(model: GrootN16) -> None:
    """Add the adapters to the weights they belong to, in place, and remove them.

    The sum is rounded to the dtype of the weights. Public keys are back afterwards.

    Raises:
        ConfigError: there are no adapters.
        CheckpointError: an adapter holds numbers that are not finite.
    """
    if not has_lora(model):
        raise ConfigError("the model has no LoRA adapters to merge")
    layer_kind: Any = require("peft.tuners.lora", "groot").LoraLayer
    for name, module in list(model.named_modules()):
        if not isinstance(module, layer_kind):
            continue
        try:
            module.merge(safe_merge=True)
        except ValueError as error:
            raise CheckpointError(f"the adapter of {name} cannot be merged: {error}") from error
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, module.get_base_layer())
    del model.peft_config


def adapter_state(model: GrootN16) -> dict[str, Tensor]:
    """Everything that trains: adapters, and whole parts beside them, under readable keys."""
    return {
        name.replace(f".{_ADAPTER}.", "."): parameter.detach()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def load_adapter_state(model: GrootN16, state: Mapping[str, Tensor]) -> None:
    """The inverse of `adapter_state`, into a model that has adapters of the same settings.

    Raises:
        CheckpointError: the keys or shapes are others.
    """
    own = adapter_state(model)
    problems = compare_keys(
        {name: tuple(value.shape) for name, value in own.items()},
        {name: tuple(value.shape) for name, value in state.items()},
    )
    if problems:
        raise CheckpointError(f"the adapter does not fit the model: {problems}")
    with torch.no_grad():
        for name, value in state.items():
            own[name].copy_(value)


def save_adapter(model: GrootN16, folder: Path, settings: LoraSettings) -> None:
    """Write adapters and settings into a folder; the weights below them are not in it.

    Raises:
        StorageError: it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_tensors(adapter_state(model), folder / WEIGHTS)
        (folder / SETTINGS).write_text(json.dumps(asdict(settings), indent=2))
    except OSError as error:
        raise StorageError(f"cannot save to {folder}: {error}") from error


def load_adapter(model: GrootN16, folder: Path) -> LoraSettings:
    """Add the adapters of a folder to the model they were trained on.

    Raises:
        CheckpointError: files are missing or damaged, or do not fit the model.
    """
    try:
        data = json.loads((folder / SETTINGS).read_text())
        settings = LoraSettings(**{**data, **{k: tuple(data[k]) for k in ("targets", "whole")}})
        state = load_file(folder / WEIGHTS)
    except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
        raise CheckpointError(f"{folder} holds no adapter: {error!r}") from error
    add_lora(model, settings)
    load_adapter_state(model, state)
    return settings
