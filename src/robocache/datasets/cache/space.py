"""Which caches there are, what they take, and removing those that nobody uses."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robocache.core.errors import ConfigError, StorageError, StoreError, unknown_name
from robocache.datasets.cache.key import ABOUT, COMPLETE, VERSION, caches_folder
from robocache.runs import FileLock, remove_directory
from robocache.runs.removal import size_bytes

IN_USE = "in-use"
"""Held by whoever makes or reads a cache; its time of change says when it was last opened."""


@dataclass(frozen=True)
class CacheInfo:
    """One cache.

    Attributes:
        folder: where it lies; its name is the name of the cache.
        kind: of windows or of features.
        about: of windows: dataset, fingerprint, window, number of episodes, quality; of features:
            what they were made of and with, rows.
        complete: it can be read; others were stopped while they were made.
        used: when it was last opened, seconds since 1970.
    """

    folder: Path
    kind: str
    about: dict[str, Any]
    complete: bool
    used: float

    def size_bytes(self) -> int:
        """What it takes on disk."""
        return size_bytes(self.folder)


def list_caches(*kinds: str) -> list[CacheInfo]:
    """Every cache of these kinds in this home, the last used first; without kinds: all."""
    found = [
        _info(path.parent, kind)
        for kind in kinds or COMPLETE
        for path in caches_folder(kind).glob(f"*/{ABOUT}")
    ]
    return sorted((one for one in found if one is not None), key=lambda one: -one.used)


def remove_cache(name: str) -> CacheInfo:
    """Remove a cache; training goes on from the dataset itself.

    Raises:
        ConfigError: there is none of this name, or somebody uses it.
    """
    caches = {one.folder.name: one for one in list_caches()}
    if name not in caches:
        raise unknown_name("cache", name, list(caches))
    if not _removed(caches[name].folder):
        raise ConfigError(f"cache {name} is in use; stop what reads it first")
    return caches[name]


def make_room(limit_bytes: int | None, growing: Path, *, share: float) -> None:
    """Keep all caches within a limit, by removing those that were not used for longest.

    Args:
        growing: the cache being made, which stays.
        share: how much of it is made.

    Raises:
        StorageError: without the others it is still too large.
    """
    if limit_bytes is None:
        return
    sizes = {one.folder: one.size_bytes() for one in list_caches()}
    total = sum(sizes.values())
    for folder in reversed(sizes):
        if total <= limit_bytes:
            return
        if folder != growing and _removed(folder):
            total -= sizes[folder]
    if total > limit_bytes:
        mine = size_bytes(growing)
        raise StorageError(
            f"the caches take {total / 1e9:.2f} GB, more than the limit of "
            f"{limit_bytes / 1e9:.2f} GB: {share:.0%} of this one takes {mine / 1e9:.2f} GB, all "
            f"of it about {mine / max(share, 1e-9) / 1e9:.2f} GB; choose smaller pictures, fewer "
            f"episodes or a larger limit"
        )


def _info(folder: Path, kind: str) -> CacheInfo | None:
    try:
        about = json.loads((folder / ABOUT).read_bytes())
        used = max((folder / name).stat().st_mtime for name in (ABOUT, IN_USE))
    except (OSError, ValueError):
        return None
    if not isinstance(about, dict) or about.get("version") != VERSION:
        return None
    return CacheInfo(folder, kind, about, (folder / COMPLETE[kind]).exists(), used)


def _removed(folder: Path) -> bool:
    """Remove a cache unless somebody holds it; whether it was."""
    lock = FileLock(folder / IN_USE)
    try:
        lock.acquire(wait=False)
    except StoreError:
        return False
    try:
        remove_directory(folder)
    finally:
        lock.release()
    return True
