"""Networks whose weights are chosen by embodiment, and the sinusoids of time.

Letters: B batch, T tokens, I O input and output width, D width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class EmbodimentLinear(nn.Module):
    """y = x W[id] + b[id].

    Args:
        embodiments: number of weights.
        inputs: I.
        outputs: O.
    """

    def __init__(self, embodiments: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.W = nn.Parameter(0.02 * torch.randn(embodiments, inputs, outputs))
        self.b = nn.Parameter(torch.zeros(embodiments, outputs))

    def forward(self, x_BTI: Tensor, embodiment_B: Tensor) -> Tensor:
        """(B, T, O), computed in the dtype of the weights."""
        return (
            torch.bmm(x_BTI.to(self.W.dtype), self.W[embodiment_B]) + self.b[embodiment_B][:, None]
        )


class EmbodimentMLP(nn.Module):
    """Two layers with a ReLU between them.

    Args:
        embodiments: number of weights.
        inputs, hidden, outputs: widths.
    """

    def __init__(self, embodiments: int, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.layer1 = EmbodimentLinear(embodiments, inputs, hidden)
        self.layer2 = EmbodimentLinear(embodiments, hidden, outputs)

    def forward(self, x_BTI: Tensor, embodiment_B: Tensor) -> Tensor:
        """(B, T, O)."""
        hidden = functional.relu(self.layer1(x_BTI, embodiment_B))
        out: Tensor = self.layer2(hidden, embodiment_B)
        return out


class ActionEncoder(nn.Module):
    """Noisy actions and the time they are at to tokens.

    Args:
        embodiments: number of weights.
        actions: numbers per step.
        width: D, of a token.
    """

    def __init__(self, embodiments: int, actions: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.W1 = EmbodimentLinear(embodiments, actions, width)
        self.W2 = EmbodimentLinear(embodiments, 2 * width, width)
        self.W3 = EmbodimentLinear(embodiments, width, width)

    def forward(self, actions_BTA: Tensor, bucket_B: Tensor, embodiment_B: Tensor) -> Tensor:
        """(B, T, D) tokens of actions at integer times (B,)."""
        encoded = self.W1(actions_BTA, embodiment_B)
        time_B1D = action_sinusoid(bucket_B, self.width)[:, None].to(encoded.dtype)
        both = torch.cat([encoded, time_B1D.expand_as(encoded)], dim=-1)
        out: Tensor = self.W3(functional.silu(self.W2(both, embodiment_B)), embodiment_B)
        return out


def action_sinusoid(bucket_B: Tensor, width: int) -> Tensor:
    """(B, width) float32 [sin | cos] of integer times; frequency i is 10000^(-i / half)."""
    half = width // 2
    step = torch.arange(half, dtype=torch.float32, device=bucket_B.device)
    frequency = (-step * (math.log(10000.0) / half)).exp()
    angle = bucket_B[:, None].float() * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=-1)
