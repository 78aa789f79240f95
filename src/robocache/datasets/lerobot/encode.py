"""Video files of one camera, many episodes after one another, each frame counted."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import ConfigError, CorruptFileError, StorageError
from robocache.datasets.lerobot.settings import ENCODERS, VideoSettings
from robocache.datasets.video_index import video_index

PIXELS = "yuv420p"


@dataclass(frozen=True)
class WrittenVideo:
    """Where an episode's frames were written: number of the file, and seconds in it."""

    number: int
    from_s: float
    to_s: float


class VideoFiles:
    """Writes one camera.

    Args:
        path: number of a file -> its path.
        rate_hz: frames per second.
        shape: (H, W, 3).

    Raises:
        ConfigError: the size cannot be encoded.
    """

    def __init__(
        self,
        path: Callable[[int], Path],
        rate_hz: float,
        shape: tuple[int, ...],
        settings: VideoSettings,
    ):
        height, width = shape[:2]
        if height % 2 or width % 2:
            raise ConfigError(
                f"frames of {height} x {width} pixels cannot be video ({PIXELS} needs even sizes): "
                f"write them as pictures (cameras='image')"
            )
        self._path, self._settings = path, settings
        self._rate = Fraction(rate_hz).limit_denominator(100_000)
        self._size = (height, width)
        self.codec = settings.resolve()
        self.number = 0
        self._file: _File | None = None
        self._last_bytes = 0

    def write(self, frames: Iterable[NDArray[np.uint8]], count: int) -> WrittenVideo:
        """Append an episode of `count` frames.

        Raises:
            CorruptFileError: a file that was finished does not hold what was written to it.
        """
        limit = self._settings.file_megabytes * 2**20
        if self._file is not None and self._file.bytes + self._last_bytes > limit:
            self.close()
            self.number += 1
        if self._file is None:
            self._file = _File(
                self._path(self.number), self.codec, self._rate, self._size, self._settings
            )
        file, before = self._file, self._file.bytes
        first = file.frames
        for frame in frames:
            file.add(frame)
        if file.frames - first != count:
            raise CorruptFileError(
                f"{file.frames - first} frames were given, expected {count}", file=file.path
            )
        self._last_bytes = file.bytes - before
        return WrittenVideo(self.number, float(first / self._rate), float(file.frames / self._rate))

    def close(self) -> None:
        """Finish the file that is being written, and check it."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def abandon(self) -> None:
        """Let go of the file that is being written, whatever is in it."""
        if self._file is not None:
            file, self._file = self._file, None
            file.abandon()


class _File:
    """One video file that is being written."""

    def __init__(
        self,
        path: Path,
        codec: str,
        rate: Fraction,
        size: tuple[int, int],
        settings: VideoSettings,
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.frames, self.bytes, self._rate = path, 0, 0, rate
        os.environ.setdefault("SVT_LOG", "1")  # the AV1 encoder tells errors only
        self._target = path.open("wb")  # ours, so that a full disk is an OSError
        self._container = av.open(self._target, "w", format="mp4")
        stream: Any = self._container.add_stream(
            ENCODERS[codec], rate=rate, options=settings.options(codec)
        )
        stream.height, stream.width = size
        stream.pix_fmt = PIXELS
        stream.codec_context.time_base = 1 / rate
        self._stream = stream

    def add(self, pixels: NDArray[np.uint8]) -> None:
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame.pts, frame.time_base = self.frames, 1 / self._rate
        self._mux(frame)
        self.frames += 1

    def close(self) -> None:
        self._mux(None)
        self._container.close()
        self._target.close()
        index = video_index(self.path)
        expected = np.arange(self.frames) / float(self._rate)
        if len(index.pts) != self.frames or index.pts[0] != 0:
            raise CorruptFileError(
                f"{self.frames} frames were written, {len(index.pts)} are there, the first at "
                f"{index.pts[0] * index.tick_s:g} s",
                file=self.path,
            )
        if np.abs(index.times_s - expected).max() > 1e-3 / float(self._rate):
            raise CorruptFileError(
                "its frames are not at the times they were given", file=self.path
            )

    def abandon(self) -> None:
        with contextlib.suppress(av.FFmpegError, OSError, ValueError):
            self._container.close()
        with contextlib.suppress(OSError):
            self._target.close()

    def _mux(self, frame: Any) -> None:
        try:
            for packet in self._stream.encode(frame):
                self.bytes += packet.size
                self._container.mux(packet)
        except av.FFmpegError as error:
            raise StorageError(f"cannot encode {self.path}: {error}") from error
