"""Images and tokens to vision-language features.

Letters: B batch, S sequence, D width, N images, P patches of an image, M image tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from robocache.core.errors import ShapeError
from robocache.policies.groot_n16.config import GrootConfig
from robocache.policies.groot_n16.language import LanguageModel
from robocache.policies.groot_n16.vision import VisionTower, group_by_size


@dataclass(frozen=True)
class BackboneFeatures:
    """What passes from the backbone, through `fusion` if there is one, to the action head.

    A module in between may change the length of the sequence; it then declares each of its tokens
    an image token or not, because DiT blocks see either the one kind or the other.

    Attributes:
        features: (B, S, D) float.
        mask: (B, S) bool, True for tokens that are no padding.
        image_mask: (B, S) bool, True for image tokens.
    """

    features: Tensor
    mask: Tensor
    image_mask: Tensor


class EagleModel(nn.Module):
    """The modules of the backbone under their public names.

    Args:
        config: sizes.
    """

    def __init__(self, config: GrootConfig) -> None:
        super().__init__()
        vision, text = config.vision_config, config.text_config
        self.vision_model = VisionTower(vision)
        self.language_model = LanguageModel(text, config.select_layer)
        self.mlp1 = nn.Sequential(
            nn.LayerNorm(4 * vision.hidden_size),
            nn.Linear(4 * vision.hidden_size, text.hidden_size),
            nn.GELU(),
            nn.Linear(text.hidden_size, text.hidden_size),
        )


class Backbone(nn.Module):
    """SigLIP2, pixel unshuffle and projector, Qwen3.

    Args:
        config: sizes.
    """

    def __init__(self, config: GrootConfig) -> None:
        super().__init__()
        self.config = config
        self.model = EagleModel(config)

    def forward(
        self, input_ids_BS: Tensor, attention_mask_BS: Tensor, pixel_values: Sequence[Tensor]
    ) -> BackboneFeatures:
        """Features of tokens, among which images have their places.

        Args:
            input_ids_BS: int64; image tokens are overwritten by the images row after row.
            attention_mask_BS: 1 or True for real tokens, 0 for padding on the left.
            pixel_values: images in the order of their tokens, each (3, H, W) or (N, 3, H, W).

        Raises:
            ShapeError: images do not fit patches, or give more or fewer tokens than have places.
        """
        return self.features(input_ids_BS, attention_mask_BS, self.image_tokens(pixel_values))

    def features(
        self, input_ids_BS: Tensor, attention_mask_BS: Tensor, tokens_MD: Tensor | None
    ) -> BackboneFeatures:
        """The same from image tokens (M, D) that are known; None: there are no images."""
        language = self.model.language_model
        image_mask_BS = input_ids_BS == self.config.text_config.image_token_id
        mask_BS = attention_mask_BS.bool()
        x_BSD = language.embed(input_ids_BS)
        places, given = int(image_mask_BS.sum()), 0 if tokens_MD is None else len(tokens_MD)
        if places != given:
            raise ShapeError(
                f"the images give {given} tokens, but input_ids has {places} places for them "
                f"(id {self.config.text_config.image_token_id})"
            )
        if tokens_MD is not None:
            x_BSD = x_BSD.masked_scatter(image_mask_BS[..., None], tokens_MD.to(x_BSD.dtype))
        return BackboneFeatures(language(x_BSD, mask_BS), mask_BS, image_mask_BS)

    def image_tokens(self, pixel_values: Sequence[Tensor]) -> Tensor | None:
        """(M, D) tokens of all images in order; None without images."""
        size = self.config.vision_config.patch_size
        tokens: dict[int, Tensor] = {}
        for places, pixels_NCHW in group_by_size(pixel_values, 2 * size):
            grid = (pixels_NCHW.shape[2] // size, pixels_NCHW.shape[3] // size)
            projected_NPD = self.project(self.model.vision_model(pixels_NCHW), grid)
            tokens.update(zip(places, projected_NPD))
        return torch.cat([tokens[place] for place in sorted(tokens)]) if tokens else None

    def project(self, patches_NPD: Tensor, grid: tuple[int, int]) -> Tensor:
        """(N, P / 4, D) tokens from patches: 2 x 2 neighbours side by side, then `mlp1`."""
        map_NDYX = patches_NPD.transpose(1, 2).reshape(*patches_NPD.shape[::2], *grid)
        quarter = functional.pixel_unshuffle(map_NDYX, 2).flatten(2).transpose(1, 2)
        projected: Tensor = self.model.mlp1(quarter)
        return projected
