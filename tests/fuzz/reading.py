"""What users do with a dataset, in full; anything but a typed error with its place is a fault."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from robocache.core.errors import ConfigError, DataError
from robocache.datasets import open_dataset

AT_ONCE = 64
LARGEST_FRAMES = 2**26
"""Bytes of pictures that are asked for at once."""


class Forbidden(BaseException):
    """A dataset made a reader do what no dataset may."""


def read_everything(path: Path) -> str:
    """`read`, `listed` if problems were, or the name of the last typed error that was raised.

    All that is wrong must name its file.
    """
    outcome = "read"
    try:
        dataset = open_dataset(path)
        dataset.report()
        keys = dataset.keys()
        for problem in dataset.problems():
            require_place(problem)
            outcome = "listed"
        for key in keys:
            try:
                read_episode(dataset[key])
            except DataError as error:
                require_place(error)
                outcome = type(error).__name__
    except DataError as error:
        require_place(error)
        return type(error).__name__
    except ConfigError as error:
        return type(error).__name__
    return outcome


def read_episode(episode: Any) -> None:
    """Every value of every stream, decoded; sizes agree."""
    for name, stream in episode.streams.items():
        if len(stream.values) != len(stream.times_s):
            raise AssertionError(f"{name}: {len(stream.values)} values, {len(stream)} times")
        size = max(int(stream.values[:1].nbytes), 1)
        count = min(AT_ONCE, max(LARGEST_FRAMES // size, 1))
        for first in range(0, len(stream), count):
            values = stream.values[first : first + count]
            if values.shape[1:] != stream.spec.shape or values.dtype != stream.spec.dtype:
                raise AssertionError(f"{name}: {values.shape} {values.dtype}, not {stream.spec}")


def require_place(error: DataError) -> None:
    if error.file is None:
        raise AssertionError(f"{type(error).__name__} names no file: {error}") from error


def forbid(*folders: Path) -> None:
    """From now on in this process: no programs, no network, no files outside of these folders.

    Python's own modules may still be loaded. Cannot be taken back.
    """
    allowed = (*map(str, folders), sys.prefix, sys.base_prefix, *filter(None, sys.path))
    allowed = (*allowed, "/dev/null")

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _PROGRAMS or event.startswith(("socket.connect", "os.exec", "os.spawn")):
            raise Forbidden(f"{event} {arguments}")
        if event in _FILES and isinstance(arguments[0], str | bytes | os.PathLike):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            if not path.startswith(allowed):
                raise Forbidden(f"{event} {path}")

    sys.addaudithook(look)


_PROGRAMS = ("os.system", "subprocess.Popen", "os.posix_spawn", "os.fork", "pickle.find_class")
_FILES = ("open", "os.listdir", "os.scandir", "os.remove", "os.rename", "os.mkdir", "os.symlink")


def forget(home: Path) -> None:
    """Remove what readers kept, by whole paths; `shutil.rmtree` would open relative ones."""
    for folder, folders, names in os.walk(home, topdown=False):
        for name in (*names, *folders):
            path = os.path.join(folder, name)
            if name in names or os.path.islink(path):
                os.unlink(path)
        os.rmdir(folder)
