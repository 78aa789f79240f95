"""Summaries of episodes on disk, below the home folder: what was read once is not read again.

A file holds summaries of some episodes, each under its identity (`episode_identity`), after a
sha256 of all that follows. Files are only added, under the name of their content, so any number of
processes may write. One that is damaged is as good as none. All may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robocache.datasets.statistics_summary import Summary
from robocache.runs import atomic_write, home

SUFFIX = ".summaries"
EPISODES_PER_FILE = 256
_VERSION = 1
_MOMENTS = ("mean", "squares", "minimum", "maximum")


class _Kept(NamedTuple):
    """The summaries of an episode as they lie in a file."""

    shapes: list[tuple[int, list[int], str, int]]
    content: bytes
    offset: int


class SummaryCache:
    """Summaries of one thing over the episodes of a dataset; what was added is written at the end.

    Args:
        dataset: where the dataset lies.
        what: the thing that is summarised, with everything that decides its numbers.
    """

    def __init__(self, dataset: Path, what: str) -> None:
        name = json.dumps([_VERSION, str(dataset.resolve()), what])
        digest = hashlib.sha256(name.encode()).hexdigest()
        self.folder = home() / "cache" / "statistics" / digest[:32]
        self._kept: dict[str, _Kept] = {}
        self._new: dict[str, Sequence[Summary]] = {}
        for file in sorted(self.folder.glob(f"*{SUFFIX}")):
            self._kept |= _read(file)

    def get(self, identity: str | None) -> tuple[Summary, ...] | None:
        """The summaries of an episode; None: they are not known."""
        if identity is None or identity not in self._kept:
            return None
        return _unpacked(self._kept[identity])

    def add(self, identity: str | None, summaries: Sequence[Summary]) -> None:
        """Keep the summaries of an episode; nothing is kept without an identity."""
        if identity is not None:
            self._new[identity] = summaries
        if len(self._new) >= EPISODES_PER_FILE:
            self.flush()

    def flush(self) -> None:
        """Write what was added.

        Raises:
            StorageError: the disk is full or read-only.
        """
        if not self._new:
            return
        content = _packed(self._new)
        digest = hashlib.sha256(content).hexdigest()
        atomic_write(self.folder / f"{digest[:32]}{SUFFIX}", digest.encode() + b"\n" + content)
        self._new = {}

    def __enter__(self) -> SummaryCache:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()


def _packed(episodes: dict[str, Sequence[Summary]]) -> bytes:
    """A line of JSON that names episodes and shapes, then all arrays one after another."""
    listed, arrays = [], []
    for identity, summaries in episodes.items():
        shapes = [(s.count, s.mean.shape, s.kept.dtype.str, len(s.kept)) for s in summaries]
        listed.append((identity, shapes))
        for summary in summaries:
            arrays += [getattr(summary, name).tobytes() for name in _MOMENTS]
            arrays += [summary.weights.tobytes(), summary.kept.tobytes()]
    return json.dumps(listed).encode() + b"\n" + b"".join(arrays)


def _read(file: Path) -> dict[str, _Kept]:
    """What a file holds; nothing where it is damaged or just went away."""
    try:
        told, _, content = file.read_bytes().partition(b"\n")
    except OSError:
        return {}
    if hashlib.sha256(content).hexdigest().encode() != told:
        return {}
    offset = content.index(b"\n") + 1
    found = {}
    for identity, shapes in json.loads(content[:offset]):
        found[identity] = _Kept(shapes, content, offset)
        offset += sum(_bytes(*shape) for shape in shapes)
    return found


def _bytes(count: int, shape: list[int], dtype: str, kept: int) -> int:
    numbers = int(np.prod(shape))
    return 8 * len(_MOMENTS) * numbers + kept * (8 + np.dtype(dtype).itemsize * numbers)


def _unpacked(kept: _Kept) -> tuple[Summary, ...]:
    summaries, offset = [], kept.offset

    def take(dtype: str, *shape: int) -> NDArray[Any]:
        nonlocal offset
        array = np.frombuffer(kept.content, dtype, int(np.prod(shape)), offset)
        offset += array.nbytes
        return array.reshape(shape).copy()

    for count, shape, dtype, number in kept.shapes:
        moments = {name: take("<f8", *shape) for name in _MOMENTS}
        weights = take("<i8", number)
        samples = take(dtype, number, *shape)
        summaries.append(Summary(count, **moments, kept=samples, weights=weights))
    return tuple(summaries)
