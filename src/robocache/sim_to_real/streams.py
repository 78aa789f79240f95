"""Which streams are changed by a `Randomization`, and how: in training and in an environment."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from robocache.core.seeding import derive_seed
from robocache.core.stream import StreamSpec
from robocache.ops.augment import (
    ImageParameters,
    RangeParameters,
    augment,
    augment_depth,
    augment_points,
)
from robocache.sim_to_real.randomizer import DomainRandomizer
from robocache.sim_to_real.ranges import DepthRanges, ImageRanges, Randomization

SMALLEST_SIDE = 8
"""Matrices with shorter sides are no depth images."""
Parameters = ImageParameters | RangeParameters


class StreamRandomizer:
    """A stream that is changed; see `is_changed`.

    Args:
        config: what to draw from.
        seed: root seed; streams are independent of each other.
        stream: its name.
        spec: its declaration.
    """

    def __init__(self, config: Randomization, seed: int, stream: str, spec: StreamSpec) -> None:
        self._randomizer = DomainRandomizer(config, derive_seed(seed, f"randomizer/{stream}"))
        self._lidar = stream in config.lidar
        self._picture = is_picture(spec)

    def parameters(self, index: Sequence[int] | Tensor) -> Parameters:
        """What is done to the samples of these numbers."""
        if self._picture:
            return self._randomizer.image_parameters(index)
        return self._randomizer.range_parameters(index)

    def change(self, values: Tensor, parameters: Parameters) -> Tensor:
        """N samples (N, ...) changed by N parameters."""
        if isinstance(parameters, ImageParameters):
            return augment(values, parameters)
        return (augment_points if self._lidar else augment_depth)(values, parameters)

    def windows(self, values: Tensor, index: Sequence[int] | Tensor) -> Tensor:
        """(N, F, ...): N samples of F frames, of which each has noise of its own."""
        chosen = self.parameters(index).each(values.shape[1])
        return self.change(values.flatten(0, 1), chosen).reshape(values.shape)


def is_changed(config: Randomization, stream: str, spec: StreamSpec) -> bool:
    """Whether a stream is a picture, a depth image or a LiDAR scan that the config changes."""
    if stream in config.lidar:
        return config.depth != DepthRanges()
    if is_picture(spec):
        return config.images != ImageRanges()
    return is_depth(spec) and config.depth != DepthRanges()


def is_picture(spec: StreamSpec) -> bool:
    """(H, W, 3) uint8."""
    return len(spec.shape) == 3 and spec.shape[2] == 3 and spec.dtype == "uint8"


def is_depth(spec: StreamSpec) -> bool:
    """(H, W) uint16 millimetres, or float32 metres."""
    if len(spec.shape) != 2 or min(spec.shape) < SMALLEST_SIDE:
        return False
    return spec.dtype == "uint16" or (spec.dtype == "float32" and spec.unit == "m")
