"""Camera frames as the network wants them.

Letterbox to a square, shortest edge to 256, a crop of 0.95 of each side, back to 256, then to
multiples of 28 (252x252) and to -1..1. Letters: T frames, H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from robocache.core.errors import ConfigError, ShapeError, unknown_name
from robocache.core.optional import require
from robocache.policies.groot_n16.processing.augment import Augmentation, jittered, rotated

Picture = NDArray[np.uint8]

GRID = 28
"""Pixels of a token's side: patches of 14, two by two."""

LEVELS = (np.arange(256, dtype=np.float32) - np.float32(127.5)) / np.float32(127.5)
"""What the network sees of each grey level."""

LARGEST_SIDE, LONGEST_RATIO = 8192, 8
JITTERS = ("brightness", "contrast", "saturation", "hue")


@dataclass(frozen=True)
class ImageOptions:
    """Settings of the processor that concern pictures.

    Attributes:
        shortest_image_edge: pixels.
        crop_fraction: share of each side that the crop keeps.
        letterbox: black bars make the picture square first; else its aspect ratio is kept.
        random_rotation_angle: largest rotation in training, degrees; None: none.
        color_jitter_params: largest change of brightness, contrast, saturation and hue in training;
            None: none.

    Raises:
        ConfigError: a value out of range.
    """

    shortest_image_edge: int = 256
    crop_fraction: float = 0.95
    letterbox: bool = True
    random_rotation_angle: float | None = None
    color_jitter_params: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        if self.shortest_image_edge < GRID:
            raise ConfigError(f"shortest_image_edge is {GRID} at least: {self.shortest_image_edge}")
        if not 0 < self.crop_fraction <= 1 or self.shortest_image_edge * self.crop_fraction < 1:
            raise ConfigError(f"crop_fraction lies in (0, 1], got {self.crop_fraction}")
        for name, value in (self.color_jitter_params or {}).items():
            if name not in JITTERS:
                raise unknown_name("field of color_jitter_params", name, JITTERS)
            if not 0 <= value <= (0.5 if name == "hue" else np.inf):
                raise ConfigError(f"color_jitter_params: {name} cannot be {value}")


def check_frames(frames: NDArray[Any], count: int, tag: str, view: str) -> None:
    """Raise ShapeError unless these are `count` frames, (T, H, W, 3) uint8."""
    what = f"{frames.dtype} {frames.shape}"
    place = f"video.{view}"
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3:
        raise ShapeError(f"embodiment {tag}: expected uint8 (T, H, W, 3), got {what}", stream=place)
    if len(frames) != count:
        raise ShapeError(f"embodiment {tag}: expected {count} frames, got {what}", stream=place)
    if not 1 <= min(frames.shape[1:3]) <= max(frames.shape[1:3]) <= LARGEST_SIDE:
        raise ShapeError(
            f"embodiment {tag}: expected sides of 1..{LARGEST_SIDE} pixels, got {what}",
            stream=place,
        )


def process_frame(
    frame_HW3: Picture, options: ImageOptions, augmentation: Augmentation | None = None
) -> Picture:
    """A frame of the network's size, (H', W', 3) uint8 with sides that are multiples of 28.

    Args:
        frame_HW3: uint8 RGB.
        options: settings.
        augmentation: of a training sample, the same for all its frames; None: evaluation.

    Raises:
        ShapeError: without letterbox, a frame that is very long.
    """
    picture = letterboxed(frame_HW3) if options.letterbox else frame_HW3
    height, width = picture.shape[:2]
    if max(height, width) > LONGEST_RATIO * min(height, width):
        raise ShapeError(f"a picture of {height}x{width} is too long without letterbox")
    picture = _shortest_edge(picture, options.shortest_image_edge)
    offset_yx = None if augmentation is None else augmentation.crop_yx
    picture = cropped(picture, options.crop_fraction, offset_yx)
    picture = _shortest_edge(picture, options.shortest_image_edge)
    if augmentation is not None:
        picture = jittered(rotated(picture, augmentation.angle_deg), augmentation)
    return _on_grid(picture)


def network_pixels(picture_HW3: Picture) -> NDArray[np.float32]:
    """(1, 3, H, W) float32 in -1..1."""
    planes = np.ascontiguousarray(picture_HW3.transpose(2, 0, 1))
    return LEVELS[planes][None]


def image_tokens(height: int, width: int) -> int:
    """Tokens of a picture whose sides are multiples of 28; 81 of 252x252."""
    return (height // GRID) * (width // GRID)


def letterboxed(picture: Picture) -> Picture:
    """The picture in the middle of a black square; an odd pixel of bar is at bottom or right."""
    height, width = picture.shape[:2]
    if height == width:
        return picture
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = np.zeros((side, side, 3), np.uint8)
    square[top : top + height, left : left + width] = picture
    return square


def cropped(
    picture: Picture, fraction: float, offset_yx: tuple[float, float] | None = None
) -> Picture:
    """floor(`fraction`) of each side.

    Args:
        picture: (H, W, 3).
        fraction: 0..1.
        offset_yx: where, as shares in [0, 1) of all positions; None: in the middle.
    """
    sides = picture.shape[:2]
    kept = [max(1, int(side * fraction)) for side in sides]
    if offset_yx is None:
        y, x = ((side - keep) // 2 for side, keep in zip(sides, kept))
    else:
        y, x = (int(u * (side - keep + 1)) for u, side, keep in zip(offset_yx, sides, kept))
    return picture[y : y + kept[0], x : x + kept[1]]


def _shortest_edge(picture: Picture, edge: int) -> Picture:
    height, width = picture.shape[:2]
    factor = edge / min(height, width)
    return _resized(picture, round(height * factor), round(width * factor))


def _resized(picture: Picture, height: int, width: int) -> Picture:
    if picture.shape[:2] == (height, width):
        return picture
    cv2 = require("cv2", "groot")
    resized: Picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return resized


def _on_grid(picture: Picture) -> Picture:
    height, width = (max(GRID, round(side / GRID) * GRID) for side in picture.shape[:2])
    if picture.shape[:2] == (height, width):
        return picture
    resized = Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(resized)
