"""Why episodes cannot be read, kept below the home while no file of their dataset changes.

A file holds the faults of one dataset as it was read once, after a sha256 of what follows. One that
is damaged is as good as none, and all may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from robocache import __version__
from robocache.core import errors
from robocache.core.errors import DataError, StorageError
from robocache.datasets.episode_files import folder_state
from robocache.datasets.native import refuse, refused
from robocache.runs import atomic_write, home

WRITE_EVERY = 1000
"""Episodes; after so many what is known so far is written."""


class KeptFaults:
    """The faults of the episodes of a dataset; files that ended a process are refused again.

    Args:
        place: the folder or file of the dataset.
        reading: how it is read, and what of it, as plain data.

    Attributes:
        faults: key -> why an episode cannot be read, or None.
        complete: whether every episode is among them.
    """

    def __init__(self, place: Path, reading: Sequence[Any]) -> None:
        self.faults: dict[str, DataError | None] = {}
        self.complete = False
        self._place = Path(os.path.abspath(place))
        self._file: Path | None = None
        self._written = 0
        state = folder_state(place)
        if state is not None:
            told = json.dumps([__version__, state, list(reading)], default=str)
            digest = hashlib.sha256(told.encode()).hexdigest()
            self._file = home() / "cache" / "damage" / f"{digest[:32]}.json"
            self._load(self._file)

    def add(self, key: str, fault: DataError | None) -> None:
        """Keep what was found of an episode."""
        self.faults[key] = fault
        if len(self.faults) - self._written >= WRITE_EVERY:
            self.write()

    def write(self) -> None:
        """Write what is known; nothing where a file of the dataset just changed."""
        self._written = len(self.faults)
        if self._file is None or not self.faults:
            return
        known = {key: None if e is None else to_json(e) for key, e in self.faults.items()}
        mine = {path: why for path, why in refused().items() if self._holds(path)}
        content = json.dumps({"complete": self.complete, "faults": known, "refused": mine}).encode()
        digest = hashlib.sha256(content).hexdigest()
        with suppress(StorageError):  # a home that cannot be written to only costs time
            atomic_write(self._file, digest.encode() + b"\n" + content)

    def _load(self, file: Path) -> None:
        try:
            digest, _, content = file.read_bytes().partition(b"\n")
        except OSError:
            return
        if hashlib.sha256(content).hexdigest().encode() != digest:
            return
        kept = json.loads(content)
        self.faults = {k: None if e is None else from_json(e) for k, e in kept["faults"].items()}
        self.complete = kept["complete"]
        for path, why in kept["refused"].items():
            refuse(path, why)

    def _holds(self, path: str) -> bool:
        return Path(path) == self._place or self._place in Path(path).parents


def to_json(error: DataError) -> dict[str, Any]:
    """What is wrong and where, as plain data."""
    return {
        "file": error.file,
        "episode": error.episode,
        "stream": error.stream,
        "kind": type(error).__name__,
        "problem": error.problem,
    }


def from_json(told: dict[str, Any]) -> DataError:
    """The error that `to_json` told of."""
    kind: type[DataError] = getattr(errors, told["kind"], DataError)
    return kind(told["problem"], **{name: told[name] for name in ("file", "episode", "stream")})
