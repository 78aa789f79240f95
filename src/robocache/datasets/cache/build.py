"""Making a cache: parts by any number of processes, each part once, then the table of all.

A part is a folder that is there or not, so a killed build goes on where it was, and several builds
of one cache share the work.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robocache.core.errors import ConfigError, ShapeError, StoreError
from robocache.core.window import Window
from robocache.datasets.cache.key import ABOUT, CacheKey, cache_folder
from robocache.datasets.cache.part import write_part
from robocache.datasets.cache.space import IN_USE, make_room
from robocache.datasets.cache.table import PARTS, TABLE, write_table
from robocache.datasets.reader import Reader
from robocache.datasets.worker_process import process_pool, to_send
from robocache.runs import FileLock, atomic_directory, atomic_write, sweep_temporaries

EPISODES_PER_PART = 16

Progress = Callable[[int, int], None]
"""Called with parts done, and parts in all."""


def build_cache(
    dataset: Reader,
    window: Window,
    keys: Sequence[str] | None = None,
    *,
    quality: int = 95,
    workers: int = 0,
    limit_bytes: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Make the cache of these episodes as these windows read them; fine if it is there already.

    Args:
        dataset: what is read.
        window: what a sample sees and predicts; inputs with a `size` are kept at that size.
        keys: which episodes; None: all.
        quality: of JPEG, in which colours are kept; depth and everything else is kept exactly.
        workers: processes; 0: this one.
        limit_bytes: all caches of this home together may take; those unused for longest and not in
            use go first. None: no limit but the disk.
        progress: told how far it is.

    Returns:
        Its folder, for `open_cache`.

    Raises:
        DataError: an episode cannot be read; the parts before are kept.
        StorageError: the disk is full, or the limit is too small; the parts so far are kept.
    """
    if not 1 <= quality <= 100:
        raise ConfigError(f"quality of JPEG must lie in 1..100, got {quality}")
    kept = tuple(dataset.keys() if keys is None else keys)
    if not kept:
        raise ConfigError(f"{dataset.name} has no episodes to cache")
    key = CacheKey(dataset.fingerprint, window, kept, quality)
    folder = cache_folder(dataset.name, key)
    if (folder / TABLE).is_dir():
        return folder
    about = json.dumps({"dataset": dataset.name, **key.to_json()}).encode()
    work = _Work(dataset, window, quality, folder, kept)
    total = len(work.parts())
    with FileLock(folder / IN_USE, shared=True):
        with FileLock(folder / "table.lock"):  # who holds it sweeps away what others are writing
            atomic_write(folder / ABOUT, about)
        for done, _ in enumerate(_made(work, workers), start=1):
            make_room(limit_bytes, folder, share=done / total)
            if progress is not None:
                progress(done, total)
        with FileLock(folder / "table.lock"):
            if not (folder / TABLE).is_dir():
                sweep_temporaries(folder)
                _require_alike(work)
                write_table(folder, work.parts(), quality)
                for part in work.parts():
                    (folder / PARTS / part / "numbers.npz").unlink()
    return folder


@dataclass(frozen=True)
class _Work:
    """What a process needs to make any part."""

    dataset: Reader
    window: Window
    quality: int
    folder: Path
    keys: tuple[str, ...]

    def parts(self) -> list[str]:
        return [f"{number:05d}" for number in range(-(-len(self.keys) // EPISODES_PER_PART))]

    def make(self, part: str, *, wait: bool) -> bool:
        """Make a part unless it is there; False: another process is at it."""
        place = self.folder / PARTS / part
        lock = FileLock(place.with_suffix(".lock"))
        try:
            lock.acquire(wait=wait)
        except StoreError:
            return False
        try:
            if not place.is_dir():
                first = int(part) * EPISODES_PER_PART
                with atomic_directory(place) as made:
                    keys = self.keys[first : first + EPISODES_PER_PART]
                    write_part(self.dataset, keys, self.window, self.quality, made)
        finally:
            lock.release()
        return True


def _made(work: _Work, workers: int) -> Iterator[str]:
    """Every part as soon as it is there; those that other processes make come last."""
    busy: list[str] = []
    if not workers:
        for part in work.parts():
            if work.make(part, wait=False):
                yield part
            else:
                busy.append(part)
    else:
        missing = [p for p in work.parts() if not (work.folder / PARTS / p).is_dir()]
        yield from (p for p in work.parts() if p not in set(missing))
        pool = process_pool(workers, _begin, to_send(work, f"dataset {work.dataset.name}"))
        try:
            for part, done in zip(missing, pool.map(_make, missing), strict=True):
                if done:
                    yield part
                else:
                    busy.append(part)
        finally:
            pool.shutdown(cancel_futures=True)
    for part in busy:
        work.make(part, wait=True)
        yield part


def _require_alike(work: _Work) -> None:
    """All parts hold the same streams."""
    first: dict[str, Any] | None = None
    for part in work.parts():
        about = json.loads((work.folder / PARTS / part / "part.json").read_bytes())
        first = first or about
        for name, spec in about["specs"].items():
            kinds = [(s["dtype"], s["shape"], s["alignment"]) for s in (spec, first["specs"][name])]
            if kinds[0] != kinds[1]:
                raise ShapeError(
                    f"expected {kinds[1]} as in episode {first['keys'][0]}, got {kinds[0]}",
                    episode=about["keys"][0],
                    stream=name,
                )


_work: _Work | None = None


def _begin(sent: bytes) -> None:
    global _work
    _work = pickle.loads(sent)


def _make(part: str) -> bool:
    assert _work is not None
    return _work.make(part, wait=False)
