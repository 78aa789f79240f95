"""Where the frames of a video file are, found once by reading its packets without decoding them.

The index of a large file is kept in the cache of the home folder, for as long as the file's size
and time of change stay the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import CorruptFileError, StorageError
from robocache.datasets.frames import LARGEST_PIXELS
from robocache.datasets.native import reading
from robocache.runs.files import atomic_write
from robocache.runs.home import home

LARGE_BYTES = 2**24
"""Files from this size on have their index kept on disk."""
_VERSION = 1


@dataclass(frozen=True, eq=False)
class VideoIndex:
    """Where the frames of a file are.

    Attributes:
        pts: (N,) int64 presentation times in units of the stream, increasing.
        keyframes: (K,) int64 frame numbers at which decoding can start, increasing.
        keyframe_dts: (K,) int64 times to seek to.
        height, width: pixels.
        tick_s: seconds of one unit of `pts`.
        codec: name of the codec, e.g. "av1", "h264".
    """

    pts: NDArray[np.int64]
    keyframes: NDArray[np.int64]
    keyframe_dts: NDArray[np.int64]
    height: int
    width: int
    tick_s: float
    codec: str

    @property
    def times_s(self) -> NDArray[np.float64]:
        """(N,) times of the frames in seconds after the first."""
        return np.asarray((self.pts - self.pts[0]) * self.tick_s, np.float64)


def video_index(path: Path) -> VideoIndex:
    """The index of a file, kept for as long as the file does not change.

    Raises:
        CorruptFileError: missing, unreadable, truncated, or without frames.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise CorruptFileError(f"cannot be opened: {error.strerror}", file=path) from error
    return _index(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=4096)
def _index(path: Path, size: int, mtime_ns: int) -> VideoIndex:
    if size < LARGE_BYTES:
        return _read_index(path)
    name = hashlib.sha256(f"{path.absolute()}\0{size}\0{mtime_ns}\0{_VERSION}".encode())
    kept = home() / "cache" / "indexes" / f"video-{name.hexdigest()[:32]}.npz"
    index = _load(kept)
    if index is None:
        index = _read_index(path)
        with contextlib.suppress(StorageError):  # without it the next process reads it again
            _save(kept, index)
    return index


def _save(path: Path, index: VideoIndex) -> None:
    buffer = io.BytesIO()
    np.savez(
        buffer,
        pts=index.pts,
        keyframes=index.keyframes,
        keyframe_dts=index.keyframe_dts,
        size=np.array([index.height, index.width]),
        tick_s=np.array(index.tick_s),
        codec=np.array(index.codec),
    )
    atomic_write(path, buffer.getvalue())


def _load(path: Path) -> VideoIndex | None:
    """A kept index; None: there is none, or it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            height, width = kept["size"].tolist()
            return VideoIndex(
                kept["pts"],
                kept["keyframes"],
                kept["keyframe_dts"],
                height,
                width,
                float(kept["tick_s"]),
                str(kept["codec"]),
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _read_index(path: Path) -> VideoIndex:
    try:
        with reading(path), av.open(str(path), metadata_errors="replace") as container:
            stream = video_stream(container, path)
            declared = stream.frames
            context = stream.codec_context
            if context is None or stream.time_base is None:
                raise CorruptFileError("its codec is not known, or its clock not told", file=path)
            packets = [
                (packet.pts, packet.dts, packet.is_keyframe)
                for packet in container.demux(stream)
                if packet.size and not packet.is_discard and not packet.is_corrupt
            ]
            tick_s = float(stream.time_base)
            codec = str(context.codec.canonical_name)
            height, width = context.height, context.width
    except (av.FFmpegError, OSError, ValueError) as error:
        raise CorruptFileError(f"not a readable video ({error})", file=path) from error
    if not 0 < height * width <= LARGEST_PIXELS:
        raise CorruptFileError(f"says that its frames have {height} x {width} pixels", file=path)
    if any(pts is None for pts, _, _ in packets):
        raise CorruptFileError("has frames without presentation time", file=path)
    if not packets or len(packets) < declared:
        raise CorruptFileError(
            f"truncated: its header tells of {declared} frames, {len(packets)} are there", file=path
        )
    pts, keys, dts = _sorted(packets, path)
    return VideoIndex(pts, keys, dts, height, width, tick_s, codec)


def _sorted(
    packets: Sequence[tuple[Any, Any, bool]], path: Path
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    packets = sorted(packets, key=lambda packet: packet[0])
    pts = np.array([packet[0] for packet in packets], np.int64)
    if (np.diff(pts) == 0).any():
        at = int(np.argmin(np.diff(pts)))
        raise CorruptFileError(f"frames {at} and {at + 1} have the same time", file=path)
    keys = [number for number, packet in enumerate(packets) if packet[2]]
    if not keys:
        raise CorruptFileError("has no keyframe to start decoding from", file=path)
    dts = [packets[k][0] if packets[k][1] is None else packets[k][1] for k in keys]
    return pts, np.array(keys, np.int64), np.array(dts, np.int64)


def video_stream(container: Any, path: Path) -> Any:
    """The first video stream of an open file; CorruptFileError if there is none."""
    if not container.streams.video:
        raise CorruptFileError("has no video stream (no video, or cut off)", file=path)
    return container.streams.video[0]
