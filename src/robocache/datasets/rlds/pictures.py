"""Encoded pictures of an episode, left in their file until one is looked at."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Protocol, overload

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from robocache.core.errors import CorruptFileError, DataError
from robocache.datasets.frames import JPEG_MAGIC, PNG_MAGIC, EncodedFrames, decode_image
from robocache.datasets.rlds.example import Span
from robocache.datasets.rlds.features import Leaf


class Shard(Protocol):
    """A file of records: `TFRecordShard` or `ArrayRecordShard`."""

    path: Any

    def __len__(self) -> int: ...
    @property
    def trouble(self) -> DataError | None: ...
    def checksums(self) -> list[int]: ...
    def read(self, number: int) -> bytes: ...
    def read_part(self, number: int, start: int, stop: int) -> bytes: ...


class StoredPictures(Sequence[bytes]):
    """The pictures of one stream of one record, read one by one from the file."""

    def __init__(self, shard: Shard, number: int, spans: Sequence[Span]) -> None:
        self._shard, self._number, self._spans = shard, number, spans

    def __len__(self) -> int:
        return len(self._spans)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> StoredPictures: ...
    def __getitem__(self, index: int | slice) -> bytes | StoredPictures:
        if isinstance(index, slice):
            return StoredPictures(self._shard, self._number, self._spans[index])
        return self._shard.read_part(self._number, *self._spans[index])


class RecordPictures(Sequence[bytes]):
    """The pictures of one stream of a record that is in memory."""

    def __init__(self, record: bytes, spans: Sequence[Span]) -> None:
        self._record, self._spans = record, spans

    def __len__(self) -> int:
        return len(self._spans)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> RecordPictures: ...
    def __getitem__(self, index: int | slice) -> bytes | RecordPictures:
        if isinstance(index, slice):
            return RecordPictures(self._record, self._spans[index])
        start, stop = self._spans[index]
        return self._record[start:stop]


class PictureDecoder:
    """Bytes to pixels of the shape and dtype that features.json declares for a leaf."""

    def __init__(self, leaf: Leaf) -> None:
        self.channels, self.dtype = leaf.shape[-1], np.dtype(leaf.dtype)

    def __call__(self, data: bytes) -> NDArray[Any]:
        """(H, W, C); grey pictures are repeated and alpha is dropped where 3 are declared."""
        pixels = decode_image(data)
        if pixels.ndim == 2:
            pixels = pixels[:, :, np.newaxis]
        if pixels.dtype == np.bool_:
            pixels = pixels.astype(np.uint8) * 255
        if self.dtype == np.float32 and pixels.dtype == np.uint8 and pixels.shape[2] == 4:
            return np.ascontiguousarray(pixels).view("<f4")  # the four bytes of each number
        if self.channels == 3 and pixels.shape[2] == 1:
            return np.repeat(pixels, 3, axis=2)
        return pixels[:, :, :3] if self.channels == 3 else pixels


def frames_of(leaf: Leaf, pictures: Sequence[bytes], place: Any) -> EncodedFrames | None:
    """The pictures as an array; None when they differ in size.

    Raises:
        CorruptFileError: the size is not declared and a picture does not tell it.
    """
    height, width, channels = leaf.shape
    if not leaf.known_shape:
        sizes = {picture_size(picture) for picture in pictures}
        if len(sizes) != 1:
            return None
        height, width = next(iter(sizes))
        if channels == -1:
            return EncodedFrames(pictures, place=place, decode=PictureDecoder(leaf), in_place=True)
    return EncodedFrames(
        pictures,
        place=place,
        decode=PictureDecoder(leaf),
        frame=((height, width, channels), np.dtype(leaf.dtype)),
        in_place=True,
    )


def picture_size(data: bytes) -> tuple[int, int]:
    """(height, width) of an encoded picture, which is not decoded.

    Raises:
        CorruptFileError: neither JPEG nor PNG, or truncated.
    """
    try:
        if data.startswith(PNG_MAGIC):
            width, height = struct.unpack_from(">II", data, 16)
            return height, width
        if data.startswith(JPEG_MAGIC):
            height, width, _, _ = simplejpeg.decode_jpeg_header(data)
            return height, width
    except (ValueError, struct.error) as error:
        raise CorruptFileError(f"the size of a picture cannot be read ({error})") from error
    raise CorruptFileError(f"not a JPEG or PNG picture (begins with {data[:8].hex() or '-'})")
