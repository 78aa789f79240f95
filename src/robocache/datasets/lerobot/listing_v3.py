"""meta/episodes of a LeRobot v3.0 folder, read by column: what is listed, and in which files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from robocache.core.errors import CorruptFileError, DataError
from robocache.datasets.columns import read_columns
from robocache.datasets.lerobot.info import EpisodeRow
from robocache.datasets.lerobot.paths import require_content

KEY_COLUMN = "robocache/key"
RECORD_COLUMN = "robocache/episode"
LARGEST_NUMBER = 1e12  # numbers of files and times beyond are damage
_NUMBERS = ("length", "data/chunk_index", "data/file_index", "dataset_from_index")


def numbered_key(index: int) -> str:
    """Key of an episode that has none of its own."""
    return f"episode_{index:06d}"


def is_numbered(key: str) -> bool:
    return re.fullmatch(r"episode_\d+", key) is not None


class VideoPlace(NamedTuple):
    """Where a camera's frames of an episode lie: file, and seconds from its first frame."""

    chunk: int
    file: int
    from_s: float
    to_s: float


@dataclass
class Listing:
    """The listed episodes as columns; nothing is made of an episode until it is asked for.

    Attributes:
        indices: (N,) int64 episode numbers, increasing.
        numbers: column -> (N,) int64; -1 where it is not given.
        videos: camera -> (N, 4) float64 chunk, file, from and to seconds; NaN where not given.
        problems: what was wrong in the files but could be read around.
        lost: those of them for which episodes are not listed.
    """

    indices: NDArray[np.int64]
    numbers: Mapping[str, NDArray[np.int64]]
    videos: Mapping[str, NDArray[np.float64]]
    problems: list[DataError] = field(default_factory=list)
    lost: list[DataError] = field(default_factory=list)
    texts: pa.Table | None = None
    order: NDArray[np.int64] | None = None

    def place(self, index: int) -> int:
        """Position of an episode in the columns."""
        return int(np.searchsorted(self.indices, index))

    def number(self, name: str, index: int) -> int:
        return int(self.numbers[name][self.place(index)])

    def row(self, index: int) -> EpisodeRow:
        length = self.number("length", index)
        tasks = self._text("tasks", index)
        record = self._text(RECORD_COLUMN, index)
        try:
            kept = None if record is None else json.loads(record)
        except (TypeError, ValueError, RecursionError):
            kept = None
        if isinstance(tasks, str):
            tasks = [tasks]
        return EpisodeRow(
            tasks=tuple(str(task) for task in tasks or () if task is not None),
            length=None if length < 0 else length,
            record=kept if isinstance(kept, dict) else None,
        )

    @cached_property
    def keys(self) -> Mapping[int, str]:
        """Episode number -> key, of those that were written with one of their own."""
        if self.texts is None or KEY_COLUMN not in self.texts.column_names:
            return {}
        try:
            names = self.texts[KEY_COLUMN].to_pylist()
        except UnicodeDecodeError:
            return {}
        order = np.arange(len(names)) if self.order is None else self.order
        pairs = zip(self.indices.tolist(), order.tolist(), strict=True)
        keys = {index: str(names[at]) for index, at in pairs if names[at]}
        odd = len(set(keys.values())) < len(keys) or any(map(is_numbered, keys.values()))
        return {} if odd else keys

    def video(self, camera: str, index: int) -> VideoPlace | None:
        """Where a camera's frames are; None when it is not given."""
        if camera not in self.videos:
            return None
        chunk, file, from_s, to_s = self.videos[camera][self.place(index)].tolist()
        if not (np.abs([chunk, file, from_s, to_s]) < LARGEST_NUMBER).all():  # nor NaN
            return None
        return VideoPlace(int(chunk), int(file), from_s, to_s)

    def _text(self, name: str, index: int) -> Any:
        if self.texts is None or self.order is None or name not in self.texts.column_names:
            return None
        try:
            return self.texts[name][int(self.order[self.place(index)])].as_py()
        except UnicodeDecodeError:
            return None


def read_listing(root: Path, cameras: list[str]) -> Listing:
    """Read all files below `root/meta/episodes`; statistics are left on disk."""
    problems: list[DataError] = []
    folder = root / "meta" / "episodes"
    wanted = ["episode_index", "tasks", KEY_COLUMN, RECORD_COLUMN, *_NUMBERS]
    wanted += [f"videos/{camera}/{name}" for camera in cameras for name in _VIDEO]
    tables = []
    for path in sorted(folder.rglob("*.parquet")):
        try:
            require_content(path)
            table = read_columns(path, wanted)
            if "episode_index" not in table.column_names:
                raise CorruptFileError("has no column episode_index", file=path)
            tables.append(table)
        except DataError as error:
            problems.append(error)
    if not tables:
        problems = problems or [CorruptFileError("no Parquet file lists any episode", file=folder)]
        none = {n: np.zeros(0, np.int64) for n in _NUMBERS}
        return Listing(np.zeros(0, np.int64), none, {}, problems, list(problems))
    try:
        table = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        problems.append(CorruptFileError(f"its files do not fit together ({error})", file=folder))
        table = tables[0]
    return _listing(table, cameras, folder, problems)


_VIDEO = ("chunk_index", "file_index", "from_timestamp", "to_timestamp")


def _listing(
    table: pa.Table, cameras: list[str], folder: Path, problems: list[DataError]
) -> Listing:
    def column(name: str) -> NDArray[np.float64]:
        """(N,) float64, NaN where there is no number."""
        missing = np.full(table.num_rows, np.nan)
        if name not in table.column_names:
            return missing
        try:
            numbers = table[name].cast(pa.float64(), safe=False).to_numpy()
        except (pa.ArrowException, NotImplementedError) as error:
            problems.append(CorruptFileError(f"column {name}: {error}", file=folder))
            return missing
        return np.asarray(numbers, np.float64)

    def whole(name: str) -> NDArray[np.int64]:
        numbers = column(name)
        bad = ~(np.isfinite(numbers) & (numbers >= 0) & (numbers < 2**52))
        if bad.any():
            problems.append(
                CorruptFileError(
                    f"{name} is missing, or not a number from 0, in row {int(np.argmax(bad))}",
                    file=folder,
                )
            )
        return np.where(bad, -1, np.nan_to_num(numbers)).astype(np.int64)

    indices = whole("episode_index")
    lost = list(problems)
    order = np.argsort(indices, kind="stable")
    order = order[indices[order] >= 0]
    again = np.diff(indices[order], prepend=-1) == 0
    if again.any():
        problems.append(
            CorruptFileError(
                "lists it more than once; the first row is used",
                file=folder,
                episode=int(indices[order][again][0]),
            )
        )
    order = order[~again]
    videos = {
        camera: np.stack([column(f"videos/{camera}/{name}") for name in _VIDEO], axis=1)[order]
        for camera in cameras
        if f"videos/{camera}/file_index" in table.column_names
    }
    texts = [n for n in ("tasks", KEY_COLUMN, RECORD_COLUMN) if n in table.column_names]
    numbers = {name: whole(name)[order] for name in _NUMBERS}
    return Listing(indices[order], numbers, videos, problems, lost, table.select(texts), order)


def read_tasks(path: Path, problems: list[DataError]) -> dict[int, str]:
    """Task index -> words of meta/tasks.parquet; the words are its first column of text."""
    try:
        require_content(path)
        table = read_columns(path)
    except DataError as error:
        problems.append(error)
        return {}
    words = [f.name for f in table.schema if _is_text(f.type)]
    if "task_index" not in table.column_names or not words:
        problems.append(
            CorruptFileError(
                f"expected task_index and a column of text, got {table.column_names}", file=path
            )
        )
        return {}
    try:
        rows = list(zip(table["task_index"].to_pylist(), table[words[0]].to_pylist(), strict=True))
    except UnicodeDecodeError as error:
        problems.append(CorruptFileError(f"its words are not text ({error})", file=path))
        return {}
    return {index: str(text or "") for index, text in rows if isinstance(index, int)}


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
