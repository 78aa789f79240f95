"""What the kernels look up for each picture: parameters made ready for one size of picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from robocache.core.errors import ConfigError, ShapeError
from robocache.ops.augment.parameters import ImageParameters


class ImageTables(NamedTuple):
    """Parameters of N pictures of one size, on one device.

    Made once, they can be used again in a CUDA graph or a compiled function.

    Attributes:
        crop: (N, 3) float32; output row y shows source row crop[0] + y * crop[2], likewise columns.
        gradient: (N, 2) float32.
        colour: (N, 12) float32, see `ImageParameters.colour_matrices`.
        curve: (N, steps + 1) float32, see `ImageParameters.tone_curves`.
        taps: (N, K, K) float32, see `ImageParameters.taps`.
        radius: (N,) int32.
        boxes: (N, M, 4) int32 pixels: top, left, and bottom, right, which are not covered.
        box_colours: (N, M, 3) float32.
        noise: (N,) float32.
        key, frame: (N,) int64.
    """

    crop: Tensor
    gradient: Tensor
    colour: Tensor
    curve: Tensor
    taps: Tensor
    radius: Tensor
    boxes: Tensor
    box_colours: Tensor
    noise: Tensor
    key: Tensor
    frame: Tensor


def check_rows(tables: Mapping[str, Tensor], values: Tensor, kind: str) -> None:
    """Raise ShapeError unless each table has a row for each of the values, on their device."""
    for name, table in tables.items():
        if len(table) != len(values):
            raise ShapeError(
                f"{len(table)} samples of parameters ({name}) for {len(values)} {kind}"
            )
        if table.device != values.device:
            raise ShapeError(f"tables ({name}) on {table.device}, {kind} on {values.device}")


def tables_for(
    parameters: ImageParameters, height: int, width: int, device: torch.device | str = "cpu"
) -> ImageTables:
    """Parameters made ready for pictures of this size on this device.

    Raises:
        ShapeError: a parameter has no row for each sample.
        ConfigError: parameters of ranges, one that is not finite, or a gamma not above 0.
    """
    if not isinstance(parameters, ImageParameters):
        raise ConfigError(f"parameters must be ImageParameters, got {type(parameters).__name__}")
    parameters.check_rows()
    parameters.check_finite()
    if bool((parameters.gamma <= 0).any()):
        raise ConfigError(f"gamma must be above 0, got {parameters.gamma.tolist()}")
    size = torch.tensor([height, width], dtype=torch.float64)
    top_left, side = parameters.crop[:, :2].double().cpu(), parameters.crop[:, 2:].double().cpu()
    start = top_left * size + 0.5 * side - 0.5
    edges = parameters.boxes.double().cpu() * size.repeat(2)
    taps, radius = parameters.taps()
    found = ImageTables(
        crop=torch.cat([start, side], dim=1).float(),
        gradient=parameters.gradient.float(),
        colour=parameters.colour_matrices().flatten(1),
        curve=parameters.tone_curves(),
        taps=taps,
        radius=radius,
        boxes=edges.round().int(),
        box_colours=parameters.box_colours.float(),
        noise=parameters.noise.float(),
        key=parameters.key,
        frame=parameters.frame,
    )
    return ImageTables(*(one.to(device).contiguous() for one in found))
