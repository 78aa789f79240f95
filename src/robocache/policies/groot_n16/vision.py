"""The vision tower: SigLIP2 on patches, each image attending to itself alone.

Letters: N images, P patches of an image, D width, C colours, Y X rows and columns of patches,
y x pixels inside a patch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from robocache.core.errors import ShapeError
from robocache.core.optional import require
from robocache.policies.groot_n16.sizes import VisionConfig


class VisionTower(nn.Module):
    """Images to one feature per patch.

    The layers are those of transformers' `Siglip2VisionModel`. Its pooling head is built, because a
    checkpoint holds its weights, but never computed.

    Args:
        config: size.
    """

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        siglip2: Any = require("transformers.models.siglip2", "groot")
        self.vision_model = siglip2.Siglip2VisionModel(
            siglip2.Siglip2VisionConfig(
                hidden_size=config.hidden_size,
                intermediate_size=config.intermediate_size,
                num_hidden_layers=config.num_hidden_layers,
                num_attention_heads=config.num_attention_heads,
                patch_size=config.patch_size,
                num_patches=config.num_patches,
                attn_implementation="sdpa",
            )
        )
        self.vision_model.head.requires_grad_(False)

    def forward(self, pixels_NCHW: Tensor) -> Tensor:
        """(N, P, D) features of N images of one size, patches row by row.

        Args:
            pixels_NCHW: float, normalised; height and width are multiples of the patch size.
        """
        tower = self.vision_model
        embedding = tower.embeddings.patch_embedding
        size = self.config.patch_size
        grid = (pixels_NCHW.shape[2] // size, pixels_NCHW.shape[3] // size)
        patches_NPE = flatten_patches(pixels_NCHW, size).to(embedding.weight.dtype)
        x_NPD = embedding(patches_NPE) + self.positions(grid)
        x_NPD = tower.encoder(inputs_embeds=x_NPD).last_hidden_state
        out: Tensor = tower.post_layernorm(x_NPD)
        return out

    def positions(self, grid: tuple[int, int]) -> Tensor:
        """(P, D) learned positions resized to a grid of (rows, columns).

        Bilinear with antialiasing, in float32.
        """
        weight = self.vision_model.embeddings.position_embedding.weight
        side = int(self.config.num_patches**0.5)
        square_1DYX = weight.float().reshape(side, side, -1).permute(2, 0, 1)[None]
        resized = functional.interpolate(
            square_1DYX, size=grid, mode="bilinear", align_corners=False, antialias=True
        )
        return resized[0].flatten(1).T.to(weight.dtype)


def flatten_patches(pixels_NCHW: Tensor, size: int) -> Tensor:
    """(N, P, size * size * C) patches of images, row by row; inside a patch (y, x, colour)."""
    n, colours, height, width = pixels_NCHW.shape
    tiles_NCYyXx = pixels_NCHW.reshape(n, colours, height // size, size, width // size, size)
    tiles_NYXyxC = tiles_NCYyXx.permute(0, 2, 4, 3, 5, 1)
    return tiles_NYXyxC.reshape(n, -1, size * size * colours)


def group_by_size(images: Sequence[Tensor], multiple: int) -> list[tuple[list[int], Tensor]]:
    """Images of equal size stacked, with the places they had among all images.

    Args:
        images: each (C, H, W) or (N, C, H, W), in the order of their tokens.
        multiple: of which every height and width must be.

    Raises:
        ShapeError: an image has another number of axes or colours, or a size that does not fit.
    """
    groups: dict[tuple[int, int], tuple[list[int], list[Tensor]]] = {}
    place = 0
    for number, image in enumerate(images):
        batch = image[None] if image.ndim == 3 else image
        if batch.ndim != 4 or batch.shape[1] != 3:
            raise ShapeError(
                f"pixel_values[{number}] must be (3, H, W) or (N, 3, H, W), got "
                f"{tuple(image.shape)}"
            )
        height, width = batch.shape[2:]
        if height % multiple or width % multiple or not height or not width:
            raise ShapeError(
                f"pixel_values[{number}] is {height} x {width} pixels; both must be multiples of "
                f"{multiple}"
            )
        places, members = groups.setdefault((height, width), ([], []))
        places.extend(range(place, place + len(batch)))
        members.append(batch)
        place += len(batch)
    return [(places, torch.cat(members)) for places, members in groups.values()]
