"""Problems of a dataset, found in a process of its own, which a damaged file may end.

HDF5, FFmpeg and Arrow can crash, hang or take all memory on damaged bytes. Such a file becomes a
problem like any other, with its name; the rest of the dataset is still looked at.
"""

from __future__ import annotations

import multiprocessing
import resource
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from robocache.core.errors import CorruptFileError, DataError, RoboCacheError
from robocache.core.stream import FrameArray
from robocache.datasets.native import new_mark, refuse, refused, watch
from robocache.datasets.reader import open_dataset

SECONDS = 300.0
"""No library needs so long for one file at once."""
MEMORY_BYTES = 2**33
FRAMES_AT_ONCE = 16
MOST_ENDS = 100
"""After so many files that ended the process, the rest is not looked at."""

Result = TypeVar("Result")


def guarded_problems(
    path: str | Path, format: str = "auto", *, seconds: float = SECONDS, **options: Any
) -> Iterator[DataError]:
    """`open_dataset(path, format, **options).problems()`, safe from what its files may do.

    All frames are decoded. A file that ended the process is a CorruptFileError that says so, and is
    refused from then on by all readers of this process, too.

    Args:
        path, format, options: as in `open_dataset`.
        seconds: that a library may take for one file at once.

    Raises:
        RoboCacheError: as `open_dataset`.
    """
    yield from guarded(_problems, path, format, options, seconds=seconds)


def guarded(
    work: Callable[..., Iterator[Result]],
    path: str | Path,
    *arguments: Any,
    seconds: float = SECONDS,
    memory_bytes: int = MEMORY_BYTES,
) -> Iterator[Result | CorruptFileError]:
    """What `work(path, *arguments)` yields, in a process with limits; each result once.

    Args:
        work: a function of a module, begun again after each file that ended the process, then with
            the arguments as they are by then.
        seconds: that a library may take for one file at once.
        memory_bytes: that the process may take.
    """
    told: set[tuple[type, str]] = set()
    for _ in range(MOST_ENDS):
        guard = _Guard(work, (path, *arguments), memory_bytes)
        try:
            for result in guard.results(seconds):
                if (type(result), str(result)) not in told:
                    told.add((type(result), str(result)))
                    yield result
        except RoboCacheError as error:
            if (type(error), str(error)) not in told:
                raise
            return
        finally:
            guard.end()
        if guard.ended is None:
            return
        yield CorruptFileError(guard.ended, file=guard.file or path)
        if guard.file is None:
            return
        told.add((CorruptFileError, str(CorruptFileError(guard.ended, file=guard.file))))
        refuse(guard.file, guard.ended)
    yield CorruptFileError(f"{MOST_ENDS} files ended the process; the rest was not read", file=path)


class _Guard:
    """One process at work.

    Attributes:
        ended: how the process came to an untimely end, in words.
        file: what was being read then.
    """

    def __init__(
        self, work: Callable[..., Any], arguments: tuple[Any, ...], memory_bytes: int
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])  # the next process begins at once
        self.ended: str | None = None
        self.file: str | None = None
        self._mark = new_mark()
        self._results, sender = context.Pipe(duplex=False)
        self._process = context.Process(
            target=_run,
            args=(sender, self._mark, refused(), memory_bytes, work, arguments),
            daemon=True,
        )
        self._process.start()
        sender.close()

    def results(self, seconds: float) -> Iterator[Any]:
        """What comes, until the work is done or `ended` says why it is not."""
        begun, since = self._mark.entered, time.monotonic()
        while True:
            if self._results.poll(min(1.0, seconds)):
                try:
                    result = self._results.recv()
                except EOFError:
                    self._died()
                    return
                if result is None:
                    return
                if isinstance(result, _Raised):
                    raise result.error
                yield result
            elif self._mark.entered != begun or not self._mark.path:
                begun, since = self._mark.entered, time.monotonic()
            elif time.monotonic() - since > seconds:
                self._tell(f"reading it did not end within {seconds:g} s")
                return

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self._results.close()

    def _died(self) -> None:
        self._process.join()
        code = self._process.exitcode or 0
        how = f"exit code {code}" if code >= 0 else f"signal {-code} ({_name(-code)})"
        self._tell(f"reading it ended the process with {how}")

    def _tell(self, ended: str) -> None:
        self.ended, self.file = ended, self._mark.path.decode(errors="surrogateescape") or None


class _Raised:
    """An error that ended the work, on its way to the parent."""

    def __init__(self, error: RoboCacheError) -> None:
        self.error = error


def _run(
    results: Connection,
    mark: Any,
    refusals: dict[str, str],
    memory_bytes: int,
    work: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    limit = memory_bytes if most == resource.RLIM_INFINITY else min(memory_bytes, most)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for path, why in refusals.items():
        refuse(path, why)
    watch(mark)
    try:
        for result in work(*arguments):
            results.send(result)
        results.send(None)
    except RoboCacheError as error:
        results.send(_Raised(error))


def _problems(path: str | Path, format: str, options: dict[str, Any]) -> Iterator[DataError]:
    """What the reader tells of, and which frames cannot be decoded where it did not look."""
    dataset = open_dataset(path, format, **options)
    told: set[tuple[str | None, str | None]] = set()
    for problem in dataset.problems():
        told.add((problem.episode, problem.stream))
        yield problem
    episodes = {episode for episode, _ in told}
    for key in list(dataset.keys()):
        try:
            streams = dataset[key].streams
        except DataError as error:
            if key not in episodes:
                yield error.located(episode=key)
            continue
        for name, stream in streams.items():
            if not isinstance(stream.values, np.ndarray) and (key, name) not in told:
                try:
                    decode_all(stream.values)
                except DataError as error:
                    yield error.located(episode=key, stream=name)


def decode_all(frames: FrameArray) -> None:
    """Decode every frame and keep none.

    Raises:
        DataError: the first that cannot be decoded.
    """
    for first in range(0, len(frames), FRAMES_AT_ONCE):
        frames[first : first + FRAMES_AT_ONCE]


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
