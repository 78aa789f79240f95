"""A GR00T of a few thousand parameters, and a batch for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from robocache.policies.groot_n16 import GrootConfig, GrootInputs, GrootN16

IMAGE = 90
"""Token that images overwrite."""


def small_config(**overrides: Any) -> GrootConfig:
    """`GrootConfig.tiny` with a hundred tokens."""
    tiny = GrootConfig.tiny()
    text = replace(tiny.text_config, vocab_size=100, image_token_id=IMAGE, num_hidden_layers=4)
    settings = {"select_layer": 3, "action_horizon": 6, "max_num_embodiments": 4, **overrides}
    return replace(tiny, text_config=text, **settings)


def small_model(seed: int = 0, **overrides: Any) -> GrootN16:
    """In evaluation mode, every weight drawn, biases and norms too."""
    torch.manual_seed(seed)
    model = GrootN16(small_config(**overrides)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model


def small_inputs(
    config: GrootConfig, *, batch: int = 2, padding: int = 0, seed: int = 1, side: int = 56
) -> GrootInputs:
    """A text and one image of side x side pixels for each sample, padded on the left."""
    random = torch.Generator().manual_seed(seed)
    tokens = (side // 28) ** 2
    text = torch.randint(0, 80, (batch, 7), generator=random)
    images = torch.full((batch, tokens), IMAGE)
    ids = torch.cat([torch.zeros(batch, padding, dtype=torch.long), text, images], dim=1)
    mask = torch.ones_like(ids)
    mask[:, :padding] = 0
    shape = (batch, config.action_horizon, config.max_action_dim)
    return GrootInputs(
        input_ids=ids,
        attention_mask=mask,
        pixel_values=list(torch.randn(batch, 1, 3, side, side, generator=random)),
        state=torch.randn(batch, 1, config.max_state_dim, generator=random),
        embodiment_id=torch.arange(batch) % config.max_num_embodiments,
        action=torch.randn(shape, generator=random),
        action_mask=(torch.rand(shape, generator=random) < 0.8).float(),
    )


def noise_for(inputs: GrootInputs, seed: int = 2) -> torch.Tensor:
    """Where sampling starts."""
    assert inputs.action is not None
    return torch.randn(inputs.action.shape, generator=torch.Generator().manual_seed(seed))
