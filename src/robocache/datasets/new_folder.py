"""A dataset folder that is written whole or not at all."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from robocache.core.errors import StorageError
from robocache.runs.files import atomic_directory, remove


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A temporary folder to fill; it becomes `path` when the block ends without an error.

    What a killed writer of the same folder left behind is removed first.

    Raises:
        StorageError: `path` exists, or the disk is full, read-only or not permitted.
    """
    if path.exists():
        raise StorageError(f"{path} already exists: remove it or choose another name")
    _remove_abandoned(path)
    with atomic_directory(path) as folder:
        yield folder


def _remove_abandoned(path: Path) -> None:
    for left in path.parent.glob(f".{path.name}.tmp-*"):
        writer = re.fullmatch(r".*\.tmp-(\d+)-[0-9a-f]+", left.name)
        if writer and not _is_running(int(writer[1])):
            remove(left)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
