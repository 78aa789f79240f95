"""What a cache is of: dataset, windows, episodes and quality; and the folder that follows."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robocache.core.window import Window
from robocache.runs import home

VERSION = 1
"""Of the files; others are left alone."""
ABOUT = "about.json"
WINDOWS, FEATURES = "windows", "features"
COMPLETE = {WINDOWS: "table", FEATURES: "complete"}
"""Kind of cache -> what is in its folder once all of it is there."""


@dataclass(frozen=True)
class CacheKey:
    """What decides a cache's content.

    Attributes:
        fingerprint: of the dataset.
        window: what its samples see and predict.
        keys: its episodes.
        quality: of JPEG.
    """

    fingerprint: str
    window: Window
    keys: tuple[str, ...]
    quality: int

    def to_json(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "fingerprint": self.fingerprint,
            "window": self.window.to_json(),
            "episodes": len(self.keys),
            "keys": hashlib.sha256("\n".join(self.keys).encode()).hexdigest(),
            "quality": self.quality,
        }


def caches_folder(kind: str = WINDOWS) -> Path:
    """Where all caches of a kind lie: aligned windows, or the features of a frozen network."""
    return home() / "cache" / kind


def cache_folder(dataset: str, key: CacheKey) -> Path:
    """Where the cache lies: the dataset's name, and the hash of what decides its content."""
    digest = hashlib.sha256(json.dumps(key.to_json(), sort_keys=True).encode()).hexdigest()
    readable = re.sub(r"[^\w.-]+", "-", dataset).strip(".-")[:40] or "dataset"
    return caches_folder() / f"{readable}-{digest[:16]}"
