"""Random changes of training pictures: drawn once for a sample, the same for all its frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.core.optional import require

Picture = NDArray[np.uint8]
GREY = np.array([0.299, 0.587, 0.114], np.float32)
"""ITU-R BT.601."""


@dataclass(frozen=True)
class Augmentation:
    """What was drawn for one sample.

    Attributes:
        crop_yx: position of the crop, as shares in [0, 1) of all positions.
        angle_deg: rotation, counterclockwise.
        brightness, contrast, saturation: factors; 1 changes nothing.
        hue: shift in turns of the colour circle, -0.5..0.5.
        order: in which the four colour changes are applied.
    """

    crop_yx: tuple[float, float]
    angle_deg: float = 0.0
    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0
    order: tuple[str, ...] = ("brightness", "contrast", "saturation", "hue")


def draw_augmentation(
    random: np.random.Generator,
    *,
    rotation_deg: float | None = None,
    jitter: Mapping[str, float] | None = None,
) -> Augmentation:
    """Draw the changes of one sample.

    Args:
        random: made for this sample alone; it gives the same numbers whatever the settings.
        rotation_deg: the angle is uniform in -rotation_deg..rotation_deg.
        jitter: brightness, contrast and saturation b are uniform in max(0, 1 - b)..1 + b, hue h in
            -h..h.
    """
    y, x, angle, *colours = random.random(7)
    names = ("brightness", "contrast", "saturation")
    widths = {name: (jitter or {}).get(name, 0.0) for name in (*names, "hue")}
    factors = {
        name: max(0.0, 1 - widths[name]) * (1 - u) + (1 + widths[name]) * u
        for name, u in zip(names, colours)
    }
    return Augmentation(
        crop_yx=(y, x),
        angle_deg=(2 * angle - 1) * (rotation_deg or 0.0),
        hue=(2 * colours[3] - 1) * widths["hue"],
        order=tuple((*names, "hue")[i] for i in random.permutation(4)),
        **factors,
    )


def rotated(picture: Picture, angle_deg: float) -> Picture:
    """The picture turned about its middle, the same size, black where nothing was."""
    if angle_deg == 0:
        return picture
    cv2 = require("cv2", "groot")
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle_deg, 1.0)
    turned: Picture = cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_LINEAR)
    return turned


def jittered(picture: Picture, augmentation: Augmentation) -> Picture:
    """The picture with other brightness, contrast, saturation and hue, (H, W, 3) uint8.

    Contrast blends with the mean grey of the picture, saturation with the grey of each pixel.
    """
    colours: NDArray[Any] = picture.astype(np.float32) / 255
    for name in augmentation.order:
        amount = getattr(augmentation, name)
        if name == "hue":
            colours = _hue_shifted(colours, amount) if amount else colours
        elif amount != 1:
            colours = np.clip(amount * colours + (1 - amount) * _towards(name, colours), 0, 1)
    return np.asarray(np.rint(colours * 255), np.uint8)


def _towards(name: str, colours: NDArray[Any]) -> Any:
    """What a colour becomes with a factor of 0."""
    if name == "brightness":
        return np.float32(0)
    grey = colours @ GREY
    return grey.mean() if name == "contrast" else grey[..., None]


def _hue_shifted(colours: NDArray[Any], turns: float) -> NDArray[Any]:
    cv2 = require("cv2", "groot")
    hsv = cv2.cvtColor(colours.astype(np.float32), cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0] + np.float32(360 * turns)) % 360
    shifted: NDArray[Any] = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    return np.asarray(np.clip(shifted, 0, 1))
