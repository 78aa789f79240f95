"""Exponential moving average of weights: what is evaluated and served."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class WeightAverage:
    """Average of a module's weights with a warm start: decay is min(decay, (1 + n) / (10 + n)).

    Args:
        module: its state_dict is averaged.
        decay: weight of the past per update.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.weights = {name: t.detach().clone() for name, t in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take in the module's present weights."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        fresh = module.state_dict()
        torch._foreach_lerp_(
            list(self.weights.values()), [fresh[name] for name in self.weights], 1 - decay
        )

    def load(self, weights: Mapping[str, Tensor], updates: int) -> None:
        """Go on from saved averages."""
        self.updates = updates
        for name, tensor in self.weights.items():
            tensor.copy_(weights[name])
