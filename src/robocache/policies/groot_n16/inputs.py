"""What goes into the network.

Letters: B batch, S tokens, T state steps, H horizon, A padded action dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from robocache.core.errors import ShapeError
from robocache.policies.groot_n16.config import GrootConfig


@dataclass(frozen=True)
class GrootInputs:
    """A batch, processed.

    Attributes:
        input_ids: (B, S) int64 tokens, padded on the left.
        attention_mask: (B, S) 1 or True for real tokens.
        pixel_values: normalised images in the order of their tokens, (3, H, W) or (N, 3, H, W).
        state: (B, T, max_state_dim) float.
        embodiment_id: (B,) int64.
        action: (B, H, max_action_dim) float, for training.
        action_mask: like action, 1 where it counts.
    """

    input_ids: Tensor
    attention_mask: Tensor
    pixel_values: Sequence[Tensor]
    state: Tensor
    embodiment_id: Tensor
    action: Tensor | None = None
    action_mask: Tensor | None = None

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> GrootInputs:
        """The same on a device; what is a floating-point number in a dtype."""

        def moved(tensor: Tensor) -> Tensor:
            return tensor.to(device, dtype if tensor.is_floating_point() else None)

        return replace(
            self,
            input_ids=moved(self.input_ids),
            attention_mask=moved(self.attention_mask),
            pixel_values=[moved(image) for image in self.pixel_values],
            state=moved(self.state),
            embodiment_id=moved(self.embodiment_id),
            action=None if self.action is None else moved(self.action),
            action_mask=None if self.action_mask is None else moved(self.action_mask),
        )

    def check(self, config: GrootConfig) -> None:
        """Raise ShapeError where a shape does not fit the model, or an id is out of range."""
        if self.input_ids.ndim != 2 or self.attention_mask.shape != self.input_ids.shape:
            raise ShapeError(
                f"input_ids and attention_mask must both be (B, S), got "
                f"{tuple(self.input_ids.shape)} and {tuple(self.attention_mask.shape)}"
            )
        batch = len(self.input_ids)
        if self.state.ndim != 3 or self.state.shape[::2] != (batch, config.max_state_dim):
            raise ShapeError(
                f"state must be ({batch}, T, {config.max_state_dim}), got {tuple(self.state.shape)}"
            )
        if self.embodiment_id.shape != (batch,):
            raise ShapeError(
                f"embodiment_id must be ({batch},), got {tuple(self.embodiment_id.shape)}"
            )
        _require_range("embodiment_id", self.embodiment_id, config.max_num_embodiments)
        _require_range("input_ids", self.input_ids, config.text_config.vocab_size)
        for name, tensor in (("action", self.action), ("action_mask", self.action_mask)):
            if tensor is None:
                continue
            fits = tensor.ndim == 3 and tensor.shape[::2] == (batch, config.max_action_dim)
            if not fits or tensor.shape[1] > config.max_seq_len:
                raise ShapeError(
                    f"{name} must be ({batch}, H, {config.max_action_dim}) with H up to "
                    f"{config.max_seq_len}, got {tuple(tensor.shape)}"
                )


def _require_range(name: str, ids: Tensor, limit: int) -> None:
    if ids.numel() and not bool(((ids >= 0) & (ids < limit)).all()):
        raise ShapeError(
            f"{name} must lie in 0..{limit - 1}, got {int(ids.min())}..{int(ids.max())}"
        )
