"""The frames of a camera as they are written: each seen once, some of them for statistics."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from robocache.datasets.frames import PNG_MAGIC, EncodedFrames
from robocache.datasets.lerobot.rows import Row
from robocache.datasets.lerobot.summary import PictureSummary, sampled_frames
from robocache.datasets.lerobot.tables import IMAGE

FRAMES_AT_ONCE = 32


def camera_frames(row: Row, count: int, summary: PictureSummary) -> Iterator[NDArray[np.uint8]]:
    """All frames of an episode, a few at a time; those that are sampled go to the summary."""
    sampled = set(sampled_frames(count).tolist())
    for start in range(0, count, FRAMES_AT_ONCE):
        block = row.read(start, min(start + FRAMES_AT_ONCE, count))
        for number, frame in enumerate(block, start):
            if number in sampled:
                summary.add(frame)
            yield frame


def camera_pictures(row: Row, count: int, summary: PictureSummary) -> pa.Array:
    """All frames of an episode as encoded pictures; those that are encoded already stay so."""
    cells = []
    for number, frame in enumerate(camera_frames(row, count, summary)):
        if isinstance(row.values, EncodedFrames):
            at = number if row.index is None else int(row.index[number])
            data = row.values.encoded(at)
        else:
            buffer = io.BytesIO()
            Image.fromarray(frame).save(buffer, format="PNG", compress_level=1)
            data = buffer.getvalue()
        kind = "png" if data.startswith(PNG_MAGIC) else "jpg"
        cells.append({"bytes": data, "path": f"frame-{number:06d}.{kind}"})
    return pa.array(cells, IMAGE)
