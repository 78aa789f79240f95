"""Frames of a video file, exact by index, decoded when asked for.

The order of frames is the order of their presentation times, found once by reading the packets
without decoding them. Decoding seeks to the keyframe before a frame and goes forward from there;
frames asked for together are decoded in one pass.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from robocache.core.errors import CorruptFileError
from robocache.datasets.native import reading
from robocache.datasets.video_index import VideoIndex, video_index, video_stream

OPEN_DECODERS = 8  # kept open per process; the one unused for longest is closed
# Before version 17 there is one thread, and no way to ask for it.
_ONE_THREAD: dict[str, Any] = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}


class VideoFrames:
    """Frames [start, stop) of a video file, as a read-only array (T, H, W, 3) uint8 RGB.

    Takes whatever indexes the first axis of a numpy array: a number, a slice, integers, a mask.
    May be pickled and used after a fork: decoders are opened again where they are needed.

    Raises:
        CorruptFileError: the file is missing, unreadable or truncated, or has no frames in the
            range (on construction); or a frame cannot be decoded (when indexed).
    """

    dtype: np.dtype[Any] = np.dtype(np.uint8)

    def __init__(self, path: str | Path, start: int = 0, stop: int | None = None) -> None:
        self.path = Path(path)
        self.index = video_index(self.path)
        count = len(self.index.pts)
        self.start, self.stop = start, count if stop is None else stop
        if not 0 <= self.start < self.stop <= count:
            raise CorruptFileError(
                f"frames {start}..{stop} were asked for, the file has {count}", file=self.path
            )

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), self.index.height, self.index.width, 3)

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def times_s(self) -> NDArray[np.float64]:
        """(T,) times of the frames in the file, in seconds after its first frame."""
        return self.index.times_s[self.start : self.stop]

    def __getitem__(self, index: Any, /) -> NDArray[np.uint8]:
        numbers = np.asarray(np.arange(self.start, self.stop)[index])
        wanted, place = np.unique(numbers.ravel(), return_inverse=True)
        frames = np.empty((numbers.size, *self.shape[1:]), np.uint8)
        for at, frame in enumerate(_decode(self.path, self.index, wanted.tolist())):
            frames[place == at] = frame
        return frames.reshape(*numbers.shape, *self.shape[1:])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self[:].astype(self.dtype if dtype is None else dtype, copy=False)

    def __repr__(self) -> str:
        return f"VideoFrames({str(self.path)!r}, {self.start}, {self.stop}, shape={self.shape})"


class _Decoder:
    """One open file and how far it has been decoded."""

    def __init__(self, path: Path, index: VideoIndex) -> None:
        self.path, self.index = path, index
        self.lock = threading.Lock()
        self.container = av.open(str(path), metadata_errors="replace")
        self.stream = video_stream(self.container, path)
        self.stream.codec_context.thread_count = 1  # loaders run many decoders side by side
        self._converter = VideoReformatter()  # kept, because making one costs as much as its work
        self.frames: Iterator[Any] = self.container.decode(self.stream)
        self.next = 0
        self.closed = False

    def close(self) -> None:
        """Free its memory now: containers refer to themselves, so Python would do it far later."""
        with self.lock:
            self.closed = True
            self.container.close()

    def frame(self, number: int) -> NDArray[np.uint8]:
        """Frame `number` as (H, W, 3) uint8."""
        key = int(np.searchsorted(self.index.keyframes, number, side="right")) - 1
        ahead = self.next <= number
        if not ahead or (key >= 0 and self.index.keyframes[key] > self.next):
            self._seek(key)
        frame = self._forward(number)
        if frame is None and key >= 0:  # the container put us behind the frame
            self._seek(-1)
            frame = self._forward(number)
        if frame is None or frame.is_corrupt:
            raise CorruptFileError(f"frame {number} cannot be decoded", file=self.path)
        converted = self._converter.reformat(frame, format="rgb24", **_ONE_THREAD)
        pixels = np.asarray(converted.to_ndarray(), np.uint8)
        if pixels.shape != (self.index.height, self.index.width, 3):
            raise CorruptFileError(
                f"frame {number} has shape {pixels.shape}, expected "
                f"({self.index.height}, {self.index.width}, 3)",
                file=self.path,
            )
        return pixels

    def _seek(self, key: int) -> None:
        """Go to a keyframe of the index; -1: to the beginning."""
        first = min(int(self.index.pts[0]), int(self.index.keyframe_dts[0]))
        time = first if key < 0 else int(self.index.keyframe_dts[key])
        self.container.seek(time, stream=self.stream, backward=True)
        self.frames = self.container.decode(self.stream)
        self.next = 0

    def _forward(self, number: int) -> Any | None:
        """Decode up to frame `number`; None: it did not come."""
        time = self.index.pts[number]
        for frame in self.frames:
            if frame.pts is None or frame.pts < time:
                continue
            self.next = int(np.searchsorted(self.index.pts, frame.pts, side="right"))
            return frame if frame.pts == time else None
        self.next = len(self.index.pts)
        return None


_decoders: dict[int, OrderedDict[Path, _Decoder]] = {}  # by process: a fork must not share them
_decoders_lock = threading.Lock()


def _decode(path: Path, index: VideoIndex, numbers: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
    """Frames by increasing number."""
    if not numbers:
        return
    try:
        with reading(path):
            decoder = _locked_decoder(path, index)
            try:
                for number in numbers:
                    yield decoder.frame(number)
            finally:
                decoder.lock.release()
    except (av.FFmpegError, OSError, ValueError) as error:
        _forget(path)
        raise CorruptFileError(f"cannot be decoded ({error})", file=path) from error


def _locked_decoder(path: Path, index: VideoIndex) -> _Decoder:
    while True:
        decoder = _decoder(path, index)
        decoder.lock.acquire()
        if not decoder.closed:
            return decoder
        decoder.lock.release()  # another thread needed its place in between


def _decoder(path: Path, index: VideoIndex) -> _Decoder:
    given_up = []
    with _decoders_lock:
        opened = _decoders.setdefault(os.getpid(), OrderedDict())
        decoder = opened.pop(path, None)
        if decoder is not None and not np.array_equal(decoder.index.pts, index.pts):
            given_up.append(decoder)  # the file was replaced
            decoder = None
        if decoder is None:
            decoder = _Decoder(path, index)
        opened[path] = decoder
        if len(opened) > OPEN_DECODERS:
            given_up.append(opened.popitem(last=False)[1])
    for other in given_up:
        other.close()
    return decoder


def _forget(path: Path) -> None:
    with _decoders_lock:
        decoder = _decoders.get(os.getpid(), OrderedDict()).pop(path, None)
    if decoder is not None:
        decoder.close()
