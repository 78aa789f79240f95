"""Windows whose encoded pictures are not read, for who knows already what is on them."""

from __future__ import annotations

import copy
from dataclasses import replace

from robocache.datasets.mixture import Mixture
from robocache.datasets.windows import WindowTable


def without_pictures(windows: WindowTable | Mixture) -> WindowTable | Mixture:
    """The same windows, in the same order, with pictures of no pixels where they are encoded."""
    if isinstance(windows, Mixture):
        mixture = copy.copy(windows)
        mixture.tables = [_without_pictures(table) for table in windows.tables]
        return mixture
    return _without_pictures(windows)


def _without_pictures(table: WindowTable) -> WindowTable:
    aligned = table.aligned
    inputs = {
        name: column if column.frames is None else replace(column, frames=column.frames.unread())
        for name, column in aligned.inputs.items()
    }
    return WindowTable(replace(aligned, inputs=inputs), table.window)
