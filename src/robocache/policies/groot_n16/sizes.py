"""Sizes of the parts of the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from robocache.core.errors import ConfigError


@dataclass(frozen=True)
class VisionConfig:
    """Size of the SigLIP2 vision tower. Keys of `vision_config` that are not read are in `extra`.

    Attributes:
        hidden_size: width of a patch.
        intermediate_size: width of the feed-forward layers.
        num_hidden_layers: number of layers.
        num_attention_heads: heads of each layer.
        patch_size: side of a patch in pixels.
        num_patches: learned positions, a square grid that is resized to each image's own.
    """

    hidden_size: int = 1152
    intermediate_size: int = 4304
    num_hidden_layers: int = 27
    num_attention_heads: int = 16
    patch_size: int = 14
    num_patches: int = 256
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TextConfig:
    """Size of the Qwen3 language model. Keys of `text_config` that are not read are in `extra`.

    Attributes:
        hidden_size: width of a token, and of what the backbone gives.
        intermediate_size: width of the gated feed-forward layers.
        num_hidden_layers: layers before the cut at `GrootConfig.select_layer`.
        num_attention_heads: query heads.
        num_key_value_heads: key and value heads.
        head_dim: width of a head.
        vocab_size: rows of the token embedding.
        rope_theta: base of the rotary position embedding.
        rms_norm_eps: of all norms.
        image_token_id: `<IMG_CONTEXT>`, whose embeddings the images overwrite.
    """

    hidden_size: int = 2048
    intermediate_size: int = 6144
    num_hidden_layers: int = 28
    num_attention_heads: int = 16
    num_key_value_heads: int = 8
    head_dim: int = 128
    vocab_size: int = 151680
    rope_theta: float = 1e6
    rms_norm_eps: float = 1e-6
    image_token_id: int = 151669
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DiffusionConfig:
    """Size of the diffusion transformer (DiT), `diffusion_model_cfg` in config.json.

    Attributes:
        num_layers: number of blocks.
        num_attention_heads, attention_head_dim: their product is the width of a token.
        dropout: after attention and in the feed-forward layers, in training.
        final_dropout: once more after attention and after the feed-forward layers.
        output_dim: width of what leaves the DiT.
        interleave_self_attention: odd blocks attend to state and action tokens, even blocks to
            vision and language; otherwise all attend to vision and language.
    """

    num_layers: int = 32
    num_attention_heads: int = 32
    attention_head_dim: int = 48
    dropout: float = 0.2
    final_dropout: bool = True
    output_dim: int = 1024
    interleave_self_attention: bool = True
    extra: Mapping[str, Any] = field(
        default_factory=lambda: {"positional_embeddings": None, "norm_type": "ada_norm"}
    )

    def __post_init__(self) -> None:
        for name, only in (("positional_embeddings", None), ("norm_type", "ada_norm")):
            if self.extra.get(name, only) != only:
                raise ConfigError(
                    f"diffusion_model_cfg.{name} is {self.extra[name]!r}; GR00T N1.6 was released "
                    f"with {only!r}, which is all that is built here"
                )

    @property
    def width(self) -> int:
        """Width of a token inside the DiT."""
        return self.num_attention_heads * self.attention_head_dim
