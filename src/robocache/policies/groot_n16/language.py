"""The language model: Qwen3's first layers, then its final norm.

Letters: B batch, S sequence, D width, E half of a head.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from robocache.core.errors import ConfigError
from robocache.core.optional import require
from robocache.policies.groot_n16.sizes import TextConfig


class LanguageModel(nn.Module):
    """Token embeddings to features of the same width.

    The layers are those of transformers' `Qwen3Model`, cut after `layers`. `lm_head` is never
    computed; it shares the token embedding and exists because checkpoints hold it.

    Args:
        config: size.
        layers: how many layers are kept.

    Raises:
        ConfigError: more layers are asked for than there are.
    """

    def __init__(self, config: TextConfig, layers: int) -> None:
        super().__init__()
        if not 0 < layers <= config.num_hidden_layers:
            raise ConfigError(
                f"select_layer={layers} must lie in 1..{config.num_hidden_layers}, the number of "
                f"language layers"
            )
        qwen3: Any = require("transformers.models.qwen3", "groot")
        self.model = qwen3.Qwen3Model(
            qwen3.Qwen3Config(
                hidden_size=config.hidden_size,
                intermediate_size=config.intermediate_size,
                num_hidden_layers=layers,
                num_attention_heads=config.num_attention_heads,
                num_key_value_heads=config.num_key_value_heads,
                head_dim=config.head_dim,
                vocab_size=config.vocab_size,
                rms_norm_eps=config.rms_norm_eps,
                rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
                use_cache=False,
                attn_implementation="sdpa",
            )
        )
        self.model.rotary_emb = RotaryEmbedding(config.head_dim, config.rope_theta)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False, device="meta")
        self.tie()

    def tie(self) -> None:
        """Make the head the token embedding, and not a copy of it."""
        self.lm_head.weight = self.model.embed_tokens.weight

    def embed(self, input_ids_BS: Tensor) -> Tensor:
        """(B, S, D) embeddings of token ids."""
        embedded: Tensor = self.model.embed_tokens(input_ids_BS)
        return embedded

    def forward(self, x_BSD: Tensor, mask_BS: Tensor) -> Tensor:
        """(B, S, D) features after the final norm; finite, but meaningless, where padded.

        Args:
            x_BSD: token embeddings.
            mask_BS: bool, True for real tokens; padding is on the left.
        """
        out: Tensor = self.model(
            inputs_embeds=x_BSD, attention_mask={"full_attention": causal_mask(mask_BS)}
        ).last_hidden_state
        return out


class RotaryEmbedding(nn.Module):
    """Cosines and sines of rotary positions, Su et al., "RoFormer", 2021, computed in float32.

    Without a buffer, so that neither `.to(bfloat16)` rounds the frequencies nor a model built on
    the meta device lacks them.

    Args:
        head_dim: width of a head.
        theta: base of the wavelengths.
    """

    def __init__(self, head_dim: int, theta: float) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.theta = theta

    def forward(self, x: Tensor, position_ids_BS: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine (B, S, head_dim) in the dtype of x."""
        even = torch.arange(0, self.head_dim, 2, dtype=torch.float32, device=x.device)
        frequency_E = 1.0 / (self.theta ** (even / self.head_dim))
        with torch.autocast(x.device.type, enabled=False):
            angle_BSE = position_ids_BS[..., None].float() * frequency_E
            angle = torch.cat([angle_BSE, angle_BSE], dim=-1)
            return angle.cos().to(x.dtype), angle.sin().to(x.dtype)


def causal_mask(mask_BS: Tensor) -> Tensor:
    """(B, 1, S, S) bool: which keys each query sees: earlier ones that are no padding, and itself.

    A padded query sees itself, because attention over nothing is NaN on some devices.
    """
    length = mask_BS.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=mask_BS.device).tril()
    itself = torch.eye(length, dtype=torch.bool, device=mask_BS.device)
    return (causal & mask_BS[:, None, :] | itself)[:, None]
