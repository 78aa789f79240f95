"""What trains of a GR00T N1.6, by the names of its configuration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace

from torch import nn

from robocache.core.errors import ConfigError
from robocache.policies.groot_n16.config import GrootConfig
from robocache.policies.groot_n16.model import GrootN16

TUNE_FIELDS = tuple(field.name for field in fields(GrootConfig) if field.name.startswith("tune_"))
"""Fields of `GrootConfig` that say what trains."""


def set_trainable(model: GrootN16, config: GrootConfig | None = None) -> None:
    """Let exactly those parameters train that the `tune_*` fields name, and all of `fusion`.

    Call `model.train()` afterwards: frozen parts then stay in evaluation mode.

    - `tune_visual`: vision tower without its unused pooling head, and projector.
    - `tune_llm`: the language model; `tune_top_llm_layers`: its last layers in any case.
    - `tune_projector`: embodiment-specific networks, action positions, state mask token.
    - `tune_diffusion_model`: the DiT. `tune_vlln`: the norm of its vision-language input.

    Args:
        model: the fields of its configuration are made those that were applied.
        config: whose fields are applied; None: the model's own.

    Raises:
        ConfigError: more language layers are to train than there are.
    """
    wanted = config or model.config
    layers = model.config.select_layer
    if not 0 <= wanted.tune_top_llm_layers <= layers:
        raise ConfigError(
            f"tune_top_llm_layers must lie in 0..{layers}, got {wanted.tune_top_llm_layers}"
        )
    eagle, head = model.backbone.model, model.action_head
    model.backbone.requires_grad_(False)
    model.action_head.requires_grad_(False)
    eagle.vision_model.requires_grad_(wanted.tune_visual)
    eagle.vision_model.vision_model.head.requires_grad_(False)
    eagle.mlp1.requires_grad_(wanted.tune_visual)
    eagle.language_model.requires_grad_(wanted.tune_llm)
    for layer in eagle.language_model.model.layers[layers - wanted.tune_top_llm_layers :]:
        layer.requires_grad_(True)
    for part in projector_parts(model):
        part.requires_grad_(wanted.tune_projector)
    head.model.requires_grad_(wanted.tune_diffusion_model)
    head.vlln.requires_grad_(wanted.tune_vlln)
    if isinstance(model.fusion, nn.Module):
        model.fusion.requires_grad_(True)
    model.config = replace(model.config, **{name: getattr(wanted, name) for name in TUNE_FIELDS})


def projector_parts(model: GrootN16) -> Iterator[nn.Module | nn.Parameter]:
    """What `tune_projector` names."""
    head = model.action_head
    yield from (head.state_encoder, head.action_encoder, head.action_decoder)
    if model.config.add_pos_embed:
        yield head.position_embedding
    if model.config.state_dropout_prob > 0:
        yield head.mask_token


def set_gradient_checkpointing(model: GrootN16, enabled: bool) -> None:
    """Whether layers of vision tower, language model and DiT are computed twice, to save memory.

    Of each layer only what goes in is kept; the backward pass computes the rest again. In the
    backbone this acts in training mode only.
    """
    eagle = model.backbone.model
    for network in (eagle.vision_model.vision_model, eagle.language_model.model):
        if enabled:
            network.gradient_checkpointing_enable({"use_reentrant": False})
            network.disable_input_require_grads()  # else frozen layers keep their activations
        else:
            network.gradient_checkpointing_disable()
    model.action_head.model.gradient_checkpointing = enabled
