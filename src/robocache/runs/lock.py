"""A lock on a file that ends with the process that holds it, however that process ends."""

from __future__ import annotations

import fcntl
import os
import platform
import time
import weakref
from pathlib import Path

from robocache.core.errors import StoreError
from robocache.runs.files import make_directory, storage_errors

_held: weakref.WeakSet[FileLock] = weakref.WeakSet()


class FileLock:
    """A `flock` on `path`; the file stays, and names its holder while locked.

    Used in a `with` block it waits for its turn.

    Args:
        path: the file; made if it is not there.
        shared: any number of holders at once, as long as nobody holds it alone; they are not named.
    """

    def __init__(self, path: Path, *, shared: bool = False) -> None:
        self.path = path
        self._kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        self._descriptor: int | None = None

    def acquire(self, *, wait: bool) -> None:
        """Take the lock.

        Raises:
            StoreError: another holder has it and `wait` is false; the message names it.
        """
        while self._descriptor is None:
            make_directory(self.path.parent)
            with storage_errors(self.path):
                self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            _held.add(self)
            try:
                self._take(self._descriptor, wait=wait)
            except BaseException:
                self.release()
                raise
            if not _is_at(self._descriptor, self.path):
                self.release()

    def release(self) -> None:
        """Give the lock back; fine if it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        _held.discard(self)

    def _take(self, descriptor: int, *, wait: bool) -> None:
        if wait:
            fcntl.flock(descriptor, self._kind)
        elif not _locked_soon(descriptor, self._kind):
            raise StoreError(f"{self.path} is held by {holder(self.path)}")
        if self._kind == fcntl.LOCK_SH:
            return
        with storage_errors(self.path):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {platform.node()}\n".encode(), 0)

    def __enter__(self) -> FileLock:
        self.acquire(wait=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def __del__(self) -> None:
        self.release()


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the open file is still the one at `path`; its folder may have been moved away."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def holder(path: Path) -> str:
    """Who took the lock on `path` last, e.g. "process 4711 on robot-lab-2"."""
    return path.read_text().strip() or "an unnamed process"


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock now."""
    if not path.exists():
        return False
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _locked_soon(descriptor: int, kind: int) -> bool:
    """Try for a moment, since `is_locked` of another process holds the lock very briefly."""
    for attempt in range(4):
        if attempt:
            time.sleep(0.01)
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        return True
    return False


def _release_in_child() -> None:
    """A forked child must not keep its parent's locks alive after the parent is gone."""
    for lock in list(_held):
        lock.release()


os.register_at_fork(after_in_child=_release_in_child)
