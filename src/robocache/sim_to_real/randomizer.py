"""`DomainRandomizer`: what is changed in a sample follows from a seed and the sample's number."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from robocache.core.errors import ConfigError, ShapeError
from robocache.ops.augment import (
    ImageParameters,
    RangeParameters,
    augment,
    augment_depth,
    augment_points,
)
from robocache.ops.philox import keys_of, uniform
from robocache.sim_to_real.ranges import Bounds, Randomization

IMAGE_DRAWS = 16
BOX_DRAWS = 8


class DomainRandomizer:
    """Changes pictures, depth and LiDAR scans as other cameras and sensors would.

    What is done to sample n follows from (seed, n) alone: not from the batch it is in, the number
    of workers, or the device.

    Args:
        config: what to draw from.
        seed: in [0, 2**63); another one for each camera, or views are changed alike.

    Raises:
        ConfigError: another seed.
    """

    def __init__(self, config: Randomization, seed: int) -> None:
        if not (isinstance(seed, int | np.integer) and 0 <= seed < 2**63):
            raise ConfigError(
                f"the seed of a randomizer must be a whole number from 0 to 2**63 - 1, got {seed!r}"
            )
        self.config = config
        self.seed = seed

    def images(
        self,
        images: Tensor,
        index: Sequence[int] | Tensor,
        parameters: ImageParameters | None = None,
    ) -> tuple[Tensor, ImageParameters]:
        """Pictures (N, H, W, 3) changed, and with what: to be given for another view.

        Args:
            index: N numbers of samples.
            parameters: what another view was changed with; None: drawn for these samples.
        """
        chosen = self.image_parameters(index) if parameters is None else parameters
        return augment(images, chosen), chosen

    def depth(
        self,
        depth: Tensor,
        index: Sequence[int] | Tensor,
        parameters: RangeParameters | None = None,
    ) -> tuple[Tensor, RangeParameters]:
        """Depth (N, H, W) changed, see `augment_depth`, and with what."""
        chosen = self.range_parameters(index) if parameters is None else parameters
        return augment_depth(depth, chosen), chosen

    def points(
        self,
        points: Tensor,
        index: Sequence[int] | Tensor,
        parameters: RangeParameters | None = None,
    ) -> tuple[Tensor, RangeParameters]:
        """LiDAR scans (N, M, 3) changed, see `augment_points`, and with what."""
        chosen = self.range_parameters(index) if parameters is None else parameters
        return augment_points(points, chosen), chosen

    def image_parameters(self, index: Sequence[int] | Tensor) -> ImageParameters:
        """Parameters for samples of these numbers.

        Raises:
            ShapeError: `index` is not (N,) whole numbers of at least 0.
        """
        own = self.config.images
        key = self._keys(index)
        drawn = uniform(key, IMAGE_DRAWS + BOX_DRAWS * own.boxes)
        u = list(drawn.unbind(1))
        side = _within(own.scale, u[0])
        room = ((1 - side) / 2)[:, None]
        moved = torch.stack([_even(own.shift, u[1]), _even(own.shift, u[2])], dim=1)
        motion = _within(own.motion_px, u[3]) * (u[4] < own.motion_probability)
        towards = math.pi * u[5]
        gradient = own.gradient * u[6].sqrt()
        light = 2 * math.pi * u[7]
        boxes, colours = _boxes(
            own.boxes, own.box_probability, own.box_side, drawn[:, IMAGE_DRAWS:]
        )
        return ImageParameters(
            crop=torch.cat([room + moved, side[:, None]], dim=1).float(),
            blur_px=(_within(own.blur_px, u[8]) * (u[9] < own.blur_probability)).float(),
            motion_px=torch.stack([motion * towards.sin(), motion * towards.cos()], dim=1).float(),
            gradient=torch.stack([gradient * light.sin(), gradient * light.cos()], dim=1).float(),
            brightness=_within(own.brightness, u[10]).float(),
            contrast=_within(own.contrast, u[11]).float(),
            saturation=_within(own.saturation, u[12]).float(),
            hue=_within(own.hue, u[13]).float(),
            gamma=_within(own.gamma, u[14]).float(),
            boxes=boxes,
            box_colours=colours,
            noise=_within(own.noise, u[15]).float(),
            key=key,
            frame=torch.zeros_like(key),
        )

    def range_parameters(self, index: Sequence[int] | Tensor) -> RangeParameters:
        """Parameters for samples of these numbers; raises as `image_parameters` does."""
        own = self.config.depth
        key = self._keys(index)
        u = uniform(key, 4).unbind(1)
        low, high = own.outlier_m
        return RangeParameters(
            dropout=_within(own.dropout, u[0]).float(),
            noise_m=_within(own.noise_m, u[1]).float(),
            noise_share=_within(own.noise_share, u[2]).float(),
            outliers=_within(own.outliers, u[3]).float(),
            outlier_low_m=torch.full((len(key),), float(low)),
            outlier_high_m=torch.full((len(key),), float(high)),
            key=key,
            frame=torch.zeros_like(key),
        )

    def _keys(self, index: Sequence[int] | Tensor) -> Tensor:
        """(N,) int64, of the samples of these numbers."""
        numbers = torch.as_tensor(index).cpu()
        broken = numbers.is_floating_point() or numbers.dtype == torch.bool
        if numbers.ndim != 1 or (broken and len(numbers)) or bool((numbers < 0).any()):
            raise ShapeError(f"index must be (N,) whole numbers of at least 0, got {index!r}")
        return keys_of(self.seed, numbers.long())


def _within(bounds: Bounds, share: Tensor) -> Tensor:
    low, high = bounds
    return low + share * (high - low)


def _even(most: float, share: Tensor) -> Tensor:
    return most * (2 * share - 1)


def _boxes(count: int, probability: float, sides: Bounds, drawn: Tensor) -> tuple[Tensor, Tensor]:
    """(N, count, 4) edges, of no size where there is no box, and (N, count, 3) colours."""
    u = drawn.reshape(len(drawn), count, BOX_DRAWS).unbind(2)
    there = u[0] < probability
    tall, wide = _within(sides, u[1]) * there, _within(sides, u[2]) * there
    top, left = u[3] * (1 - tall), u[4] * (1 - wide)
    edges = torch.stack([top, left, top + tall, left + wide], dim=2)
    return edges.float(), torch.stack(u[5:8], dim=2).float()
