"""Files fetched by a few threads: each to a temporary place, checked, synced, then taken over."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING

from robocache.core.errors import DownloadError
from robocache.datasets.remote.checksums import verified
from robocache.datasets.remote.listing import RemoteFile, Source
from robocache.runs.files import storage_errors

if TYPE_CHECKING:
    from robocache.datasets.remote.copy import Copy

Progress = Callable[[int, int, str], None]
"""Told bytes done, bytes in total, and figures in words."""

THREADS = 8


def transfer(
    source: Source, copy: Copy, names: list[str], scratch: Path, progress: Progress | None
) -> None:
    """Fetch files into a copy. The first that fails stops the rest; what came is kept.

    Raises:
        DownloadError: one did not come, or not as announced.
        StorageError: the disk is full.
    """
    files = [copy.listing.files[name] for name in names]
    meter = Meter(copy.listing.bytes(names), len(names), progress)

    def bring(number: int, file: RemoteFile) -> None:
        place = scratch / str(number)
        place.mkdir()
        came = place / "came"
        with storage_errors(copy.file(file.name)):
            source.fetch(copy.listing, file.name, came, place, meter.counter(file))
            _sync(came)
        sha256 = verified(came, file, copy.listing.uri)
        copy.put(file.name, came, sha256)
        meter.finish(file)

    with ThreadPoolExecutor(THREADS, thread_name_prefix="robocache-download") as pool:
        running = [pool.submit(bring, number, file) for number, file in enumerate(files)]
        try:
            for done in as_completed(running):
                done.result()
        except BaseException:
            meter.stop()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


class Meter:
    """How much came, over all threads.

    Args:
        total: bytes to come.
        files: how many files.
        progress: told now and then, from any thread but never from two at once.
    """

    def __init__(self, total: int, files: int, progress: Progress | None) -> None:
        self._total, self._files, self._progress = total, files, progress
        self._lock = threading.Lock()
        self._bytes: dict[str, int] = {}
        self._done = self._finished = 0
        self._stopped = False

    def counter(self, file: RemoteFile) -> Callable[[int], None]:
        """Told about one file; ends its thread when another has failed."""

        def told(count: int) -> None:
            if self._stopped:
                raise DownloadError(f"{file.name}: stopped, because another file did not come")
            with self._lock:
                came = self._bytes.get(file.name, 0) + count
                self._set(file.name, came if file.size is None else min(came, file.size))

        return told

    def finish(self, file: RemoteFile) -> None:
        with self._lock:
            self._finished += 1
            self._set(file.name, file.size or self._bytes.get(file.name, 0))

    def stop(self) -> None:
        self._stopped = True

    def _set(self, name: str, count: int) -> None:
        self._done += count - self._bytes.get(name, 0)
        self._bytes[name] = count
        if self._progress is not None:
            self._progress(self._done, self._total, f"{self._finished}/{self._files} files")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
