"""Which caches a training reads instead of its datasets; made first where that was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from robocache.cli.progress import console, progress
from robocache.core.errors import ConfigError
from robocache.core.window import Window
from robocache.datasets import Reader
from robocache.datasets.cache import OpenCache, build_cache, find_cache, open_cache

CacheSetting = str | int | Mapping[str, int]
"""auto: those that are there; off; a quality of JPEG, or one for each dataset: made if need be."""


def caches_for(
    setting: CacheSetting,
    datasets: Mapping[str, Reader],
    keys: Mapping[str, Sequence[str]],
    windows: Mapping[str, Window],
    *,
    workers: int,
) -> dict[str, OpenCache]:
    """Name -> cache, of the datasets that have one.

    Args:
        setting: see `CacheSetting`.
        datasets, keys, windows: name -> dataset as it is trained on, which of its episodes, and
            what its samples see and predict.
        workers: processes, where a cache has to be made.

    Raises:
        ConfigError: an unknown setting.
        DataError: a cache is damaged, or cannot be made.
    """
    if setting == "off":
        return {}
    if isinstance(setting, str) and setting != "auto":
        raise ConfigError(f"cache={setting}: should be auto, off, or a quality of JPEG such as 95")
    found = {}
    for name, dataset in datasets.items():
        quality, window = None, windows[name]
        if not isinstance(setting, str):
            quality = setting.get(name) if isinstance(setting, Mapping) else setting
            if quality is None:
                continue
        folder = find_cache(dataset.fingerprint, window, keys[name], quality)
        if folder is None and quality is not None:
            folder = make_cache(dataset, window, keys[name], quality=quality, workers=workers)
        if folder is not None:
            found[name] = open_cache(folder, keys[name])
            kept = found[name].episodes.loss or "nothing in it is lossy"
            console.print(f"{name} is read from the cache {folder.name} ({kept})")
    return found


def make_cache(
    dataset: Reader,
    window: Window,
    keys: Sequence[str] | None,
    *,
    quality: int,
    workers: int,
    limit_bytes: int | None = None,
) -> Path:
    """Make a cache with its progress; the folder."""
    with progress(f"cache {dataset.name}", "parts") as say:
        return build_cache(
            dataset,
            window,
            keys,
            quality=quality,
            workers=workers,
            limit_bytes=limit_bytes,
            progress=lambda done, total: say(done, total, ""),
        )


def qualities(caches: Mapping[str, OpenCache]) -> dict[str, int]:
    """Name -> quality of JPEG, of the caches that changed pictures; for the manifest."""
    return {name: cache.quality for name, cache in sorted(caches.items()) if cache.episodes.loss}
