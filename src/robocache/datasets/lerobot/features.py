"""How streams are declared in meta/info.json when a folder is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from robocache.core.errors import ConfigError
from robocache.core.stream import StreamSpec
from robocache.datasets.lerobot.encode import PIXELS, VideoFiles
from robocache.datasets.lerobot.info import BOOKKEEPING

LARGEST_RANK = 5  # axes of a sample that the lerobot package takes


def feature_name(name: str, names: Sequence[str]) -> str:
    feature = name.replace("/", ".")
    if feature in BOOKKEEPING or [n.replace("/", ".") for n in names].count(feature) > 1:
        raise ConfigError(
            f"stream {name!r} cannot be called {feature!r} in a LeRobot folder, the name is taken: "
            f"rename it first"
        )
    return feature


def is_camera(spec: StreamSpec) -> bool:
    return len(spec.shape) == 3 and spec.shape[2] == 3 and spec.dtype == "uint8"


def declare(
    name: str, spec: StreamSpec, video: VideoFiles | None, rate_hz: float
) -> dict[str, Any]:
    """The entry of a stream: a video if it is written to one, a picture, or a column.

    Raises:
        ConfigError: LeRobot has no place for it.
    """
    axes = ["height", "width", "channels"]
    if video is not None:
        height, width, colours = spec.shape
        told = {
            "video.height": height,
            "video.width": width,
            "video.codec": video.codec,
            "video.pix_fmt": PIXELS,
            "video.is_depth_map": False,
            "video.fps": plain_number(rate_hz),
            "video.channels": colours,
            "has_audio": False,
        }
        return {"dtype": "video", "shape": list(spec.shape), "names": axes, "info": told}
    if is_camera(spec):
        return {"dtype": "image", "shape": list(spec.shape), "names": axes}
    numbers = np.dtype(spec.dtype).kind in "biuf"
    if not numbers or 0 in spec.shape or len(spec.shape) > LARGEST_RANK:
        raise ConfigError(
            f"LeRobot has no place for stream {name!r} ({spec.dtype} {spec.shape}): "
            f"name the streams to write"
        )
    return {"dtype": spec.dtype, "shape": list(spec.shape) or [1], "names": None}


def bookkeeping_features() -> dict[str, dict[str, Any]]:
    """The columns that number and time the rows."""
    dtypes = {"timestamp": "float32"}
    return {
        name: {"dtype": dtypes.get(name, "int64"), "shape": [1], "names": None}
        for name in BOOKKEEPING
    }


def plain_number(value: float) -> int | float:
    """A whole number without a decimal point, as the lerobot package writes rates."""
    return int(value) if value == int(value) else value
