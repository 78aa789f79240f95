"""`robocache data cache`: make what a training will read, list what there is, remove it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.table import Table

from robocache.cli.caching import make_cache
from robocache.cli.configuration import load
from robocache.cli.mixture import read_members, take_mixture_file
from robocache.cli.output import console
from robocache.cli.policies import sound_checkpoint
from robocache.cli.retention import in_bytes
from robocache.cli.skipped import skipped_field
from robocache.cli.train_config import TrainConfig
from robocache.cli.training_data import find_datasets, training_data
from robocache.cli.windows_seen import windows_of
from robocache.core.errors import ConfigError
from robocache.datasets.cache import CacheInfo, list_caches, remove_cache
from robocache.datasets.cache.key import WINDOWS
from robocache.runs import RunStore

UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def make(overrides: Sequence[str], *, quality: int, workers: int, limit: str) -> dict[str, Any]:
    """Make the caches of what `robocache train` with these settings would read."""
    limit_bytes = parse_bytes(limit)
    overrides, file = take_mixture_file(overrides)
    config, _ = load("train", TrainConfig, overrides, file)
    store = RunStore()
    members = read_members(config.mixture)
    start = None if config.init_from is None else sound_checkpoint(store, config.init_from)[0]
    windows = windows_of(config.policy, start)
    datasets, _ = find_datasets(store, config, members, windows)
    data = training_data(
        datasets,
        members,
        require_success=config.require_success,
        require_instruction=config.require_instruction,
        hold_out=config.hold_out,
        learned={},
    )
    seen_as = data.windows_by_name(windows)
    made = []
    for name, dataset in data.as_trained.items():
        folder = make_cache(
            dataset,
            seen_as[name],
            data.keys[name],
            quality=quality,
            workers=workers,
            limit_bytes=limit_bytes,
        )
        (cache,) = (one for one in list_caches(WINDOWS) if one.folder == folder)
        console.print(f"{name}: {in_bytes(cache.size_bytes())} in {folder}")
        made.append(_plain(cache))
    return {"caches": made, **skipped_field(datasets.values())}


def show() -> dict[str, Any]:
    """List every cache, the last used first."""
    caches = list_caches()
    table = Table(box=None)
    for title in ("cache", "of", "inputs", "quality", "size", "last used"):
        table.add_column(title, overflow="fold")
    for cache in caches:
        windows = cache.kind == WINDOWS
        of = f"{cache.about['episodes']} episodes" if windows else f"{cache.about['rows']} windows"
        table.add_row(
            cache.folder.name,
            of + ("" if cache.complete else ", not finished"),
            ", ".join(_inputs(cache)) or "-" if windows else "features of GR00T",
            str(cache.about["quality"]) if windows else cache.about["dtype"],
            in_bytes(cache.size_bytes()),
            datetime.fromtimestamp(cache.used).strftime("%Y-%m-%d %H:%M"),
        )
    console.print(table if caches else "there are no caches")
    return {"caches": [_plain(cache) for cache in caches]}


def remove(name: str) -> dict[str, Any]:
    """Remove a cache by its name."""
    cache = remove_cache(name)
    console.print(f"removed: {name}")
    return {"removed": cache.folder.name}


def parse_bytes(text: str) -> int:
    """Bytes of a size such as 500MB or 1.5TB.

    Raises:
        ConfigError: it is no size.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMGT]?)B?", text.strip())
    if found is None:
        raise ConfigError(f"{text!r} is not a size; give one such as 500MB or 20GB")
    return int(float(found[1]) * UNITS[found[2]])


def _inputs(cache: CacheInfo) -> list[str]:
    return [
        f"{view['stream']} {view['size'][0]}x{view['size'][1]}"
        if "size" in view
        else view["stream"]
        for view in cache.about["window"]["inputs"]
    ]


def _plain(cache: CacheInfo) -> dict[str, Any]:
    return {
        "name": cache.folder.name,
        "kind": cache.kind,
        "folder": str(cache.folder),
        "bytes": cache.size_bytes(),
        "complete": cache.complete,
        **cache.about,
    }
