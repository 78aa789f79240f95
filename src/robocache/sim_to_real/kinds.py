"""Which streams are changed by a `Randomization`."""

from __future__ import annotations

from robocache.core.errors import ConfigError
from robocache.core.stream import StreamSpec
from robocache.sim_to_real.ranges import DepthRanges, ImageRanges, Randomization

SMALLEST_SIDE = 8
"""Matrices with shorter sides are no depth images."""


def is_changed(config: Randomization, stream: str, spec: StreamSpec) -> bool:
    """Whether a stream is a picture, a depth image or a LiDAR scan that the config changes.

    Raises:
        ConfigError: a stream that the config calls a scan is none.
    """
    if stream in config.lidar:
        if not is_scan(spec):
            raise ConfigError(
                f"sim_to_real.lidar names {stream!r}, {spec.dtype} {spec.shape}: a scan is float32 "
                f"(M, 3), metres from the sensor"
            )
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


def is_scan(spec: StreamSpec) -> bool:
    """(M, 3) float32."""
    return len(spec.shape) == 2 and spec.shape[1] == 3 and spec.dtype == "float32"
