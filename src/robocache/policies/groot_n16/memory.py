"""The memory budget of a training setting, term by term, without a graphics card."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from robocache.policies.groot_n16.beginning import config_changes, make_trainable
from robocache.policies.groot_n16.config import GrootConfig
from robocache.policies.groot_n16.layer_costs import LayerCost, Pass, layer_costs
from robocache.policies.groot_n16.model import GrootN16
from robocache.policies.groot_n16.settings import GrootSettings

CUDA_BYTES = 700_000_000
"""Taken for the CUDA context, kernels and the workspace of cuBLAS."""
ALLOCATOR_SHARE = 0.05
"""Taken for what the allocator holds and nobody uses, of everything else."""
CARDS_GB = (24, 40, 80)
"""Cards that are judged, in 10^9 bytes; what is sold as 24 GB has a little more."""

ASSUMPTIONS = (
    "one card; AdamW with two float32 numbers for each weight that trains",
    "weights that train, their gradients and their average are float32; the others as dtype says",
    "with amp matrix products are bfloat16, and autocast keeps bfloat16 copies of float32 matrices",
    "attention keeps its inputs and its result, not the matrix of probabilities",
    "gradients come while activations go: counted at the worst moment of the backward pass",
    f"{CUDA_BYTES / 1e9:g} GB for CUDA and {ALLOCATOR_SHARE:.0%} for the allocator are taken, not "
    f"measured",
)


@dataclass(frozen=True)
class Budget:
    """Bytes on the card.

    Attributes:
        trained, frozen: weights.
        optimizer: moments of AdamW.
        average: of the weights.
        gradients: of all weights that train.
        activations: part -> what is kept from forward to backward pass.
        copies: bfloat16 copies of float32 matrices.
        passing: activations, copies and gradients that are there at once at the worst moment.
        parameters: number of all, of which `training` train.
        training: number of parameters that train.
    """

    trained: int
    frozen: int
    optimizer: int
    average: int
    gradients: int
    activations: Mapping[str, int]
    copies: int
    passing: int
    parameters: int
    training: int

    @property
    def tensors(self) -> int:
        """Most bytes in tensors, as `torch.cuda.max_memory_allocated` counts them."""
        return self.trained + self.frozen + self.optimizer + self.average + self.passing

    @property
    def allocator(self) -> int:
        """Taken for what the allocator holds beside tensors."""
        return int(ALLOCATOR_SHARE * self.tensors)

    @property
    def total(self) -> int:
        """All bytes of the card that are needed."""
        return self.tensors + self.allocator + CUDA_BYTES

    def fits(self, card_gb: int) -> bool:
        """Whether a card of so many 10^9 bytes is enough."""
        return self.total <= card_gb * 10**9


def training_budget(
    config: GrootConfig, settings: GrootSettings, through: Pass, *, averaged: bool
) -> Budget:
    """What a training step needs.

    Args:
        config: sizes of the base.
        settings: what trains, adapters, checkpointing, dtype.
        through: samples of one part of a batch, and what they are.
        averaged: an average of the weights is kept (`trainer.ema_decay` above 0).

    Raises:
        ConfigError: the settings do not fit the base.
        MissingDependencyError: transformers or peft is not installed.
    """
    with torch.device("meta"):
        model = GrootN16(replace(config, **config_changes(settings)))
        model.to(getattr(torch, settings.dtype))
        make_trainable(model, settings)
    return budget_of(model, through, averaged=averaged, again=settings.gradient_checkpointing)


def budget_of(model: GrootN16, through: Pass, *, averaged: bool, again: bool) -> Budget:
    """The same for a model in which what trains is chosen.

    Args:
        model: on any device.
        through: samples of one part of a batch, and what they are.
        averaged: an average of the weights is kept.
        again: layers are computed again in the backward pass.
    """
    costs = layer_costs(model, through)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    size = sum(weight.nbytes for weight in trained)
    activations: dict[str, int] = defaultdict(int)
    for cost in costs:
        activations[cost.part] += kept_bytes(cost, again)
    return Budget(
        trained=size,
        frozen=sum(weight.nbytes for weight in model.parameters()) - size,
        optimizer=2 * size,
        average=size * averaged,
        gradients=size,
        activations={part: kept for part, kept in activations.items() if kept},
        copies=sum(cost.copies for cost in costs),
        passing=worst_moment(costs, again),
        parameters=sum(weight.numel() for weight in model.parameters()),
        training=sum(weight.numel() for weight in trained),
    )


def worst_moment(costs: Sequence[LayerCost], again: bool) -> int:
    """Most bytes of activations, copies and gradients at once.

    That is after the forward pass, or in the backward pass at the layer where what is left of
    activations and what there is of gradients are most together.

    Args:
        costs: in the order of the forward pass.
        again: layers are computed again in the backward pass.
    """
    left = sum(kept_bytes(cost, again) + cost.copies for cost in costs)
    worst, gradients = left, 0
    left -= sum(cost.copies for cost in costs if again and cost.inputs is not None)
    for cost in reversed(costs):
        kept, held = kept_bytes(cost, again), cost.copies
        recomputed = 0
        if again and cost.inputs is not None:
            recomputed, held = cost.kept + cost.copies, 0
        gradients += cost.gradient
        worst = max(worst, left + recomputed + gradients + cost.working)
        left -= kept + held
    return worst


def kept_bytes(cost: LayerCost, again: bool) -> int:
    """Bytes that a layer keeps from forward to backward pass."""
    return cost.inputs if again and cost.inputs is not None else cost.kept
