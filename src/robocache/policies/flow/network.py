"""The network: a residual MLP whose layer norms are modulated by time and observation.

Adaptive layer norm as in Peebles and Xie, "Scalable Diffusion Models with Transformers", 2023.
Letters: B batch, H horizon, A action dimensions, F features.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class ActionPredictor(nn.Module):
    """The actions (B, H, A) expected at the end of the flow, given x_t, t and features.

    Args:
        actions: H * A numbers per chunk.
        features: F.
        hidden: width.
        blocks: number of residual blocks.
    """

    def __init__(self, actions: int, features: int, hidden: int, blocks: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.observe = nn.Sequential(
            nn.Linear(features, hidden), nn.SiLU(), nn.Linear(hidden, hidden)
        )
        self.time = nn.Sequential(nn.Linear(64, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        self.enter = nn.Linear(actions, hidden)
        self.blocks = nn.ModuleList(Block(hidden) for _ in range(blocks))
        self.norm = nn.LayerNorm(hidden, elementwise_affine=False)
        self.leave = nn.Linear(hidden, actions)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, noisy_BHA: Tensor, time_B: Tensor, features_BF: Tensor) -> Tensor:
        return self.predict(noisy_BHA, time_B, self.observe(features_BF))

    def predict(self, noisy_BHA: Tensor, time_B: Tensor, observed: Tensor) -> Tensor:
        """The same from features already seen, so that sampling looks at them once."""
        condition = observed + self.time(sinusoids(time_B, 64))
        x = self.enter(noisy_BHA.flatten(1)) + observed
        for block in self.blocks:
            x = block(x, condition)
        predicted: Tensor = self.leave(self.norm(x)).reshape(noisy_BHA.shape)
        return predicted


class Block(nn.Module):
    """x + gate * MLP(norm(x) * (1 + scale) + shift); the gate starts at zero."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden, elementwise_affine=False)
        self.modulate = nn.Sequential(nn.SiLU(), nn.Linear(hidden, 3 * hidden))
        self.mlp = nn.Sequential(nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        last = self.modulate[1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shift, scale, gate = self.modulate(condition).chunk(3, dim=1)
        out: Tensor = x + gate * self.mlp(self.norm(x) * (1 + scale) + shift)
        return out


def sinusoids(time_B: Tensor, size: int) -> Tensor:
    """(B, size) sine and cosine features of times in [0, 1]."""
    steps = torch.arange(size // 2, device=time_B.device)
    angles = time_B[:, None] * torch.exp(steps * (math.log(1000.0) / (size // 2 - 1)))
    return torch.cat([angles.sin(), angles.cos()], dim=1)
