"""Worker processes that decode frames; tensors come back through shared memory."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np
import torch
import torch.multiprocessing  # tensors then cross processes through shared memory
from numpy.typing import NDArray

from robocache.core.errors import ConfigError, StorageError
from robocache.datasets.windows import FrameReader


class FrameWorkers:
    """Processes with a copy of a reader each; started when the first rows come.

    Args:
        reader: decodes frames; sent to the processes, frames still encoded.
        workers: how many processes.

    Raises:
        ConfigError: the reader cannot be sent to another process.
    """

    def __init__(self, reader: FrameReader, workers: int) -> None:
        try:
            sent = pickle.dumps(reader)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"the frames of this dataset cannot be read in worker processes ({error}); "
                f"use workers=0"
            ) from error
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        self._pool = ProcessPoolExecutor(
            workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start,
            initargs=(sent,),
        )

    def submit(self, rows: NDArray[np.int64]) -> Future[Any]:
        """Have the frames of these rows read by whichever process is free."""
        try:
            return self._pool.submit(_read, rows)
        except BrokenProcessPool as error:
            broken: Future[Any] = Future()
            broken.set_exception(error)
            return broken

    @staticmethod
    def result(frames: Future[Any]) -> Any:
        """What was read, in memory of this process; waits for it.

        Raises:
            DataError: as it was raised in the worker.
            StorageError: a worker process was killed.
        """
        try:
            return _own(frames.result())
        except BrokenProcessPool as error:
            raise StorageError(
                "a worker process of the loader was killed; most often memory is short, or shared "
                "memory (/dev/shm) is full: use fewer workers, less prefetch or a smaller batch"
            ) from error

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown(cancel_futures=True)


def _own(frames: Any) -> Any:
    """A copy outside shared memory, which is small on many machines."""
    if isinstance(frames, torch.Tensor):
        return frames.clone()
    if isinstance(frames, dict):
        return {name: _own(value) for name, value in frames.items()}
    return [_own(value) for value in frames]


_reader: FrameReader | None = None


def _start(sent: bytes) -> None:
    """Prepare a process: deaf to Ctrl-C, which the parent handles, but not without it."""
    global _reader
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _reader = pickle.loads(sent)


def _read(rows: NDArray[np.int64]) -> Any:
    assert _reader is not None
    return _reader.read(rows)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
