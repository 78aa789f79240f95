"""What the cameras of an episode saw at a few moments, as pictures for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from robocache.core import Episode, Stream
from robocache.core.errors import DataError, ShapeError
from robocache.evaluation.stream_chart import is_low

QUANTILES = (0.01, 0.99)
"""One channel (depth) is coloured from the first to the second, over all moments."""
COLOURS = np.array(
    [(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)], np.float64
)
"""RGB from the lowest value to the highest: viridis."""
NOT_KNOWN = (90, 90, 90)
"""RGB of what is not finite."""


@dataclass(frozen=True, eq=False)
class CameraMoments:
    """Pictures of one camera.

    Attributes:
        name: of the stream.
        size: shape and dtype of a frame, in words.
        times_s: (M,) capture times.
        pictures: M pictures (H, W, 3) uint8 RGB, all of one size.
    """

    name: str
    size: str
    times_s: NDArray[np.float64]
    pictures: tuple[NDArray[np.uint8], ...]


@dataclass(frozen=True, eq=False)
class Seen:
    """What the cameras of an episode saw.

    Attributes:
        cameras: by name.
        not_drawn: stream -> why, in words; those in `damaged` too.
        damaged: pictures that cannot be read.
    """

    cameras: list[CameraMoments] = field(default_factory=list)
    not_drawn: dict[str, str] = field(default_factory=dict)
    damaged: list[DataError] = field(default_factory=list)


def camera_moments(episode: Episode, moments: int, largest: int) -> Seen:
    """Every camera at moments from start to end; of equal ones the first.

    Args:
        moments: how many, at least 2.
        largest: longest side of a picture in pixels; larger ones are made smaller.
    """
    seen = Seen()
    for name, stream in sorted(episode.streams.items()):
        if is_low(stream) or not len(stream):
            continue
        rows = np.unique(np.linspace(0, len(stream) - 1, moments).round().astype(int))
        try:
            frames = [np.asarray(stream.values[int(row)]) for row in rows]
        except DataError as error:
            seen.damaged.append(error.located(episode=episode.key, stream=name))
            seen.not_drawn[name] = error.problem
            continue
        try:
            pictures = tuple(_small(picture, largest) for picture in as_pictures(frames))
        except ShapeError as error:
            seen.not_drawn[name] = error.problem
            continue
        same = next((s for s in seen.cameras if _equal(s.pictures, pictures)), None)
        if same is None:
            seen.cameras.append(CameraMoments(name, _size(stream), stream.times_s[rows], pictures))
        else:
            seen.not_drawn[name] = f"the same pictures as {same.name}"
    return seen


def as_pictures(frames: Sequence[NDArray[Any]]) -> list[NDArray[np.uint8]]:
    """Frames (H, W) or (H, W, C) of one camera as (H, W', 3) uint8 RGB.

    Colours stay as they are, of RGBA without the fourth. Other channels are coloured by their
    value; several lie side by side.

    Raises:
        ShapeError: no camera that we know has such frames.
    """
    shape, dtype = frames[0].shape, frames[0].dtype
    every = np.stack(frames)
    if len(shape) == 2:
        every = every[..., None]
    channels = every.shape[-1]
    numeric = dtype.kind in "biuf"
    if every.ndim != 4 or min(every.shape[1:3]) < 2 or not numeric or channels not in _CHANNELS:
        raise ShapeError(f"samples {shape} {dtype} are no pictures")
    if dtype == np.uint8 and channels >= 3:
        colours = every[..., :3] if channels == 4 else every
        parts = np.split(colours, colours.shape[-1] // 3, axis=-1)
    else:
        parts = [_coloured(every[..., channel]) for channel in range(channels)]
    return list(np.concatenate(parts, axis=2))


_CHANNELS = (1, 2, 3, 4, 6)


def _size(stream: Stream) -> str:
    return "×".join(str(n) for n in stream.spec.shape) + f" {stream.spec.dtype}"


def _coloured(values: NDArray[Any]) -> NDArray[np.uint8]:
    """(M, H, W) numbers as colours, over the quantiles of all of them."""
    finite = np.isfinite(values)
    known = values[finite].astype(np.float64)
    low, high = np.quantile(known, QUANTILES) if len(known) else (0.0, 1.0)
    if low == high and len(known):
        low, high = known.min(), known.max()
    scaled = (np.where(finite, values, low).astype(np.float64) - low) / ((high - low) or 1.0)
    place = np.clip(scaled, 0, 1) * (len(COLOURS) - 1)
    below = np.minimum(place.astype(int), len(COLOURS) - 2)
    share = (place - below)[..., None]
    colours = COLOURS[below] * (1 - share) + COLOURS[below + 1] * share
    return np.where(finite[..., None], colours, NOT_KNOWN).round().astype(np.uint8)


def _small(picture: NDArray[np.uint8], largest: int) -> NDArray[np.uint8]:
    image = Image.fromarray(np.ascontiguousarray(picture))
    image.thumbnail((largest, largest))
    return np.asarray(image)


def _equal(one: Sequence[NDArray[np.uint8]], other: Sequence[NDArray[np.uint8]]) -> bool:
    return len(one) == len(other) and all(map(np.array_equal, one, other))
