"""Pictures in messages: where they lie in the bag, and how their bytes become pixels."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, overload

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import CorruptFileError, DataError, ShapeError
from robocache.datasets.frames import decode_image
from robocache.datasets.ros.cdr import Bytes, Fields, MessageType
from robocache.datasets.ros.samples import Output, PictureKind, Sample, stamp_reader
from robocache.datasets.ros.storage import Storage, unpacked

_ENCODINGS: dict[str, tuple[str, tuple[int, ...]]] = {
    "rgb8": ("u1", (0, 1, 2)),
    "bgr8": ("u1", (2, 1, 0)),
    "rgba8": ("u1", (0, 1, 2, 3)),
    "bgra8": ("u1", (2, 1, 0, 3)),
    "mono8": ("u1", ()),
    "8UC1": ("u1", ()),
    "mono16": ("u2", ()),
    "16UC1": ("u2", ()),
    "32FC1": ("f4", ()),
}
"""Encoding -> dtype, and which stored channels are red, green, blue (none: no channel axis)."""

UNITS = {"16UC1": "mm", "32FC1": "m"}
_DEPTH_HEAD = struct.Struct("<iff")


@dataclass(frozen=True)
class RawPicture:
    """Decoder of sensor_msgs/Image: rows of `step` bytes to (H, W) or (H, W, C) in order RGB."""

    height: int
    width: int
    encoding: str
    step: int
    big_endian: bool

    def __call__(self, data: bytes) -> NDArray[Any]:
        kind, channels = _ENCODINGS[self.encoding]
        dtype = np.dtype(kind).newbyteorder(">" if self.big_endian else "<")
        row = self.width * dtype.itemsize * max(len(channels), 1)
        if not 0 < row <= self.step or not 0 < self.step * self.height <= len(data):
            raise ShapeError(
                f"a picture of {self.height} x {self.width} {self.encoding} cannot be in "
                f"{len(data)} bytes with rows of {self.step}"
            )
        rows = np.frombuffer(data, np.uint8, self.step * self.height)
        pixels = rows.reshape(self.height, self.step)[:, :row].copy().view(dtype)
        pixels = pixels.astype(dtype.newbyteorder("="), copy=False)
        if not channels:
            return pixels
        return np.ascontiguousarray(
            pixels.reshape(self.height, self.width, len(channels))[:, :, channels]
        )


@dataclass(frozen=True)
class DepthPicture:
    """Decoder of compressedDepth: 12 bytes, then PNG; millimetres stay, 32FC1 becomes metres.

    32FC1 is stored as inverse depth v, quantised to 16 bits: depth = a / (v - b), NaN where v = 0,
    with a and b in the 12 bytes (ROS package compressed_depth_image_transport).
    """

    metres: bool

    def __call__(self, data: bytes) -> NDArray[Any]:
        stored = decode_image(data[_DEPTH_HEAD.size :])
        if not self.metres:
            return stored
        _, a, b = _DEPTH_HEAD.unpack_from(data)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            depth = np.float32(a) / (stored.astype(np.float32) - np.float32(b))
        return np.where(stored == 0, np.float32(np.nan), depth).astype(np.float32)


def _raw_kind(fields: Fields) -> PictureKind:
    """How a sensor_msgs/Image is decoded.

    Raises:
        DataError: an encoding that is not read.
    """
    encoding = fields["encoding"]
    if encoding not in _ENCODINGS:
        why = "a Bayer pattern: convert it to rgb8 first" if "bayer" in encoding else "not read"
        known = ", ".join(_ENCODINGS)
        raise DataError(f"encoding {encoding!r} is {why} (read are: {known})")
    size = (fields["height"], fields["width"])
    picture = RawPicture(*size, encoding, fields["step"], bool(fields["is_bigendian"]))
    return PictureKind(picture, UNITS.get(encoding, ""), encoding)


def _compressed_kind(fields: Fields) -> PictureKind:
    """How a sensor_msgs/CompressedImage is decoded.

    Raises:
        DataError: a compression that is not read.
    """
    form = fields["format"]
    if "compressedDepth" not in form:
        return PictureKind(decode_image, UNITS.get(form.split(";")[0].strip(), ""), form)
    pixels = form.split(";")[0].strip()
    if "rvl" in form.lower() or pixels not in UNITS:
        raise DataError(f"depth of format {form!r} is not read (read are: 16UC1 and 32FC1 as PNG)")
    return PictureKind(DepthPicture(pixels == "32FC1"), UNITS[pixels], form)


class CompressedImage:
    """sensor_msgs/CompressedImage: pictures of one format, decoded when they are asked for."""

    needs: ClassVar[dict[str, str]] = {"format": "string", "data": "uint8[]"}
    _same: ClassVar[tuple[str, ...]] = ("format",)

    def __init__(self, kind: MessageType) -> None:
        self.left_out: list[str] = []
        self._stamp = stamp_reader(kind)
        self._output: Output | None = None
        self._first: Fields = {}

    def samples(self, fields: Fields, data: Bytes) -> Iterator[Sample]:
        same = {path: fields[path] for path in self._same}
        if self._output is None:
            picture = self._kind(fields)
            self._output, self._first = Output("", None, picture.unit, (), picture), same
        if same != self._first:
            raise ShapeError(f"pictures change from {self._first} to {same}")
        yield Sample(self._output, self._stamp(fields), fields["data"])

    def _kind(self, fields: Fields) -> PictureKind:
        return _compressed_kind(fields)


class Image(CompressedImage):
    """sensor_msgs/Image: pictures of one size and encoding."""

    needs: ClassVar[dict[str, str]] = {
        "height": "uint32",
        "width": "uint32",
        "encoding": "string",
        "is_bigendian": "uint8",
        "step": "uint32",
        "data": "uint8[]",
    }
    _same: ClassVar[tuple[str, ...]] = ("height", "width", "encoding", "step", "is_bigendian")

    def _kind(self, fields: Fields) -> PictureKind:
        return _raw_kind(fields)


class Pictures(Sequence[bytes]):
    """The encoded pictures of a stream, fetched from the bag one by one.

    Args:
        files: storage files of the bag.
        places: (T, 6) int64: number of the file, three numbers for `Storage.read`, and from where
            to where the picture lies in the message.
    """

    def __init__(self, files: Sequence[Storage], places: NDArray[np.int64]) -> None:
        self.files, self.places = files, places

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        file, a, b, c, start, stop = self.places[index].tolist()
        message = unpacked(self.files[file].read((a, b, c)))
        if stop > len(message):
            raise CorruptFileError("the file changed while it was in use")
        return bytes(message[start:stop])
