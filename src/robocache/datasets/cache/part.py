"""One part of a cache: a few episodes, aligned, with the pictures that their windows read.

Numbers are kept as `numbers.npz`, pictures of stream k as `k.frames`, the rest as `part.json`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.core.episode import Episode
from robocache.core.window import Window
from robocache.datasets.aligned import AlignedEpisodes, align_episodes
from robocache.datasets.cache.pictures import PictureWriter, codec_of
from robocache.datasets.parts import content_hash
from robocache.datasets.reader import Reader
from robocache.datasets.views import View
from robocache.datasets.window_column import Column, FrameColumn

ACTIONS = "actions"
"""Number of the column of actions, in the names of arrays."""
DECODED = 64
"""Frames of a stream that are decoded at once."""


def write_part(
    dataset: Reader, keys: Sequence[str], window: Window, quality: int, folder: Path
) -> None:
    """Write these episodes into a folder.

    Raises:
        DataError: an episode cannot be read, or does not fit the window.
    """
    hashes: list[str] = []
    disk = dataset
    while isinstance(disk, View):
        disk = disk.source

    def episodes() -> Iterator[Episode]:
        for key in keys:
            episode = disk[key]
            hashes.append(content_hash(episode))
            yield episode if disk is dataset else dataset[key]

    aligned = align_episodes(episodes(), window)
    numbers: dict[str, NDArray[Any]] = {"now_s": aligned.now_s, "episode_of": aligned.episode_of}
    samples: dict[str, int] = {}
    for name, column in columns_of(aligned).items():
        samples[name], arrays = _write_column(folder / name, column, quality)
        numbers.update({f"{name}.{kind}": array for kind, array in arrays.items()})
    np.savez(folder / "numbers.npz", **numbers)  # type: ignore[arg-type]
    about = {
        "inputs": list(aligned.inputs),
        "action": window.action,
        "keys": aligned.keys,
        "instructions": aligned.instructions,
        "sources": aligned.sources,
        "content": hashes,
        "specs": {name: spec.to_json() for name, spec in aligned.specs.items()},
        "methods": {name: c.method for name, c in columns_of(aligned).items()},
        "pictures": [name for name, c in columns_of(aligned).items() if c.frames is not None],
        "samples": samples,
        "arrays": {name: [array.dtype.str, array.shape] for name, array in numbers.items()},
    }
    (folder / "part.json").write_text(json.dumps(about))


def columns_of(aligned: AlignedEpisodes) -> dict[str, Column]:
    """Name in files -> column: inputs by their number, and the actions."""
    inputs = {str(number): column for number, column in enumerate(aligned.inputs.values())}
    return {**inputs, ACTIONS: aligned.actions}


def _write_column(stem: Path, column: Column, quality: int) -> tuple[int, dict[str, NDArray[Any]]]:
    """How many samples a column keeps, and its arrays; its pictures are written."""
    plan = column.plan
    arrays = {
        "left": plan.left.numpy(),
        "right": plan.right.numpy(),
        "weight": plan.weight.numpy(),
        "valid": plan.valid.numpy(),
        "age_s": plan.age_s.numpy(),
    }
    if column.frames is not None:
        wanted = np.unique(column.frames.samples[column.frames.valid])
        _write_pictures(stem, column, column.frames, wanted, quality)
        read = np.searchsorted(wanted, column.frames.samples)
        read = np.where(column.frames.valid, read, 0)
        return len(wanted), {**arrays, "left": read, "right": read}
    assert column.values is not None
    return len(column.values), {**arrays, "values": column.values.numpy()}


def _write_pictures(
    stem: Path, column: Column, frames: FrameColumn, wanted: NDArray[np.int64], quality: int
) -> None:
    """Write these frames, counted over all episodes."""
    writer = PictureWriter(stem, codec_of(column.spec), quality)
    try:
        first = 0
        for array in frames.frames:
            mine = wanted[(wanted >= first) & (wanted < first + len(array))] - first
            for start in range(0, len(mine), DECODED):
                writer.add(array[mine[start : start + DECODED]])
            first += len(array)
    finally:
        writer.close()
