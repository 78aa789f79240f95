"""Random changes of training pictures: drawn once for a sample, the same for all its frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.core.optional import require

Picture = NDArray[np.uint8]


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

    Contrast blends with the mean grey of the picture, saturation with the grey of each pixel
    (ITU-R BT.601). Each change rounds to grey levels.
    """
    for name in augmentation.order:
        amount = getattr(augmentation, name)
        if name == "hue":
            picture = _hue_shifted(picture, amount) if amount else picture
        elif amount != 1:
            picture = _BLENDS[name](picture, amount)
    return picture


def _brightness(picture: Picture, factor: float) -> Picture:
    return _mapped(picture, factor * np.arange(256))


def _contrast(picture: Picture, factor: float) -> Picture:
    cv2 = require("cv2", "groot")
    grey = float(np.dot(cv2.mean(picture)[:3], (0.299, 0.587, 0.114)))
    return _mapped(picture, factor * np.arange(256) + (1 - factor) * grey)


def _saturation(picture: Picture, factor: float) -> Picture:
    cv2 = require("cv2", "groot")
    grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    blended: Picture = cv2.addWeighted(picture, factor, grey, 1 - factor, 0)
    return blended


_BLENDS = {"brightness": _brightness, "contrast": _contrast, "saturation": _saturation}


def _mapped(picture: Picture, levels: NDArray[Any]) -> Picture:
    """Each grey level as `levels`, (256,), says."""
    table = np.rint(np.clip(levels, 0, 255)).astype(np.uint8)
    mapped: Picture = require("cv2", "groot").LUT(picture, table)
    return mapped


def _hue_shifted(picture: Picture, turns: float) -> Picture:
    cv2 = require("cv2", "groot")
    hsv = cv2.cvtColor(picture.astype(np.float32), cv2.COLOR_RGB2HSV)
    hue = hsv[..., 0]
    hue += np.float32(360 * (turns % 1))
    hue[hue >= 360] -= 360
    return np.asarray(np.rint(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)), np.uint8)
