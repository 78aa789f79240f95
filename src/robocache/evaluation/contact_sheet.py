"""Thumbnails of a dataset: first, middle and last frame of every camera, a column an episode."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from robocache.core import Episode
from robocache.core.errors import DataError
from robocache.evaluation.camera_pictures import CameraMoments, camera_moments
from robocache.runs import atomic_write

MOMENTS = 3
THUMBNAIL = 150
"""Longest side of a picture, in pixels."""
MARGIN, GAP, LINE = 12, 4, 17
"""Pixels around a column, between pictures, and the height of a line of text."""
PAPER, INK, FAINT = (250, 250, 250), (25, 25, 25), (120, 120, 120)
COLUMN = MOMENTS * THUMBNAIL + (MOMENTS - 1) * GAP


@dataclass(frozen=True, eq=False)
class Column:
    """One episode: its key and words, and what its cameras saw."""

    key: str
    words: str
    cameras: Mapping[str, CameraMoments]


class ContactSheet:
    """Pictures of a few episodes; each is looked at when it is added and not kept.

    Attributes:
        damaged: pictures that cannot be read.
    """

    def __init__(self) -> None:
        self._columns: list[Column] = []
        self.damaged: list[DataError] = []

    def add(self, episode: Episode) -> None:
        """Decode three frames of each camera; an episode without cameras is left out."""
        seen = camera_moments(episode, MOMENTS, THUMBNAIL)
        self.damaged += seen.damaged
        if seen.cameras:
            cameras = {camera.name: camera for camera in seen.cameras}
            self._columns.append(Column(episode.key, episode.instruction, cameras))

    @property
    def cameras(self) -> list[str]:
        """Names of the cameras that were drawn."""
        return sorted({name for column in self._columns for name in column.cameras})

    @property
    def episodes(self) -> list[str]:
        return [column.key for column in self._columns]

    def write(self, path: Path) -> None:
        """Write the sheet as PNG, whole or not at all.

        Raises:
            StorageError: the file cannot be written.
        """
        buffer = io.BytesIO()
        _draw(self._columns, self.cameras).save(buffer, "PNG")
        atomic_write(path, buffer.getvalue())


def _draw(columns: Sequence[Column], cameras: Sequence[str]) -> Image.Image:
    heights = [_row_height(columns, camera) for camera in cameras]
    width = MARGIN + len(columns) * (COLUMN + MARGIN)
    head = MARGIN + 2 * LINE + GAP
    sheet = Image.new("RGB", (width, head + sum(heights) + MARGIN), PAPER)
    pen = ImageDraw.Draw(sheet)
    for number, column in enumerate(columns):
        left = MARGIN + number * (COLUMN + MARGIN)
        _write(pen, left, MARGIN, column.key, INK, keep_end=True)
        _write(pen, left, MARGIN + LINE, column.words or "no instruction", FAINT)
        top = head
        for camera, height in zip(cameras, heights, strict=True):
            if camera in column.cameras:
                _camera(sheet, pen, column.cameras[camera], left, top)
            top += height
    return sheet


def _row_height(columns: Iterable[Column], camera: str) -> int:
    seen = [column.cameras[camera] for column in columns if camera in column.cameras]
    return 2 * GAP + 2 * LINE + max(_shown(one.pictures[0]).height for one in seen)


def _camera(
    sheet: Image.Image, pen: ImageDraw.ImageDraw, camera: CameraMoments, left: int, top: int
) -> None:
    """Name, pictures side by side, and their times below."""
    size = camera.size.replace("×", "x")  # Pillow's font has no such sign
    _write(pen, left, top + GAP, f"{camera.name}  {size}", INK)
    for number, (time_s, picture) in enumerate(zip(camera.times_s, camera.pictures, strict=True)):
        x, y = left + number * (THUMBNAIL + GAP), top + GAP + LINE
        shown = _shown(picture)
        sheet.paste(shown, (x, y))
        _write(pen, x, y + shown.height, f"{time_s:.2f} s", FAINT, THUMBNAIL)


def _shown(picture: NDArray[np.uint8]) -> Image.Image:
    """Its longest side `THUMBNAIL`; small pictures are made larger."""
    image = Image.fromarray(np.ascontiguousarray(picture))
    larger = THUMBNAIL / max(image.size)
    width, height = (max(1, round(side * larger)) for side in image.size)
    return image.resize((width, height), Image.Resampling.NEAREST)


def _write(
    pen: ImageDraw.ImageDraw,
    x: int,
    y: int,
    text: str,
    colour: tuple[int, int, int],
    room: int = COLUMN,
    *,
    keep_end: bool = False,
) -> None:
    """A line of text, shortened to `room` pixels."""
    font = ImageFont.load_default(13)
    shown, kept = text, text
    while kept and pen.textlength(shown, font=font) > room:
        kept = kept[1:] if keep_end else kept[:-1]
        shown = f"…{kept}" if keep_end else f"{kept}…"
    pen.text((x, y), shown, colour, font=font)
