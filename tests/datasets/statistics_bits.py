"""Statistics to the bit, and without any cache."""

from __future__ import annotations

from typing import Any

import numpy as np

from robocache.core import Statistics
from robocache.datasets import Reader
from robocache.datasets.statistics import compute_statistics


def bits(found: Statistics) -> dict[str, Any]:
    return {
        f"{name}/{figure}": value.tobytes() if isinstance(value, np.ndarray) else value
        for name, one in found.streams.items()
        for figure, value in vars(one).items()
    }


def fresh(dataset: Reader, names: list[str], keys: list[str] | None = None) -> Statistics:
    """The same without any cache."""
    episodes = (dataset[key] for key in (keys or dataset.keys()))
    return compute_statistics(episodes, names, dataset.fingerprint)
