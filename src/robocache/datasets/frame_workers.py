"""Worker processes that decode frames; what they decoded comes back through files in memory."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.util import Finalize
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import StorageError
from robocache.datasets.memory_file import MemoryFile
from robocache.datasets.native import Marks
from robocache.datasets.windows import FrameReader
from robocache.datasets.worker_process import process_pool, to_send


class FrameWorkers:
    """Processes with a copy of a reader each; started when the first rows come.

    Args:
        reader: decodes frames; sent to the processes, frames still encoded.
        workers: how many processes.
        ahead: how many batches may be under way at once.

    Raises:
        ConfigError: the reader cannot be sent to another process.
    """

    def __init__(self, reader: FrameReader, workers: int, ahead: int) -> None:
        sent = to_send(reader, "the frames of this dataset")
        # Work that a process has, or that waits for the next one, cannot be taken back.
        self._files = [MemoryFile() for _ in range(ahead + 2 * workers + 1)]
        self._free = deque(range(len(self._files)))
        self._marks = Marks(workers)
        self._pool = process_pool(workers, _begin, sent, self._files, marks=self._marks)
        # A process of multiprocessing closes queues, then waits for children that nobody told.
        Finalize(self, self._pool.shutdown, kwargs={"cancel_futures": True}, exitpriority=100)

    def submit(self, rows: NDArray[np.int64]) -> FramesUnderWay:
        """Have the frames of these rows read by whichever process is free."""
        number = self._free.popleft()
        try:
            future = self._pool.submit(_read, rows, number)
        except BrokenProcessPool as error:
            future = Future()
            future.set_exception(error)
        return FramesUnderWay(future, self._files[number], number, self._free, self._marks)

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown(cancel_futures=True)


class FramesUnderWay:
    """The frames of one batch, which a worker reads into a file."""

    def __init__(
        self, future: Future[Any], file: MemoryFile, number: int, free: deque[int], marks: Marks
    ) -> None:
        self._future, self._file, self._number, self._free = future, file, number, free
        self._marks = marks
        self._frames: Any = None

    def result(self) -> Any:
        """What was read, in memory of this process; waits for it.

        Raises:
            DataError: as it was raised in the worker.
            StorageError: a worker process was killed, or memory is short.
        """
        if self._frames is None:
            try:
                self._frames = self._file.read(self._future.result())
            except BrokenProcessPool as error:
                raise StorageError(
                    f"a worker process of the loader was killed{_while_reading(self._marks)}; most "
                    f"often memory is short: use fewer workers, less prefetch or a smaller batch"
                ) from error
            self._free.append(self._number)
        return self._frames

    def cancel(self) -> None:
        """Not wanted any more; the file is free when no worker writes to it."""
        self._future.cancel()
        if self._frames is None:
            self._future.add_done_callback(lambda _: self._free.append(self._number))


def _while_reading(marks: Marks) -> str:
    files = marks.files()
    if not files:
        return ""
    named = " or ".join(files)
    return f" while it read {named} (whether it is damaged says robocache data inspect --check)"


_reader: FrameReader | None = None
_files: Sequence[MemoryFile] = ()


def _begin(sent: bytes, files: Sequence[MemoryFile]) -> None:
    global _reader, _files
    _reader, _files = pickle.loads(sent), files


def _read(rows: NDArray[np.int64], number: int) -> Any:
    assert _reader is not None
    frames = _reader.read(rows)
    try:
        return _files[number].write(frames)
    except OSError as error:
        raise StorageError(
            f"a worker process of the loader has no memory for its frames ({error}): use fewer "
            f"workers, less prefetch or a smaller batch"
        ) from error
