"""GR00T N1.6: backbone, seam, action head.

Letters: B batch, S tokens, T state steps, H horizon, A action dimensions, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robocache.core.errors import ConfigError, ShapeError
from robocache.policies.draws import Draws
from robocache.policies.groot_n16.action_head import ActionHead, FlowLoss
from robocache.policies.groot_n16.backbone import Backbone, BackboneFeatures
from robocache.policies.groot_n16.config import GrootConfig
from robocache.policies.groot_n16.dit import CrossContext
from robocache.policies.groot_n16.inputs import GrootInputs

Fusion = Callable[[BackboneFeatures], BackboneFeatures]


class GrootN16(nn.Module):
    """The network of GR00T N1.6 with the state-dict keys of the public checkpoints.

    Weights start at random, from torch's global generator.

    Args:
        config: sizes.
        fusion: stands between backbone and action head and may change features and masks; a
            module's weights have the prefix `fusion.`. None: nothing stands there.

    Raises:
        ConfigError: sizes do not fit each other.
        MissingDependencyError: transformers is not installed.
    """

    def __init__(self, config: GrootConfig, fusion: Fusion | None = None) -> None:
        super().__init__()
        if config.backbone_embedding_dim != config.text_config.hidden_size:
            raise ConfigError(
                f"backbone_embedding_dim is {config.backbone_embedding_dim}, but the language "
                f"model is {config.text_config.hidden_size} wide; they must be equal"
            )
        self.config = config
        self.backbone = Backbone(config)
        self.action_head = ActionHead(config)
        self.fusion = fusion

    @staticmethod
    def from_pretrained(
        path_or_hub_id: str | Path,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        strict: bool = True,
        fusion: Fusion | None = None,
        changes: Mapping[str, Any] | None = None,
        revision: str | None = None,
    ) -> GrootN16:
        """A model with the weights of a checkpoint; see `loading.load_pretrained`."""
        from robocache.policies.groot_n16.loading import load_pretrained

        return load_pretrained(
            path_or_hub_id,
            device=device,
            dtype=dtype,
            strict=strict,
            fusion=fusion,
            changes=changes,
            revision=revision,
        )

    def save_pretrained(self, folder: str | Path, max_shard_bytes: int = 5_000_000_000) -> None:
        """Write a checkpoint that the public code can load; see `saving.save_pretrained`."""
        from robocache.policies.groot_n16.saving import save_pretrained

        save_pretrained(self, Path(folder), max_shard_bytes)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self.action_head.state_encoder.layer1.b.device
        return device

    def encode(self, inputs: GrootInputs) -> BackboneFeatures:
        """Features (B, S, D) of images and instruction, after `fusion`.

        Raises:
            ShapeError: inputs do not fit the model or each other.
        """
        inputs.check(self.config)
        return self.fuse(
            self.backbone(inputs.input_ids, inputs.attention_mask, inputs.pixel_values)
        )

    def fuse(self, features: BackboneFeatures) -> BackboneFeatures:
        """What `fusion` makes of the backbone's features."""
        return features if self.fusion is None else self.fusion(features)

    def context(self, features: BackboneFeatures) -> CrossContext:
        """What stays the same over the steps of one or several samples: keys and values."""
        return self.action_head.context(features)

    def loss(
        self,
        inputs: GrootInputs,
        draws: Draws,
        *,
        features: BackboneFeatures | None = None,
        state_dropout: bool = True,
    ) -> FlowLoss:
        """Flow-matching loss of a batch with `action` and `action_mask`.

        Args:
            inputs: of training.
            draws: all randomness but that of dropout layers; see `ActionHead.loss`.
            features: of the backbone, before `fusion`, if they are known; images are not read then.
            state_dropout: False: no state is replaced by the learned token.

        Raises:
            ShapeError: inputs do not fit the model, or have no actions.
        """
        if inputs.action is None or inputs.action_mask is None:
            raise ShapeError("the loss needs action and action_mask among the inputs")
        if features is None:
            seen = self.encode(inputs)
        else:
            inputs.check(self.config)
            seen = self.fuse(features)
        return self.action_head.loss(
            seen,
            inputs.state,
            inputs.action,
            inputs.action_mask,
            inputs.embodiment_id,
            draws,
            state_dropout=state_dropout,
        )

    def sample(
        self,
        features: BackboneFeatures | CrossContext,
        state: Tensor,
        embodiment_id: Tensor,
        noise: Tensor,
        steps: int | None = None,
    ) -> Tensor:
        """(B, H, A) normalised actions, in the dtype of the noise.

        Args:
            features: what `encode` or `context` gave.
            state: (B, T, max_state_dim).
            embodiment_id: (B,) int64.
            noise: (B, H, max_action_dim) standard normal; H is `action_horizon`, since the network
                was trained on whole padded chunks.
            steps: Euler steps; None: `num_inference_timesteps`.

        Raises:
            ShapeError: the noise is of another shape.
        """
        expected = (len(state), self.config.action_horizon, self.config.max_action_dim)
        if noise.shape != expected:
            raise ShapeError(f"noise must be {expected}, got {tuple(noise.shape)}")
        steps = self.config.num_inference_timesteps if steps is None else steps
        if steps < 1:
            raise ConfigError(f"sampling takes at least one step, got {steps}")
        context = features if isinstance(features, CrossContext) else self.context(features)
        return self.action_head.sample(context, state, embodiment_id, noise, steps)

    def train(self, mode: bool = True) -> GrootN16:
        """Training mode, except for parts of which nothing trains: those act as in evaluation.

        Vision tower and language layers, which have no dropout, count as training where a gradient
        passes through them, so that gradient checkpointing reaches them.
        """
        super().train(mode)
        eagle = self.backbone.model
        language = eagle.language_model.model
        passed = False
        for part in (eagle.vision_model, eagle.mlp1, language.embed_tokens, *language.layers):
            passed = passed or trains(part)
            part.train(mode and passed)
        for part in self.action_head.children():
            part.train(mode and trains(part))
        return self


def trains(module: nn.Module) -> bool:
    """Whether any parameter of a module trains."""
    return any(parameter.requires_grad for parameter in module.parameters())
