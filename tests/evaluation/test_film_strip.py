"""Film strips: decoded by an independent reader, pixel for pixel."""

from __future__ import annotations

import io
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from robocache.core.errors import ConfigError, ShapeError
from robocache.evaluation.filmstrip import film_strip


def decoded(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def noise(count: int, height: int = 45, width: int = 60) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    return [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(count)]


def place_of(frame: np.ndarray, strip: np.ndarray) -> tuple[int, int]:
    windows = np.lib.stride_tricks.sliding_window_view(strip, frame.shape)[:, :, 0]
    rows, columns = np.nonzero((windows == frame).all(axis=(2, 3, 4)))
    assert len(rows) == 1
    return int(rows[0]), int(columns[0])


@pytest.mark.parametrize(("count", "height", "width"), [(1, 45, 60), (3, 33, 41), (5, 20, 31)])
def test_frames_are_unaltered_and_in_order(count, height, width):
    frames = noise(count, height, width)
    strip = decoded(film_strip(frames, [""] * count))
    places = [place_of(frame, strip) for frame in frames]
    assert len({row for row, _ in places}) == 1
    columns = [column for _, column in places]
    assert all(after - before >= width for before, after in pairwise(columns))
    outside = strip.astype(int).copy()
    for row, column in places:
        outside[row : row + height, column : column + width] = 255
    assert outside.min() == 255


def test_each_caption_stands_above_its_frame():
    frames = noise(2)
    blank = decoded(film_strip(frames, ["", ""]))
    row, column = place_of(frames[1], blank)
    captioned = decoded(film_strip(frames, ["", "2.5 s"]))
    rows, columns = np.nonzero((captioned != blank).any(axis=-1))
    assert len(rows) > 20
    assert rows.max() < row
    assert column <= columns.min() and columns.max() < column + 60


def test_long_caption_stays_over_its_frame():
    frames = noise(3)
    blank = decoded(film_strip(frames, ["", "", ""]))
    _, column = place_of(frames[1], blank)
    captioned = decoded(film_strip(frames, ["", "open the drawer all the way please", ""]))
    _, columns = np.nonzero((captioned != blank).any(axis=-1))
    assert column <= columns.min() and columns.max() < column + 60


def test_caption_is_plain_text():
    film_strip(noise(1), ["cost $5 \\frac{ $ _x"])


def test_equal_input_gives_equal_bytes():
    assert film_strip(noise(2), ["a", "b"]) == film_strip(noise(2), ["a", "b"])


def test_no_window_system_is_touched():
    code = (
        "import sys, numpy as np; from robocache.evaluation.filmstrip import film_strip; "
        "film_strip([np.zeros((8, 8, 3), np.uint8)], ['start']); "
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_bad_input_is_explained():
    with pytest.raises(ConfigError, match="at least one frame"):
        film_strip([], [])
    with pytest.raises(ConfigError, match="2 frames and 1 titles"):
        film_strip(noise(2), ["a"])
    with pytest.raises(ShapeError, match="frame 1 is"):
        film_strip([*noise(1), *noise(1, 20, 60)], ["a", "b"])
    with pytest.raises(ShapeError, match="float64"):
        film_strip([np.zeros((4, 4, 3))], ["a"])  # type: ignore[list-item]
    with pytest.raises(ShapeError, match="expected"):
        film_strip([np.zeros((4, 4), np.uint8)], ["a"])
