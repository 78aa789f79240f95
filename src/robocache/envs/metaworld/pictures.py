"""Pictures of recorded episodes, from their depth and segmentation alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.core.episode import Episode
from robocache.envs.metaworld.env import STATE_SENSORS
from robocache.envs.metaworld.shading import shade

PICTURE_CAMERA = "corner4"
PICTURE_OPTIONS: dict[str, Any] = {
    "sensors": (*STATE_SENSORS, f"{PICTURE_CAMERA}_depth", f"{PICTURE_CAMERA}_segmentation"),
    "camera_geoms": "visual",
    "image_height": 120,
    "image_width": 160,
}
"""Options of `make_env` with which an episode can be drawn."""

FIELD_OF_VIEW_DEG = 60.0
"""Vertical, of that camera, which hangs upside down."""


def draw_moments(episode: Episode, count: int) -> tuple[list[NDArray[np.uint8]], list[str]]:
    """`count` moments of an episode recorded with `PICTURE_OPTIONS`, evenly spaced.

    Returns:
        (H, W, 3) uint8 pictures, and the time of each as text.
    """
    depth = episode.stream(f"{PICTURE_CAMERA}_depth")
    classes = episode.stream(f"{PICTURE_CAMERA}_segmentation")
    moments = np.unique(np.linspace(0, len(depth) - 1, count).round().astype(int))
    height, width = depth.spec.shape
    focal = height / 2 / np.tan(np.radians(FIELD_OF_VIEW_DEG) / 2)
    intrinsics = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    pictures = [
        shade(depth.values[moment][::-1, ::-1], classes.values[moment][::-1, ::-1], intrinsics)
        for moment in moments
    ]
    return pictures, [f"{depth.times_s[moment]:.1f} s" for moment in moments]
