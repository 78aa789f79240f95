"""Encoded pictures: JPEG and PNG bytes as frames that are decoded when they are asked for.

JPEG is decoded by libjpeg-turbo with the accurate transform and smooth upsampling, so pixels equal
Pillow's; PNG by Pillow, 16 bits as they are.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from robocache.core.errors import CorruptFileError, DataError, ShapeError

JPEG_MAGIC = b"\xff\xd8\xff"
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
LARGEST_PIXELS = 2**27
"""Pictures above this are refused before they are decoded."""
Room = Callable[[tuple[int, ...], np.dtype[Any]], NDArray[Any]]
"""Gives an array of a shape and dtype, whatever is in it."""

_MODES = {"L": np.uint8, "RGB": np.uint8, "RGBA": np.uint8, "I;16": np.uint16, "1": np.bool_}


def decode_image(data: bytes) -> NDArray[Any]:
    """A JPEG or PNG picture as (H, W) or (H, W, C), in the order of channels RGB.

    Raises:
        CorruptFileError: neither of the two, truncated, damaged, or above `LARGEST_PIXELS`.
    """
    if not data.startswith((JPEG_MAGIC, PNG_MAGIC)):
        raise CorruptFileError(f"not a JPEG or PNG picture (begins with {data[:8].hex() or '-'})")
    try:
        if data.startswith(JPEG_MAGIC):
            height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
            _require_size(height, width)
            space = "GRAY" if colours == "Gray" else "RGB"
            pixels: NDArray[Any] = simplejpeg.decode_jpeg(data, space)
            return pixels[:, :, 0] if space == "GRAY" else pixels
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            _require_size(picture.height, picture.width)
            if picture.mode in _MODES:
                return np.asarray(picture, _MODES[picture.mode])
            return np.asarray(picture.convert("RGBA" if "transparency" in picture.info else "RGB"))
    except (ValueError, OSError, SyntaxError, EOFError, UnidentifiedImageError) as error:
        raise CorruptFileError(f"a picture cannot be decoded ({error})") from error


def decode_in_place(data: bytes, pixels: NDArray[Any]) -> bool:
    """Decode a colour JPEG straight into `pixels` (H, W, 3); False: it is none of this size.

    Raises:
        CorruptFileError: truncated or damaged.
    """
    if not data.startswith(JPEG_MAGIC) or pixels.dtype != np.uint8 or pixels.shape[2:] != (3,):
        return False
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        if colours == "Gray" or (height, width) != pixels.shape[:2]:
            return False
        simplejpeg.decode_jpeg(data, "RGB", buffer=pixels)
    except ValueError as error:
        raise CorruptFileError(f"a picture cannot be decoded ({error})") from error
    return True


def _require_size(height: int, width: int) -> None:
    if height * width > LARGEST_PIXELS:
        raise CorruptFileError(f"a picture says that it has {height} x {width} pixels")


class EncodedFrames:
    """Encoded pictures as an array (T, H, W, ...) whose rows are decoded when it is indexed.

    The first picture gives shape and dtype unless they are given.

    Args:
        pictures: T pictures as bytes, or anything whose items are bytes.
        place: file, episode or stream for messages; called only when something is wrong.
        decode: bytes to pixels.
        frame: shape and dtype of one frame, where they are known without decoding the first.
        in_place: whether `decode` gives colour JPEGs as `decode_image` does; these are then decoded
            straight into the array that is asked for.

    Raises:
        CorruptFileError: the first picture cannot be decoded (on construction), or another one
            (when indexed).
        ShapeError: a picture of another shape or dtype than the first (when indexed).
    """

    def __init__(
        self,
        pictures: Sequence[bytes],
        *,
        place: Callable[[DataError, int], DataError] | None = None,
        decode: Callable[[bytes], NDArray[Any]] = decode_image,
        frame: tuple[tuple[int, ...], np.dtype[Any]] | None = None,
        in_place: bool = False,
    ) -> None:
        self._pictures, self._place, self._decode = pictures, place, decode
        self._in_place = in_place or decode is decode_image
        if frame is None:
            first = self._frame(0) if len(pictures) else np.empty((0, 0, 3), np.uint8)
            frame = first.shape, first.dtype
        self.shape: tuple[int, ...] = (len(pictures), *frame[0])
        self.dtype: np.dtype[Any] = frame[1]

    def __len__(self) -> int:
        return len(self._pictures)

    def encoded(self, number: int) -> bytes:
        """The picture as it was stored."""
        return self._pictures[number]

    def __getitem__(self, index: Any, /) -> NDArray[Any]:
        numbers = np.asarray(np.arange(len(self))[index])
        frames = self._decoded(numbers.ravel().tolist(), np.empty)
        return frames.reshape(*numbers.shape, *self.shape[1:])

    def read(self, room: Room) -> NDArray[Any]:
        """All frames, in the array that `room` gives once the first of them is decoded.

        Raises:
            CorruptFileError, ShapeError: as when indexed.
        """
        return self._decoded(range(len(self)), room)

    def _decoded(self, numbers: Sequence[int], room: Room) -> NDArray[Any]:
        frames = np.empty((0, *self.shape[1:]), self.dtype)
        for at, number in enumerate(numbers):
            if at and self._decoded_in_place(number, frames[at]):
                continue
            frame = self._frame(number)
            if frame.shape != self.shape[1:] or frame.dtype != self.dtype:
                wrong = ShapeError(
                    f"picture {number} is {frame.shape} {frame.dtype}, expected "
                    f"{self.shape[1:]} {self.dtype}"
                )
                raise self._located(wrong, number)
            if not at:  # memory for what is there, not for what was declared
                frames = room((len(numbers), *self.shape[1:]), self.dtype)
            frames[at] = frame
        return frames

    def _decoded_in_place(self, number: int, pixels: NDArray[Any]) -> bool:
        try:
            return self._in_place and decode_in_place(self._pictures[number], pixels)
        except DataError as error:
            raise self._located(error, number) from error

    def _frame(self, number: int) -> NDArray[Any]:
        try:
            return self._decode(self._pictures[number])
        except DataError as error:
            raise self._located(error, number) from error

    def _located(self, error: DataError, number: int) -> DataError:
        return error if self._place is None else self._place(error, number)
