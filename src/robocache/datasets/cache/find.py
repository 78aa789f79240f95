"""The cache that a training may read instead of its dataset."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from robocache.core.errors import ConfigError, CorruptFileError
from robocache.core.window import Window
from robocache.datasets.aligned import AlignedEpisodes
from robocache.datasets.cache.key import WINDOWS
from robocache.datasets.cache.space import IN_USE, list_caches
from robocache.datasets.cache.table import TABLE, CachedEpisodes, read_table, table_text
from robocache.runs import FileLock


@dataclass(frozen=True, eq=False)
class OpenCache:
    """A cache that is not removed while this object lives.

    Attributes:
        folder: where it lies.
        episodes: for a `WindowTable`.
        content: key -> content hash of the episode it was made of.
        quality: of JPEG.
    """

    folder: Path
    episodes: AlignedEpisodes
    content: dict[str, str]
    quality: int
    _lock: FileLock


def find_cache(
    fingerprint: str, window: Window, keys: Sequence[str], quality: int | None = None
) -> Path | None:
    """The folder of a complete cache that has these episodes; None: there is none.

    Of several, the one of the best quality, then the one of exactly these episodes.

    Args:
        fingerprint: of the dataset.
        window: what a sample sees and predicts; sizes of pictures included.
        keys: episodes that are needed.
        quality: of JPEG; None: any.
    """
    exactly = hashlib.sha256("\n".join(keys).encode()).hexdigest()
    view = window.to_json()
    found = []
    for cache in list_caches(WINDOWS):
        about = cache.about
        if not cache.complete or (about["fingerprint"], about["window"]) != (fingerprint, view):
            continue
        if quality not in (None, about["quality"]):
            continue
        same = about["keys"] == exactly
        if same or set(keys) <= set(_keys(cache.folder)):
            found.append((about["quality"], same, cache.folder.name, cache.folder))
    return max(found)[-1] if found else None


def open_cache(folder: Path, keys: Sequence[str] | None = None) -> OpenCache:
    """The episodes with these keys (None: all) of a complete cache.

    Raises:
        ConfigError: there is no complete cache, or it lacks an episode.
        CorruptFileError: a file is missing or is not what was written.
    """
    if not (folder / TABLE).is_dir():
        raise ConfigError(f"{folder} is not a complete cache")
    lock = FileLock(folder / IN_USE, shared=True)
    lock.acquire(wait=True)
    os.utime(folder / IN_USE)
    cached: CachedEpisodes = read_table(folder)
    wanted = list(cached.content) if keys is None else list(keys)
    for key in wanted:
        if key not in cached.content:
            raise ConfigError(f"the cache {folder.name} lacks episode {key}")
    content = {key: cached.content[key] for key in wanted}
    return OpenCache(folder, cached.episodes.only(wanted), content, cached.quality, lock)


def _keys(folder: Path) -> list[str]:
    """Keys of a cache's episodes; none where they cannot be read."""
    try:
        keys: list[str] = table_text(folder)["keys"]
    except CorruptFileError:
        return []
    return keys
