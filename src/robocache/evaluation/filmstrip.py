"""A row of captioned frames as one PNG image, for reports."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from robocache.core.errors import ConfigError, ShapeError

_DPI = 100
_GAP_PX = 6
_CAPTION_COLOUR = "#3a3e48"
# Of captions over frames up to this wide; over wider ones they grow in proportion.
_USUAL_WIDTH_PX = 150
_CAPTION_PX = 22
_FONT_POINTS = 7.5
_CHARACTER_PX = 6.2


def film_strip(frames: Sequence[NDArray[np.uint8]], titles: Sequence[str]) -> bytes:
    """PNG file with the frames side by side at their own size, a small caption above each.

    Equal frames and titles give equal bytes. Captions wider than their frame are shortened.

    Args:
        frames: at least one picture (H, W, 3) uint8 RGB, all of one size.
        titles: one caption per frame; may be empty.

    Returns:
        The bytes of a PNG image.

    Raises:
        ConfigError: no frames, or not one title per frame.
        ShapeError: a frame that is not (H, W, 3) uint8, or of another size than the first.
    """
    if not frames or len(frames) != len(titles):
        raise ConfigError(
            f"{len(frames)} frames and {len(titles)} titles: "
            "a film strip needs at least one frame and one title for each"
        )
    for index, frame in enumerate(frames):
        _check(frame, frames[0].shape, index)
    height, width = frames[0].shape[:2]
    scale = max(1.0, width / _USUAL_WIDTH_PX)
    caption = round(_CAPTION_PX * scale)
    total_width = len(frames) * (width + _GAP_PX) + _GAP_PX
    total_height = height + caption + _GAP_PX
    strip = np.full((total_height, total_width, 3), 255, np.uint8)
    figure = Figure(figsize=(total_width / _DPI, total_height / _DPI), dpi=_DPI)
    for index, (frame, title) in enumerate(zip(frames, titles, strict=True)):
        left = _GAP_PX + index * (width + _GAP_PX)
        strip[caption : caption + height, left : left + width] = frame
        figure.text(
            (left + width / 2) / total_width,
            1 - caption / 2 / total_height,
            _shortened(title, width / scale),
            ha="center",
            va="center",
            fontsize=_FONT_POINTS * scale,
            color=_CAPTION_COLOUR,
            parse_math=False,
        )
    figure.figimage(strip, origin="upper")
    buffer = io.BytesIO()
    canvas = FigureCanvasAgg(figure)
    canvas.print_png(buffer, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def _check(frame: NDArray[np.uint8], shape: tuple[int, ...], index: int) -> None:
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
        raise ShapeError(
            f"frame {index} is {frame.shape} {frame.dtype}, expected (H, W, 3) uint8 RGB"
        )
    if frame.shape != shape:
        raise ShapeError(f"frame {index} is {frame.shape}, the first is {shape}: sizes must agree")


def _shortened(title: str, width_px: float) -> str:
    room = max(int(width_px / _CHARACTER_PX), 1)
    return title if len(title) <= room else title[: room - 1] + "…"
