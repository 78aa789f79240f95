"""How far a robot's cameras and range sensors may be from the simulator's: bounds to draw from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from robocache.core.errors import ConfigError

Bounds = tuple[float, float]


@dataclass(frozen=True)
class ImageRanges:
    """Colour pictures. Each (low, high) is drawn from evenly; the defaults change nothing.

    Attributes:
        brightness, contrast, saturation: factors.
        hue: turns, of the colour circle.
        gamma: exponent.
        gradient: most that light may differ from the middle of the picture to its border.
        blur_px: standard deviation of a Gaussian, pixels, in `blur_probability` of the samples.
        motion_px: length of a motion blur of any direction, in `motion_probability` of them.
        noise: standard deviation, as a share of the range of values.
        boxes: most rectangles that cover the view, each in `box_probability` of the samples.
        box_side: their sides, as shares of height and width.
        scale: side of the part that is seen, as a share of the picture; above 0.
        shift: most that the view moves from the middle of what the scale leaves, as a share of
            the picture.

    Raises:
        ConfigError: bounds in the wrong order, or a number that means nothing.
    """

    brightness: Bounds = (1.0, 1.0)
    contrast: Bounds = (1.0, 1.0)
    saturation: Bounds = (1.0, 1.0)
    hue: Bounds = (0.0, 0.0)
    gamma: Bounds = (1.0, 1.0)
    gradient: float = 0.0
    blur_px: Bounds = (0.0, 0.0)
    blur_probability: float = 0.0
    motion_px: Bounds = (0.0, 0.0)
    motion_probability: float = 0.0
    noise: Bounds = (0.0, 0.0)
    boxes: int = 0
    box_probability: float = 0.0
    box_side: Bounds = (0.0, 0.0)
    scale: Bounds = (1.0, 1.0)
    shift: float = 0.0

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation", "noise", "box_side"):
            _check_bounds(name, getattr(self, name), low=0.0)
        _check_bounds("blur_px", self.blur_px, low=0.0, high=20.0)
        _check_bounds("motion_px", self.motion_px, low=0.0, high=60.0)
        _check_bounds("hue", self.hue, low=-1.0, high=1.0)
        _check_bounds("gamma", self.gamma, low=0.01)
        _check_bounds("scale", self.scale, low=0.01)
        for name in ("gradient", "shift"):
            _check_bounds(name, (getattr(self, name),) * 2, low=0.0, high=1.0)
        for name in ("blur_probability", "motion_probability", "box_probability"):
            _check_bounds(name, (getattr(self, name),) * 2, low=0.0, high=1.0)
        if not 0 <= self.boxes <= 16:
            raise ConfigError(f"sim_to_real boxes must be a number from 0 to 16, got {self.boxes}")


@dataclass(frozen=True)
class DepthRanges:
    """Depth images and LiDAR scans. Each (low, high) is drawn from evenly; by default nothing is.

    Attributes:
        dropout: share of the returns that are lost.
        noise_m: standard deviation of the range, metres.
        noise_share: standard deviation of the range, as a share of it, on top.
        outliers: share of the returns that come from elsewhere.
        outlier_m: nearest and farthest of these, metres.

    Raises:
        ConfigError: bounds in the wrong order, or a number that means nothing.
    """

    dropout: Bounds = (0.0, 0.0)
    noise_m: Bounds = (0.0, 0.0)
    noise_share: Bounds = (0.0, 0.0)
    outliers: Bounds = (0.0, 0.0)
    outlier_m: Bounds = (0.0, 0.0)

    def __post_init__(self) -> None:
        for name in ("dropout", "outliers"):
            _check_bounds(name, getattr(self, name), low=0.0, high=1.0)
        for name in ("noise_m", "noise_share", "outlier_m"):
            _check_bounds(name, getattr(self, name), low=0.0)


@dataclass(frozen=True)
class Randomization:
    """What a `DomainRandomizer` changes.

    Attributes:
        images: colour pictures.
        depth: depth images, and streams in `lidar`.
        lidar: names of the streams that are LiDAR scans, (M, 3) float32 metres from the sensor.
    """

    images: ImageRanges = field(default_factory=ImageRanges)
    depth: DepthRanges = field(default_factory=DepthRanges)
    lidar: tuple[str, ...] = ()

    @property
    def is_none(self) -> bool:
        """Whether nothing would be changed."""
        return self.images == ImageRanges() and self.depth == DepthRanges()


def _check_bounds(name: str, bounds: Bounds, *, low: float, high: float = math.inf) -> None:
    first, last = bounds
    if not (math.isfinite(first) and math.isfinite(last) and low <= first <= last <= high):
        most = "" if math.isinf(high) else f" and {high:g}"
        raise ConfigError(
            f"sim_to_real {name} must be a low and a high of at least {low:g}{most}, in order, "
            f"got {bounds}"
        )
