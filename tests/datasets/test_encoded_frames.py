"""Encoded frames: the same pixels whether one is asked for or all, and errors that name the one."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from robocache.core.errors import CorruptFileError, ShapeError
from robocache.datasets.frames import EncodedFrames


def encoded(pixels: np.ndarray, kind: str = "JPEG", **options) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def scene(seed: int, height: int = 37, width: int = 53) -> np.ndarray:
    """Odd sizes: blocks of JPEG reach over the edges."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 255, (6, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def pillow(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_pixels_equal_pillows(subsampling):
    pictures = [encoded(scene(k), quality=90, subsampling=subsampling) for k in range(5)]
    frames = EncodedFrames(pictures)
    expected = np.stack([pillow(data) for data in pictures])
    np.testing.assert_array_equal(frames[:], expected)
    np.testing.assert_array_equal(frames[[4, 0, 4, 2]], expected[[4, 0, 4, 2]])
    for number in range(5):
        np.testing.assert_array_equal(frames[number], expected[number])
    assert frames[:].flags.writeable and frames[:0].shape == (0, 37, 53, 3)


def test_pictures_of_several_kinds_lie_in_one_array():
    pictures = [encoded(scene(0)), encoded(scene(1), "PNG"), encoded(scene(2), progressive=True)]
    expected = np.stack([pillow(data) for data in pictures])
    np.testing.assert_array_equal(EncodedFrames(pictures)[:], expected)


@pytest.mark.parametrize(
    ("damaged", "error", "problem"),
    [
        (encoded(scene(1))[:400], CorruptFileError, "cannot be decoded"),
        (b"\xff\xd8\xff", CorruptFileError, "cannot be decoded"),
        (b"nothing of this kind", CorruptFileError, "not a JPEG or PNG"),
        (encoded(scene(1, 36, 53)), ShapeError, r"picture 1 is \(36, 53, 3\) uint8"),
        (encoded(scene(1)[..., 0]), ShapeError, r"picture 1 is \(37, 53\) uint8"),
    ],
)
def test_a_damaged_picture_among_whole_ones(damaged, error, problem):
    def place(found, number):
        return type(found)(f"picture {number} of arm.rec: {found.problem}")

    frames = EncodedFrames([encoded(scene(0)), damaged, encoded(scene(2))], place=place)
    with pytest.raises(error, match=problem) as caught:
        frames[:]
    assert "picture 1 of arm.rec" in str(caught.value)
    assert frames[[0, 2]].shape == (2, 37, 53, 3)
