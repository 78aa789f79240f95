"""Which episodes of a dataset cannot be read, found in a process that a damaged file may end.

An episode is damaged where reading it raises, or where a stream that is needed is missing, not
sound, or holds a picture that cannot be decoded: wherever training on it would stop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from robocache.core.errors import CorruptFileError, DataError
from robocache.datasets.aligned import checked_stream
from robocache.datasets.damaged_kept import KeptFaults
from robocache.datasets.guarded import SECONDS, decode_all, guarded
from robocache.datasets.reader import Reader

Progress = Callable[[int, int], None]
"""Called with episodes done, and episodes in all."""


@dataclass(frozen=True)
class Needed:
    """What must be readable of an episode.

    Attributes:
        streams: by name; None: all that it has.
        pictures: whether pictures are looked at, too.
    """

    streams: tuple[str, ...] | None = None
    pictures: bool = True

    def video(self, stream: str) -> bool:
        """Whether the pictures of a stream are needed."""
        return self.pictures and (self.streams is None or stream in self.streams)


EVERYTHING = Needed()


class Looked(NamedTuple):
    """An episode that was looked at, of how many, and why it cannot be read; None: it can."""

    key: str
    of: int
    fault: DataError | None


def find_faults(
    opener: Callable[[], Reader],
    place: Path,
    needed: Needed,
    progress: Progress | None = None,
    *,
    how: Sequence[Any] = (),
    seconds: float = SECONDS,
) -> dict[str, DataError | None]:
    """Key -> why an episode cannot be read, or None, of every episode that was looked at.

    Files that end the process are refused from then on by all readers of this one. The result is
    kept below the home until a file of the dataset changes; what a stopped search found, too.

    Args:
        opener: opens the dataset; can be sent to another process.
        place: where its files lie.
        needed: what must be readable.
        progress: told how far it is.
        how: how the dataset is opened, as plain data.
        seconds: that a library may take for one file at once.

    Raises:
        RoboCacheError: as `opener`.
        CorruptFileError: the process ended, and no file can be blamed.
    """
    kept = KeptFaults(place, [*how, needed.streams, needed.pictures])
    if kept.complete:
        return kept.faults
    ended: CorruptFileError | None = None
    search = guarded(_look_over, place, opener, needed, kept.faults, seconds=seconds)
    try:
        for found in search:
            if isinstance(found, CorruptFileError):
                ended = found
            elif found.key:
                kept.add(found.key, found.fault)
                if progress is not None:
                    progress(len(kept.faults), found.of)
            else:
                kept.complete = True
    finally:
        kept.write()
    if not kept.complete:
        raise ended or CorruptFileError("not all of it was looked at", file=place)
    return kept.faults


def _look_over(
    _: Path,
    opener: Callable[[], Reader],
    needed: Needed,
    known: Mapping[str, DataError | None],
) -> Iterator[Looked]:
    """Every episode that is not known yet, then an end without a key."""
    dataset = opener()
    keys = dataset.keys()
    for key in keys:
        if key not in known:
            yield Looked(key, len(keys), fault(dataset, key, needed))
    yield Looked("", len(keys), None)


def fault(dataset: Reader, key: str, needed: Needed) -> DataError | None:
    """Why an episode cannot be read as it is needed; None: it can."""
    try:
        episode = dataset[key]
        for name in sorted(episode.streams) if needed.streams is None else needed.streams:
            stream = checked_stream(episode, name, like=None)
            if needed.pictures and not isinstance(stream.values, np.ndarray):
                try:
                    decode_all(stream.values)
                except DataError as error:
                    return error.located(episode=key, stream=name)
    except DataError as error:
        return error.located(episode=key)
    return None
