"""Pictures brought to another size: the one rule used for training, for the cache and live."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from robocache.core.stream import FrameArray


def resize(frames: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Frames (..., H, W) or (..., H, W, 3) at another size, stretched where the aspect differs.

    Colours (uint8) are averaged over the area that becomes one pixel, by the triangle filter that
    Pillow calls bilinear (the same within one grey level). Everything else takes the nearest pixel,
    so that no depth between two surfaces is made up.

    Args:
        frames: uint8 colours (N, H, W, 3), or (N, H, W) of any dtype.
        size: (height, width).
    """
    colours = frames.dtype == np.uint8
    if frames.shape[1:3] == size:
        return frames
    if not colours:
        rows, columns = (
            ((np.arange(n) + 0.5) * have / n).astype(np.intp)
            for n, have in zip(size, frames.shape[1:3], strict=True)
        )
        return frames[:, rows[:, None], columns]
    if not len(frames):
        return np.empty((0, *size, *frames.shape[3:]), np.uint8)
    pictures = torch.from_numpy(np.ascontiguousarray(frames))
    planes = pictures[:, None] if frames.ndim == 3 else pictures.permute(0, 3, 1, 2)
    small = torch.nn.functional.interpolate(planes, size, mode="bilinear", antialias=True)
    out: NDArray[Any] = small.permute(0, 2, 3, 1).contiguous().numpy()
    return out[..., 0] if frames.ndim == 3 else out


class ResizedFrames:
    """Frames (T, H, W, ...) that are brought to another size when they are indexed."""

    def __init__(self, frames: FrameArray, size: tuple[int, int]) -> None:
        self._frames, self._size = frames, size
        self.shape: tuple[int, ...] = (len(frames), *size, *frames.shape[3:])
        self.dtype = frames.dtype

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: Any, /) -> NDArray[Any]:
        frames = np.asarray(self._frames[index])
        flat = frames.reshape(-1, *self._frames.shape[1:])
        resized = resize(flat, self._size)
        return resized.reshape(*frames.shape[: frames.ndim - len(self.shape) + 1], *self.shape[1:])
