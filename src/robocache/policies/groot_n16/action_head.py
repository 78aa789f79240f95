"""Flow matching from noise to actions, conditioned on state, vision and language.

Lipman et al., "Flow Matching for Generative Modeling", 2023, on straight paths.
Letters: B batch, T state steps, H horizon, A action dimensions, D width, S vision-language tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from robocache.policies.draws import Draws
from robocache.policies.groot_n16.backbone import BackboneFeatures
from robocache.policies.groot_n16.config import GrootConfig
from robocache.policies.groot_n16.dit import CrossContext, DiT
from robocache.policies.groot_n16.embodiment import ActionEncoder, EmbodimentMLP


@dataclass(frozen=True)
class FlowLoss:
    """The loss and where it comes from.

    Attributes:
        loss: () mean over all entries that the mask holds, whatever sample they belong to.
        elements: (B, H, A) masked squared errors.
    """

    loss: Tensor
    elements: Tensor


class ActionHead(nn.Module):
    """State and noisy actions to the velocity that leads to actions.

    Args:
        config: sizes.
    """

    def __init__(self, config: GrootConfig) -> None:
        super().__init__()
        self.config = config
        rows, width = config.max_num_embodiments, config.input_embedding_dim
        hidden = config.hidden_size
        self.vlln = (
            nn.LayerNorm(config.backbone_embedding_dim) if config.use_vlln else nn.Identity()
        )
        self.state_encoder = EmbodimentMLP(rows, config.max_state_dim, hidden, width)
        self.action_encoder = ActionEncoder(rows, config.max_action_dim, width)
        self.action_decoder = EmbodimentMLP(rows, hidden, hidden, config.max_action_dim)
        self.model = DiT(
            config.diffusion_model_cfg,
            config.backbone_embedding_dim,
            config.attend_text_every_n_blocks if config.use_alternate_vl_dit else 0,
        )
        if config.add_pos_embed:
            self.position_embedding = nn.Embedding(config.max_seq_len, width)
            nn.init.normal_(self.position_embedding.weight, std=0.02)
        if config.state_dropout_prob > 0:
            self.mask_token = nn.Parameter(0.02 * torch.randn(1, 1, width))

    def context(self, features: BackboneFeatures) -> CrossContext:
        """Keys, values and masks that all steps from noise to actions share."""
        x_BSD = features.features
        if isinstance(self.vlln, nn.LayerNorm):
            x_BSD = self.vlln(x_BSD.to(self.vlln.weight.dtype))
        return self.model.context(x_BSD, features.mask, features.image_mask)

    def encode_state(self, state_BTS: Tensor, embodiment_B: Tensor) -> Tensor:
        """(B, T, D) state tokens."""
        encoded: Tensor = self.state_encoder(state_BTS, embodiment_B)
        return encoded

    def encode_actions(self, x_BHA: Tensor, bucket_B: Tensor, embodiment_B: Tensor) -> Tensor:
        """(B, H, D) tokens of noisy actions at integer times, with their positions."""
        tokens_BHD: Tensor = self.action_encoder(x_BHA, bucket_B, embodiment_B)
        return self.add_positions(tokens_BHD)

    def add_positions(self, tokens_BHD: Tensor) -> Tensor:
        """Action tokens with their learned positions, if the model has any."""
        if not self.config.add_pos_embed:
            return tokens_BHD
        positions: Tensor = self.position_embedding.weight[: tokens_BHD.shape[1]]
        return tokens_BHD + positions

    def velocity(
        self,
        x_BHA: Tensor,
        bucket_B: Tensor,
        state_BTD: Tensor,
        context: CrossContext,
        embodiment_B: Tensor,
    ) -> Tensor:
        """(B, H, A) from actions on their way, integer times, state tokens and context."""
        tokens = torch.cat(
            [state_BTD, self.encode_actions(x_BHA, bucket_B, embodiment_B).to(state_BTD.dtype)],
            dim=1,
        )
        return self.decode(self.model(tokens, bucket_B, context), embodiment_B)[
            :, -x_BHA.shape[1] :
        ]

    def decode(self, tokens: Tensor, embodiment_B: Tensor) -> Tensor:
        """(B, tokens, A)."""
        decoded: Tensor = self.action_decoder(tokens, embodiment_B)
        return decoded

    def loss(
        self,
        features: BackboneFeatures,
        state_BTS: Tensor,
        action_BHA: Tensor,
        action_mask_BHA: Tensor,
        embodiment_B: Tensor,
        draws: Draws,
        *,
        state_dropout: bool = True,
    ) -> FlowLoss:
        """Squared error of the velocity at a random time of each sample.

        Draws, in this order: whether each state is dropped (if `state_dropout_prob` > 0), noise on
        encoded states (in training, if `state_additive_noise_scale` > 0), noise, times. Dropout
        layers use torch's global generator, and only in training.

        Args:
            features: (B, S, ...) of the backbone.
            state_BTS: normalised states.
            action_BHA: normalised actions.
            action_mask_BHA: 1 where an action counts.
            embodiment_B: int64.
            draws: of all randomness but that of dropout layers.
            state_dropout: False leaves states whole; the public code drops them in evaluation, too.
        """
        config = self.config
        state_BTD = self.encode_state(state_BTS, embodiment_B)
        if config.state_dropout_prob > 0:
            drawn_B = draws.uniform([len(state_BTD)]).to(state_BTD.device)
            dropped_B11 = (drawn_B < config.state_dropout_prob)[:, None, None]
            if state_dropout:
                token = self.mask_token.to(state_BTD.dtype)
                state_BTD = torch.where(dropped_B11, token, state_BTD)
        if self.training and config.state_additive_noise_scale > 0:
            noise_BTD = draws.normal(state_BTD.shape).to(state_BTD)
            state_BTD = state_BTD + noise_BTD * config.state_additive_noise_scale
        noise_BHA = draws.normal(action_BHA.shape).to(action_BHA)
        beta_B = draws.beta(config.noise_beta_alpha, config.noise_beta_beta, len(action_BHA))
        time_B = ((1 - beta_B) * config.noise_s).to(action_BHA)
        time_B11 = time_B[:, None, None]
        x_BHA = (1 - time_B11) * noise_BHA + time_B11 * action_BHA
        bucket_B = (time_B * config.num_timestep_buckets).long()
        predicted = self.velocity(x_BHA, bucket_B, state_BTD, self.context(features), embodiment_B)
        error = functional.mse_loss(
            predicted.float(), (action_BHA - noise_BHA).float(), reduction="none"
        )
        elements = error * action_mask_BHA
        return FlowLoss(elements.sum() / (action_mask_BHA.sum() + 1e-6), elements)

    def sample(
        self,
        context: CrossContext,
        state_BTS: Tensor,
        embodiment_B: Tensor,
        noise_BHA: Tensor,
        steps: int,
        velocity: Callable[..., Tensor] | None = None,
    ) -> Tensor:
        """(B, H, A) normalised actions: Euler steps from noise, in the dtype of the noise.

        Args:
            velocity: a faster form of `self.velocity`.
        """
        velocity = velocity or self.velocity
        buckets = self.config.num_timestep_buckets
        state_BTD = self.encode_state(state_BTS, embodiment_B)
        x_BHA = noise_BHA
        for step in range(steps):
            bucket_B = torch.full(
                (len(x_BHA),), int(step / steps * buckets), device=x_BHA.device, dtype=torch.long
            )
            towards = velocity(x_BHA, bucket_B, state_BTD, context, embodiment_B)
            x_BHA = x_BHA + towards.to(x_BHA.dtype) * (1.0 / steps)
        return x_BHA
