"""What goes into the processor, and what the network gets.

Letters: B samples, T steps, S tokens, H horizon, A padded action dimensions, D of a group.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


class Sample(TypedDict):
    """What the processor reads.

    Attributes:
        video: view -> (T, H, W, 3) uint8.
        state: group -> (T, D).
        language: the instruction.
        action: group -> (H, D), absolute; for training.
        action_valid: (H,) bool, false where there is no action; all of them if left out.
    """

    video: Mapping[str, NDArray[Any]]
    state: Mapping[str, NDArray[Any]]
    language: str
    action: NotRequired[Mapping[str, NDArray[Any]]]
    action_valid: NotRequired[NDArray[np.bool_]]


class GrootBatch(TypedDict):
    """What the network reads; names are the public ones.

    Attributes:
        input_ids, attention_mask: (B, S) int64, padded on the left.
        pixel_values: (1, 3, H, W) float32 in -1..1 of each picture: by sample, by time, by view.
        image_sizes: (pictures, 2) int64, height and width.
        state: (B, T, max_state_dim) float32.
        embodiment_id: (B,) int64.
        action: (B, H, A) float32.
        action_mask: (B, H, A) float32, 1 on what counts.
    """

    input_ids: Tensor
    attention_mask: Tensor
    pixel_values: list[Tensor]
    image_sizes: Tensor
    state: Tensor
    embodiment_id: Tensor
    action: NotRequired[Tensor]
    action_mask: NotRequired[Tensor]
