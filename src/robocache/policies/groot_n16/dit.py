"""The diffusion transformer: state and action tokens that look at vision and language in turn.

Peebles and Xie, "Scalable Diffusion Models with Transformers", 2023, without gates.
Letters: B batch, T state and action tokens, S vision-language tokens, D width, E width of the
features, h heads, d width of a head.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from robocache.policies.groot_n16.sizes import DiffusionConfig

KeysValues = tuple[Tensor, Tensor]
"""Keys and values, each (B, h, S, d)."""


@dataclass(frozen=True)
class CrossContext:
    """What the cross-attending blocks see; the same at every step from noise to actions.

    Attributes:
        keys_values: block number -> its keys and values.
        masks: block number -> (B, 1, 1, S) bool, or None where all of it is seen.
    """

    keys_values: dict[int, KeysValues]
    masks: dict[int, Tensor | None]


class Attention(nn.Module):
    """Multi-head attention with biases.

    Args:
        config: heads and dropout.
        inputs: width of what keys and values are made from.
    """

    def __init__(self, config: DiffusionConfig, inputs: int) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.to_q = nn.Linear(config.width, config.width)
        self.to_k = nn.Linear(inputs, config.width)
        self.to_v = nn.Linear(inputs, config.width)
        self.to_out = nn.ModuleList(
            [nn.Linear(config.width, config.width), nn.Dropout(config.dropout)]
        )

    def keys_values(self, x_BSE: Tensor) -> KeysValues:
        """Keys and values of tokens."""
        return self._split(self.to_k(x_BSE)), self._split(self.to_v(x_BSE))

    def forward(self, x_BTD: Tensor, keys_values: KeysValues, mask: Tensor | None) -> Tensor:
        """(B, T, D); `mask` is True for keys that are seen."""
        keys, values = keys_values
        query = self._split(self.to_q(x_BTD))
        seen_BhTd = functional.scaled_dot_product_attention(query, keys, values, attn_mask=mask)
        out: Tensor = seen_BhTd.transpose(1, 2).flatten(2)
        for layer in self.to_out:
            out = layer(out)
        return out

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)


class AdaptiveNorm(nn.Module):
    """LayerNorm(x) * (1 + scale) + shift; scale and shift, in this order, follow from the time.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 2 * width)
        self.norm = nn.LayerNorm(width, eps=1e-5, elementwise_affine=False)

    def forward(self, x_BTD: Tensor, time_BD: Tensor) -> Tensor:
        scale, shift = self.linear(functional.silu(time_BD))[:, None].chunk(2, dim=-1)
        out: Tensor = self.norm(x_BTD) * (1 + scale) + shift
        return out


class GELUProjection(nn.Module):
    """Linear, then the tanh form of GELU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.proj = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return functional.gelu(self.proj(x), approximate="tanh")


class FeedForward(nn.Module):
    """Up to four times the width and back.

    Args:
        config: width and dropout.
    """

    def __init__(self, config: DiffusionConfig) -> None:
        super().__init__()
        inner = 4 * config.width
        layers = [
            GELUProjection(config.width, inner),
            nn.Dropout(config.dropout),
            nn.Linear(inner, config.width),
        ]
        if config.final_dropout:
            layers.append(nn.Dropout(config.dropout))
        self.net = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.net:
            x = layer(x)
        return x


class Block(nn.Module):
    """Attention and feed-forward, each with a residual.

    Args:
        config: sizes.
        inputs: width of what is attended to.
    """

    def __init__(self, config: DiffusionConfig, inputs: int) -> None:
        super().__init__()
        self.norm1 = AdaptiveNorm(config.width)
        self.attn1 = Attention(config, inputs)
        self.final_dropout = nn.Dropout(config.dropout if config.final_dropout else 0.0)
        self.norm3 = nn.LayerNorm(config.width, eps=1e-5, elementwise_affine=False)
        self.ff = FeedForward(config)

    def forward(
        self,
        x_BTD: Tensor,
        time_BD: Tensor,
        keys_values: KeysValues | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """(B, T, D). Without keys and values the tokens attend to each other."""
        normal = self.norm1(x_BTD, time_BD)
        if keys_values is None:
            keys_values = self.attn1.keys_values(normal)
        x_BTD = x_BTD + self.final_dropout(self.attn1(normal, keys_values, mask))
        out: Tensor = x_BTD + self.ff(self.norm3(x_BTD))
        return out


class TimestepEmbedder(nn.Module):
    """256 sinusoids of the time to the width of a token.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(256, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, bucket_B: Tensor) -> Tensor:
        """(B, D)."""
        sinusoid = time_sinusoid(bucket_B, 256).to(self.linear_1.weight.dtype)
        out: Tensor = self.linear_2(functional.silu(self.linear_1(sinusoid)))
        return out


class TimestepEncoder(nn.Module):
    """Holds the embedder under its public name."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.timestep_embedder = TimestepEmbedder(width)

    def forward(self, bucket_B: Tensor) -> Tensor:
        """(B, D)."""
        out: Tensor = self.timestep_embedder(bucket_B)
        return out


class DiT(nn.Module):
    """Blocks that attend to vision and language (even) and to their own tokens (odd).

    With alternation, block 0, 4, 8, ... sees text and block 2, 6, 10, ... images, neither padding.

    Args:
        config: sizes.
        features: E, width of the vision-language features.
        text_every: of so many cross-attending blocks one sees text; 0: no alternation, each sees
            everything, padding too.
    """

    def __init__(self, config: DiffusionConfig, features: int, text_every: int) -> None:
        super().__init__()
        self.text_every = text_every
        self.gradient_checkpointing = False
        numbers = range(config.num_layers)
        self.cross = [not (config.interleave_self_attention and i % 2) for i in numbers]
        self.timestep_encoder = TimestepEncoder(config.width)
        self.transformer_blocks = nn.ModuleList(
            Block(config, features if cross else config.width) for cross in self.cross
        )
        self.norm_out = nn.LayerNorm(config.width, eps=1e-6, elementwise_affine=False)
        self.proj_out_1 = nn.Linear(config.width, 2 * config.width)
        self.proj_out_2 = nn.Linear(config.width, config.output_dim)

    def context(self, x_BSE: Tensor, mask_BS: Tensor, image_mask_BS: Tensor) -> CrossContext:
        """Keys, values and masks of every cross-attending block."""
        x_BSE = x_BSE.to(self.proj_out_2.weight.dtype)
        text = (mask_BS & ~image_mask_BS)[:, None, None]
        images = (mask_BS & image_mask_BS)[:, None, None]
        keys_values: dict[int, KeysValues] = {}
        masks: dict[int, Tensor | None] = {}
        for number, block in enumerate(self.transformer_blocks):
            if not self.cross[number]:
                continue
            assert isinstance(block, Block)
            keys_values[number] = block.attn1.keys_values(x_BSE)
            masks[number] = None
            if self.text_every:
                masks[number] = text if number % (2 * self.text_every) == 0 else images
        return CrossContext(keys_values, masks)

    def forward(self, x_BTD: Tensor, bucket_B: Tensor, context: CrossContext) -> Tensor:
        """(B, T, output_dim) from tokens at integer times (B,)."""
        x_BTD = x_BTD.to(self.proj_out_2.weight.dtype)
        time_BD = self.timestep_encoder(bucket_B)
        for number in range(len(self.transformer_blocks)):
            x_BTD = self.run_block(number, x_BTD, time_BD, context)
        return self.leave(x_BTD, time_BD)

    def run_block(
        self, number: int, x_BTD: Tensor, time_BD: Tensor, context: CrossContext
    ) -> Tensor:
        """(B, T, D) after one block."""
        block = self.transformer_blocks[number]
        given = (x_BTD, time_BD, context.keys_values.get(number), context.masks.get(number))
        if self.gradient_checkpointing and torch.is_grad_enabled():
            out: Tensor = checkpoint(block, *given, use_reentrant=False)
        else:
            out = block(*given)
        return out

    def leave(self, x_BTD: Tensor, time_BD: Tensor) -> Tensor:
        """(B, T, output_dim): a norm modulated by shift and scale, in this order, and a linear."""
        shift, scale = self.proj_out_1(functional.silu(time_BD))[:, None].chunk(2, dim=-1)
        out: Tensor = self.proj_out_2(self.norm_out(x_BTD) * (1 + scale) + shift)
        return out


def time_sinusoid(bucket_B: Tensor, width: int) -> Tensor:
    """(B, width) float32 [cos | sin] of integer times; frequency i is 10000^(-i / (half - 1))."""
    half = width // 2
    step = torch.arange(half, dtype=torch.float32, device=bucket_B.device)
    frequency = (-math.log(10000.0) * step / (half - 1)).exp()
    angle = bucket_B[:, None].float() * frequency
    return torch.cat([angle.cos(), angle.sin()], dim=-1)
