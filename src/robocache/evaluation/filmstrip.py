"""Frames of an episode as PNG images, for reports."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from robocache.core.errors import ConfigError, ShapeError


def film_frames(frames: Sequence[NDArray[np.uint8]]) -> tuple[bytes, ...]:
    """A PNG file of each frame; equal frames give equal bytes.

    Args:
        frames: at least one picture (H, W, 3) uint8 RGB, all of one size.

    Raises:
        ConfigError: no frames.
        ShapeError: a frame that is not (H, W, 3) uint8, or of another size than the first.
    """
    if not frames:
        raise ConfigError("a film needs at least one frame, got none")
    for index, frame in enumerate(frames):
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
            raise ShapeError(
                f"frame {index} is {frame.shape} {frame.dtype}, expected (H, W, 3) uint8 RGB"
            )
        if frame.shape != frames[0].shape:
            raise ShapeError(
                f"frame {index} is {frame.shape}, the first is {frames[0].shape}: sizes must agree"
            )
    return tuple(_png(frame) for frame in frames)


def _png(frame: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "PNG")
    return buffer.getvalue()
