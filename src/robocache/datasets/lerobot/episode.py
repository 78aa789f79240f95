"""One episode of a LeRobot folder: from its rows and videos to streams."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from robocache.core.episode import Episode, Outcome, Provenance
from robocache.core.errors import CorruptFileError, DataError, ShapeError, TimesError
from robocache.core.stream import FrameArray, Stream, StreamSpec
from robocache.datasets.columns import samples
from robocache.datasets.episode_record import parse_history
from robocache.datasets.lerobot.info import BOOKKEEPING, EpisodeRow, Info
from robocache.datasets.lerobot.kept import KeptStream
from robocache.datasets.modality import Part
from robocache.datasets.video import VideoFrames

KNOWN_LATER = ("action", "next.")  # features known one step after their frame begin with these


class Folder(Protocol):
    """What the two layouts, `FolderV2` and `FolderV3`, have in common."""

    root: Path
    info: Info
    tasks: Mapping[int, str]
    problems: list[DataError]
    lost: list[DataError]
    tasks_file: str
    episodes_file: str

    def listed(self) -> list[int]: ...
    def readable(self) -> list[int]: ...
    def row(self, index: int) -> EpisodeRow: ...
    def frames_listed(self) -> int | None: ...
    def data_file(self, index: int) -> Path: ...
    def files(self, index: int) -> list[Path]: ...
    def read(self, index: int, columns: list[str]) -> pa.Table: ...
    def column_types(self, index: int) -> dict[str, str]: ...
    def video(self, name: str, index: int, rows: int) -> VideoFrames | None: ...
    def missing_video(self, name: str, index: int) -> Path | None: ...
    def images(self, name: str, index: int) -> Any: ...
    def content_files(self) -> tuple[list[Path], list[Path]]: ...
    def absent_cameras(self) -> set[str]: ...
    def layout_problems(self) -> Iterator[DataError]: ...
    def episode_problems(self, index: int, rows: int) -> Iterator[DataError]: ...


@dataclass(frozen=True)
class Source:
    """A LeRobot folder that has been looked through.

    Attributes:
        name: name of the dataset.
        folder: its files.
        parts: what `meta/modality.json` names.
        kept: stream name -> what `write_lerobot` kept of it beyond LeRobot's own.
    """

    name: str
    folder: Folder
    parts: list[Part]
    kept: Mapping[str, KeptStream]


def read_episode(source: Source, index: int, key: str) -> tuple[Episode, list[DataError]]:
    """An episode, and everything wrong with it; streams that are wrong are not in it.

    Features without a column or video are left out and are not counted as wrong here.

    Raises:
        CorruptFileError: the Parquet file cannot be read.
    """
    folder = source.folder
    path = folder.data_file(index)
    wrong: list[DataError] = []
    try:
        table = folder.read(index, _columns(source))
    except DataError as error:
        raise error.located(episode=key) from error

    values: dict[str, FrameArray] = {}
    origins: dict[str, str] = {}
    wanted = [(name, name) for name in folder.info.features if name not in BOOKKEEPING]
    wanted += [(part.name, part.source) for part in source.parts]
    parts = {part.name: part for part in source.parts}
    for name, origin in wanted:
        try:
            found = (
                _part(parts[name], values, table)
                if name in parts
                else _feature(source, name, index, table)
            )
        except DataError as error:
            wrong.append(error.located(file=path, episode=key, stream=name))
            continue
        if found is not None:
            values[name], origins[name] = found, origin
    wrong += [error.located(file=path, episode=key) for error in _clock_problems(table)]
    streams = _streams(source, table.num_rows, values, origins)
    try:
        return _episode(source, index, key, table, streams), wrong
    except DataError as error:
        raise error.located(file=path, episode=key) from error


def _streams(
    source: Source, rows: int, values: Mapping[str, FrameArray], origins: Mapping[str, str]
) -> dict[str, Stream]:
    rate_hz = source.folder.info.rate_hz
    times = np.arange(rows, dtype=np.float64) / rate_hz
    later = (np.arange(rows) + 1) / rate_hz  # exactly the time of the next frame
    streams = {}
    for name, array in values.items():
        spec = StreamSpec(
            shape=tuple(array.shape[1:]),
            dtype=array.dtype.name,
            rate_hz=rate_hz,
            clock="synthetic",
        )
        available = later if origins[name].startswith(KNOWN_LATER) else None
        if name in source.kept:
            streams[name] = source.kept[name].restore(array, times, spec, available)
        else:
            streams[name] = Stream(array, times, spec, available)
    return streams


def _episode(
    source: Source, index: int, key: str, table: pa.Table, streams: Mapping[str, Stream]
) -> Episode:
    folder = source.folder
    row = folder.row(index)
    instruction = row.instruction or _first_task(folder, table)
    rewards = streams.get("next.reward")
    outcome = Outcome(
        steps=table.num_rows, reward=None if rewards is None else float(np.sum(rewards.values[:]))
    )
    provenance = Provenance(
        dataset=source.name,
        source=folder.data_file(index).relative_to(folder.root).as_posix(),
        task=instruction,
        index=index,
    )
    start_ns = 0
    if row.record is not None:
        try:
            outcome, provenance = parse_history(row.record)
            instruction = str(row.record["instruction"])
            start_ns = int(row.record["start_ns"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CorruptFileError(
                f"what {folder.episodes_file} keeps of its outcome is not readable ({error!r})"
            ) from error
    return Episode(key, streams, instruction, outcome, provenance, start_ns)


def _columns(source: Source) -> list[str]:
    """The columns an episode is made of, encoded images left out."""
    features = source.folder.info.features
    names = [*BOOKKEEPING, *features, *(part.source for part in source.parts)]
    return [
        name
        for name in dict.fromkeys(names)
        if name not in features or features[name].dtype not in ("image", "video")
    ]


def _feature(source: Source, name: str, index: int, table: pa.Table) -> FrameArray | None:
    """Samples of a feature; None: it is not there, or is text."""
    folder = source.folder
    feature = folder.info.features[name]
    if feature.dtype == "video":
        return folder.video(name, index, table.num_rows)
    if feature.dtype == "image":
        frames: FrameArray | None = folder.images(name, index)
        return frames
    if feature.dtype == "string" or name not in table.column_names:
        return None
    exact = name in source.kept and source.kept[name].spec.dtype == "float64"
    return samples(table[name], feature.shape, np.float64 if exact else np.float32)


def _part(part: Part, values: Mapping[str, FrameArray], table: pa.Table) -> FrameArray | None:
    """Samples of a part named by modality.json; None: its source is not there."""
    whole = values.get(part.source)
    if part.kind == "annotation" and whole is None and part.source in table.column_names:
        return samples(table[part.source], (1,))
    if whole is None or part.end is None:
        return whole
    width = whole.shape[-1]
    if part.end > width:
        raise ShapeError(
            f"modality.json takes {part.start}..{part.end} of {part.source!r}, which has {width}"
        )
    return np.ascontiguousarray(whole[..., part.start : part.end])


def _clock_problems(table: pa.Table) -> Iterator[DataError]:
    """What is wrong with the columns that number and time the rows."""
    if table.num_rows == 0:
        yield TimesError("has no rows")
    for name in ("timestamp", "frame_index"):
        if name not in table.column_names:
            continue
        try:
            ticks = samples(table[name], (), np.float64)
        except DataError as error:
            yield error.located(stream=name)
            continue
        yield from _tick_problems(name, ticks)


def _tick_problems(name: str, ticks: NDArray[np.generic]) -> Iterator[DataError]:
    numbered = name == "frame_index"
    bad = ticks != np.arange(len(ticks)) if numbered else np.diff(ticks, prepend=-np.inf) <= 0
    if bad.any():
        row = int(np.argmax(bad))
        rule = "must count 0, 1, 2, ..." if numbered else "must increase strictly"
        before = f", after {ticks[row - 1]}" if row else ""
        yield TimesError(f"{name} {rule}: row {row} holds {ticks[row]}{before}", stream=name)


def _first_task(folder: Folder, table: pa.Table) -> str:
    """Words of the task of the first row; "" when it has none."""
    if "task_index" not in table.column_names or table.num_rows == 0:
        return ""
    first = table["task_index"][0].as_py()
    return folder.tasks.get(first, "") if isinstance(first, int) else ""
