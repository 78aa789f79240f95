"""What an episode's numbers follow from, known without reading them, so that results can be kept.

A reader that can tell has a method `episode_files(key)`. Of others the fingerprint is taken, which
changes with any episode.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from robocache import __version__
from robocache.datasets.reader import Reader

SETTLED_NS = 2 * 10**9
"""A file that changed less than this ago may change again within one tick of its clock."""


@dataclass(frozen=True)
class EpisodeFiles:
    """Where the numbers of an episode lie.

    Attributes:
        reading: which part of the files it is and how they are read, or a hash of its content.
        files: everything its numbers and times are read from; pictures may be left out.
    """

    reading: str
    files: tuple[Path, ...] = ()


def episode_files(dataset: Reader, key: str) -> EpisodeFiles | None:
    """What the numbers of an episode follow from; None: nobody knows."""
    tell = getattr(dataset, "episode_files", None)
    found: EpisodeFiles | None
    found = EpisodeFiles(dataset.fingerprint) if tell is None else tell(key)
    return found


def episode_identities(dataset: Reader, keys: Iterable[str]) -> Iterator[str | None]:
    """Of each episode a sha256 that is another one whenever its numbers may be; None: not known.

    A file counts as unchanged while its path, inode, size, time of modification and time of change
    are. The last cannot be set by hand. Each must be taken before its episode is read.
    """
    known = hasattr(dataset, "episode_files")
    whole = None if known else EpisodeFiles(dataset.fingerprint)
    for key in keys:
        found = episode_files(dataset, key) if known else whole
        yield None if found is None else _identity(key, found)


def _identity(key: str, found: EpisodeFiles) -> str | None:
    states = [file_state(path) for path in found.files]
    if None in states:
        return None
    told = json.dumps([__version__, key, found.reading, states])
    return hashlib.sha256(told.encode()).hexdigest()


def folder_state(path: Path) -> str | None:
    """sha256 that is another one whenever a file of a folder, or the file `path`, may be another.

    Links are followed. None: a file just changed.
    """
    digest = hashlib.sha256(os.path.abspath(path).encode(errors="surrogateescape"))
    for file in [path] if path.is_file() else _files(path):
        state = file_state(file)
        if state is None and file.exists():
            return None
        digest.update(f"{file} {state}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    """Every file below a folder, in a fixed order; a folder that is linked in a circle once."""
    seen: set[tuple[int, int]] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        stat = os.stat(place)
        if (stat.st_dev, stat.st_ino) in seen:
            folders.clear()
            continue
        seen.add((stat.st_dev, stat.st_ino))
        folders.sort()
        yield from (Path(place, name) for name in sorted(names))


def file_state(path: Path) -> str | None:
    """What tells this content of a file from any other; None: it just changed, or is not there."""
    try:
        stat = path.stat()
    except OSError:
        return None
    if time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) < SETTLED_NS:
        return None
    numbers = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    return f"{os.path.abspath(path)} {numbers}"
