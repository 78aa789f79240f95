"""What a dataset reader is, and how a path becomes one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from robocache.core.episode import Episode
from robocache.core.errors import ConfigError, CorruptFileError, DataError, unknown_name


@runtime_checkable
class Reader(Protocol):
    """Episodes of one dataset, whatever its format on disk.

    Attributes:
        name: name of the dataset.
        path: where it lies.
        fingerprint: sha256 of its content; equal content has an equal fingerprint.
    """

    name: str
    path: Path

    @property
    def fingerprint(self) -> str: ...

    def keys(self) -> list[str]:
        """Keys of the readable episodes, in a fixed order."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, key: int | str) -> Episode:
        """One episode by position or key.

        Raises:
            DataError: naming file, episode and stream.
        """
        ...

    def problems(self) -> Iterator[DataError]:
        """Everything wrong with the dataset; reads all of it, never stops at the first."""
        ...

    def report(self) -> dict[str, Any]:
        """What the dataset holds, for people."""
        ...


FORMATS = ("auto", "episodes", "lerobot")


def open_dataset(path: str | Path, format: str = "auto") -> Reader:
    """Open a dataset as it lies on disk.

    Args:
        path: folder of the dataset.
        format: `episodes` (this project's Parquet shards), `lerobot` (v2.0, v2.1), or `auto`.

    Raises:
        ConfigError: no such folder, unknown format, or not recognised.
    """
    if format not in FORMATS:
        raise unknown_name("dataset format", format, FORMATS)
    folder = Path(path)
    if not folder.is_dir():
        raise ConfigError(f"dataset {folder} is not a folder")
    if format == "auto":
        format = detect_format(folder)
    if format == "lerobot":
        from robocache.datasets.lerobot import LeRobotDataset

        return LeRobotDataset(folder)
    from robocache.datasets.episodes import EpisodeStore

    return EpisodeStore(folder)


def detect_format(folder: Path) -> str:
    """The format of a dataset folder, judged by the files that only this format has.

    Raises:
        ConfigError: none of them is there.
        CorruptFileError: one is there, but unreadable.
    """
    info = folder / "meta" / "info.json"
    try:
        if info.is_file() and "codebase_version" in json.loads(info.read_text()):
            return "lerobot"
    except ValueError as error:
        raise CorruptFileError(f"not readable as JSON ({error})", file=info) from error
    if next(folder.glob("*.episodes.parquet"), None) is not None:
        return "episodes"
    raise ConfigError(
        f"{folder} is not a known dataset: expected meta/info.json (LeRobot) or "
        f"*.episodes.parquet (RoboCache episodes)"
    )
