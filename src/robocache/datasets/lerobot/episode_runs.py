"""Which rows of a Parquet file belong to which episode."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import DataError
from robocache.datasets.columns import read_columns, samples
from robocache.datasets.lerobot.listing_v3 import LARGEST_NUMBER

Runs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def episode_runs(path: Path) -> Runs:
    """Episode numbers of a file with the first row of each, and the one after its last.

    Empty when the file has no column episode_index.

    Raises:
        DataError: the file or the column cannot be read.
    """
    stat = path.stat()
    try:
        return _read_runs(path, stat.st_size, stat.st_mtime_ns)
    except DataError as error:
        raise error.located(file=path) from error


@lru_cache(maxsize=256)
def _read_runs(path: Path, size: int, mtime_ns: int) -> Runs:
    table = read_columns(path, ["episode_index"])
    if not table.num_columns:
        return (np.zeros(0, np.int64),) * 3
    told = samples(table["episode_index"], (), np.float64)
    numbers = np.where(np.abs(told) < LARGEST_NUMBER, told, -1).astype(np.int64)
    starts = np.flatnonzero(np.diff(numbers, prepend=-1) != 0)
    stops = np.append(starts[1:], len(numbers))[: len(starts)]
    return numbers[starts], starts, stops
