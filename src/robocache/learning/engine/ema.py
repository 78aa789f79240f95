"""Exponential moving average of weights: what is evaluated and served."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class WeightAverage:
    """Average of the learned weights with a warm start: decay is min(decay, (1 + n) / (10 + n)).

    Args:
        learned: name -> tensor, see `TrainablePolicy.learned`.
        decay: weight of the past per update; 0: no average, `weights` are the learned tensors.
    """

    def __init__(self, learned: Mapping[str, Tensor], decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.weights = {
            name: tensor.detach().clone() if decay else tensor.detach()
            for name, tensor in learned.items()
        }

    @torch.no_grad()
    def update(self, fresh: Mapping[str, Tensor]) -> None:
        """Take in the present weights."""
        self.updates += 1
        if not self.decay:
            return
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(
            list(self.weights.values()), [fresh[name] for name in self.weights], 1 - decay
        )

    def load(self, weights: Mapping[str, Tensor], updates: int) -> None:
        """Go on from saved averages."""
        self.updates = updates
        for name, tensor in self.weights.items():
            tensor.copy_(weights[name])
