"""Caches: datasets as a training reads them, aligned, at its resolution, ready to be mapped."""

from robocache.datasets.cache.build import build_cache
from robocache.datasets.cache.find import OpenCache, find_cache, open_cache
from robocache.datasets.cache.space import CacheInfo, list_caches, remove_cache

__all__ = [
    "CacheInfo",
    "OpenCache",
    "build_cache",
    "find_cache",
    "list_caches",
    "open_cache",
    "remove_cache",
]
