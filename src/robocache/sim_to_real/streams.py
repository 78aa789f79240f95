"""How a stream is changed by a `Randomization`, in training and in an environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
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
from robocache.sim_to_real.kinds import is_picture
from robocache.sim_to_real.randomizer import DomainRandomizer
from robocache.sim_to_real.ranges import Randomization

Parameters = ImageParameters | RangeParameters


class StreamRandomizer:
    """A stream that is changed; see `kinds.is_changed`.

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
        """N samples (N, ...) changed by N parameters; a lost return is 0 in depth and in scans."""
        if isinstance(parameters, ImageParameters):
            return augment(values, parameters)
        if not self._lidar:
            return augment_depth(values, parameters)
        scans = augment_points(values, parameters)
        return torch.where(scans.isnan(), 0.0, scans)  # streams hold finite numbers

    def frames(self, values: NDArray[Any], parameters: Parameters, first: int) -> NDArray[Any]:
        """Frames (n, ...) of an episode, the first of which is number `first`, changed alike.

        Args:
            parameters: of one sample.
        """
        chosen = parameters.at_frame(first).each(len(values))
        return self.change(torch.from_numpy(np.array(values, order="C")), chosen).numpy()

    def windows(self, values: Tensor, index: Sequence[int] | Tensor, valid: Tensor) -> Tensor:
        """(N, F, ...): N samples of F frames, of which each has noise of its own.

        Args:
            valid: (N, F) which frames are there; the others are zeros, and stay so.
        """
        chosen = self.parameters(index).each(values.shape[1])
        changed = self.change(values.flatten(0, 1), chosen).reshape(values.shape)
        if self._picture:  # zeros in ranges are no returns, which nothing changes
            changed *= valid[..., None, None, None]
        return changed
