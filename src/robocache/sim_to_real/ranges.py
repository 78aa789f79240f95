"""How far a robot's cameras and range sensors may be from the simulator's: bounds to draw from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from numbers import Real

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
        for name in ("brightness", "contrast", "saturation", "noise"):
            _check_bounds(name, getattr(self, name), low=0.0)
        _check_bounds("box_side", self.box_side, low=0.0, high=1.0)
        _check_bounds("blur_px", self.blur_px, low=0.0, high=20.0)
        _check_bounds("motion_px", self.motion_px, low=0.0, high=60.0)
        _check_bounds("hue", self.hue, low=-1.0, high=1.0)
        _check_bounds("gamma", self.gamma, low=0.01)
        _check_bounds("scale", self.scale, low=0.01)
        chances = ("blur_probability", "motion_probability", "box_probability")
        for name in ("gradient", "shift", *chances):
            value = getattr(self, name)
            if not _in_order(0.0, (value,), 1.0):
                raise ConfigError(f"sim_to_real {name} must be a number from 0 to 1, got {value!r}")
        if not (isinstance(self.boxes, int) and 0 <= self.boxes <= 16):
            raise ConfigError(
                f"sim_to_real boxes must be a whole number from 0 to 16, got {self.boxes!r}"
            )


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

    Raises:
        ConfigError: `lidar` is one name.
    """

    images: ImageRanges = field(default_factory=ImageRanges)
    depth: DepthRanges = field(default_factory=DepthRanges)
    lidar: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.lidar, str):
            raise ConfigError(f"lidar must be several names of streams, got {self.lidar!r}")

    @property
    def is_none(self) -> bool:
        """Whether nothing would be changed."""
        return self.images == ImageRanges() and self.depth == DepthRanges()


def _check_bounds(name: str, bounds: Bounds, *, low: float, high: float = math.inf) -> None:
    pair = isinstance(bounds, tuple | list) and len(bounds) == 2
    if not (pair and _in_order(low, bounds, high)):
        most = "" if math.isinf(high) else f" and at most {high:g}"
        raise ConfigError(
            f"sim_to_real {name} must be a low and a high of at least {low:g}{most}, in order, "
            f"got {bounds!r}"
        )


def _in_order(low: float, given: Sequence[float], high: float) -> bool:
    """Whether these are finite numbers between low and high, none below the one before."""
    numbers = all(isinstance(n, Real) and math.isfinite(n) for n in given)
    return numbers and all(a <= b for a, b in pairwise((low, *given, high)))
