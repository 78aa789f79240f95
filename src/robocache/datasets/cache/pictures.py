"""Pictures of a cache: encoded one after the other in one file, read through a memory map.

`N.frames` holds the bytes, `N.index.npy` where each picture lies, with its CRC-32.
"""

from __future__ import annotations

import functools
import io
import mmap
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from robocache.core.errors import CorruptFileError, DataError
from robocache.core.stream import StreamSpec
from robocache.datasets.frames import EncodedFrames, decode_image

Codec = Literal["jpeg", "png", "raw"]


def codec_of(spec: StreamSpec) -> Codec:
    """How pictures of a stream are kept: colours as JPEG, everything else without loss."""
    if spec.dtype == "uint8" and (len(spec.shape) == 2 or spec.shape[2:] == (3,)):
        return "jpeg"
    return "png" if spec.dtype == "uint16" and len(spec.shape) == 2 else "raw"


def encode(frame: NDArray[Any], codec: Codec, quality: int) -> bytes:
    """One picture as bytes."""
    if codec == "raw":
        return zlib.compress(np.ascontiguousarray(frame).tobytes(), 1)
    if codec == "png":
        kept = io.BytesIO()
        Image.fromarray(frame).save(kept, "PNG", compress_level=1)
        return kept.getvalue()
    colours = frame if frame.ndim == 3 else frame[:, :, None]
    data: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(colours),
        quality,
        "RGB" if frame.ndim == 3 else "GRAY",
        "420" if frame.ndim == 3 else "Gray",
        fastdct=False,
    )
    return data


def decode_jpeg(data: bytes) -> NDArray[Any]:
    """A JPEG of this cache; with the fast transform, whose error is far below that of the JPEG."""
    try:
        return np.asarray(simplejpeg.decode_jpeg(data, "RGB", fastdct=True, fastupsample=True))
    except ValueError as error:
        raise CorruptFileError(f"a picture cannot be decoded ({error})") from error


def decode_raw(data: bytes, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """What `encode` made of a frame that is kept as it is."""
    return np.frombuffer(zlib.decompress(data), dtype).reshape(shape)


class PictureWriter:
    """Appends pictures to `<stem>.frames`; `close` writes the index."""

    def __init__(self, stem: Path, codec: Codec, quality: int) -> None:
        self._stem, self._codec, self._quality = stem, codec, quality
        self._file: BinaryIO = _frames(stem).open("wb")
        self._index: list[tuple[int, int, int]] = []

    def add(self, frames: Iterable[NDArray[Any]]) -> None:
        """Append these pictures."""
        for frame in frames:
            data = encode(frame, self._codec, self._quality)
            self._index.append((self._file.tell(), len(data), zlib.crc32(data)))
            self._file.write(data)

    def close(self) -> None:
        self._file.close()
        np.save(_index(self._stem), np.array(self._index, np.int64).reshape(-1, 3))


class StoredPictures:
    """The encoded pictures of one file, as a sequence of bytes; another process may read them."""

    def __init__(self, stem: Path) -> None:
        self._stem = stem

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, number: int) -> bytes:
        start, length, crc = self._places[number].tolist()
        data = self._mapped[start : start + length]
        if zlib.crc32(data) != crc:
            raise CorruptFileError(f"picture {number} is not what was written")
        return bytes(data)

    def located(self, error: DataError, number: int) -> DataError:
        """The error with the file in it."""
        return error.located(file=_frames(self._stem))

    @functools.cached_property
    def _places(self) -> NDArray[np.int64]:
        places: NDArray[np.int64] = _loaded(_index(self._stem))
        return places

    @functools.cached_property
    def _mapped(self) -> mmap.mmap | bytes:
        path = _frames(self._stem)
        try:
            with path.open("rb") as file:
                size = path.stat().st_size
                return mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if size else b""
        except OSError as error:
            raise CorruptFileError(f"cannot be opened ({error})", file=path) from error

    def __reduce__(self) -> tuple[type[StoredPictures], tuple[Path]]:
        return StoredPictures, (self._stem,)


def stored_frames(stem: Path, spec: StreamSpec) -> EncodedFrames:
    """The pictures of one file as frames that are decoded when they are asked for."""
    pictures = StoredPictures(stem)
    decode: Callable[[bytes], NDArray[Any]] = decode_image
    if codec_of(spec) == "jpeg" and len(spec.shape) == 3:
        decode = decode_jpeg
    elif codec_of(spec) == "raw":
        decode = functools.partial(decode_raw, shape=spec.shape, dtype=spec.dtype)
    return EncodedFrames(
        cast(Any, pictures),
        place=pictures.located,
        decode=decode,
        frame=(spec.shape, np.dtype(spec.dtype)),
    )


def _frames(stem: Path) -> Path:
    return stem.with_name(f"{stem.name}.frames")


def _index(stem: Path) -> Path:
    return stem.with_name(f"{stem.name}.index.npy")


def _loaded(path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise CorruptFileError(f"cannot be read ({error})", file=path) from error
    return array
