"""One episode of a LeRobot v2 folder: from its Parquet file and videos to streams."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from robocache.core.episode import Episode, Outcome, Provenance
from robocache.core.errors import CorruptFileError, DataError, ShapeError, TimesError
from robocache.core.stream import FrameArray, Stream, StreamSpec
from robocache.datasets.columns import column_types, read_columns, samples
from robocache.datasets.images import ImageColumn
from robocache.datasets.lerobot_meta import EpisodeRow, Feature, Files, Meta
from robocache.datasets.modality import Part
from robocache.datasets.video import VideoFrames

BOOKKEEPING = ("timestamp", "frame_index", "episode_index", "index", "task_index")
KNOWN_LATER = ("action", "next.")  # features known one step after their frame begin with these


@dataclass(frozen=True)
class Folder:
    """A LeRobot v2 folder that has been looked through.

    Attributes:
        name: name of the dataset.
        root: the folder.
        meta: what `meta/` says.
        files: where the files lie.
        parts: what `meta/modality.json` names.
        listed: episode index -> EpisodeRow, of every episode that should be there.
    """

    name: str
    root: Path
    meta: Meta
    files: Files
    parts: list[Part]
    listed: Mapping[int, EpisodeRow]


def episode_key(index: int) -> str:
    return f"episode_{index:06d}"


def read_episode(folder: Folder, index: int) -> tuple[Episode, list[DataError]]:
    """An episode, and everything wrong with it; streams that are wrong are not in it.

    Features without a column or video are left out and are not counted as wrong here.

    Raises:
        CorruptFileError: the Parquet file cannot be read.
    """
    key, path = episode_key(index), folder.files.table(index)
    if path is None:
        expected = folder.files.expected_table(index)
        raise CorruptFileError("listed, but has no Parquet file", file=expected, episode=key)
    wrong: list[DataError] = []
    try:
        table = read_columns(path, _columns(folder))
    except DataError as error:
        raise error.located(episode=key) from error

    values: dict[str, FrameArray] = {}
    sources: dict[str, str] = {}
    wanted = [(name, name) for name in folder.meta.features if name not in BOOKKEEPING]
    wanted += [(part.name, part.source) for part in folder.parts]
    parts = {part.name: part for part in folder.parts}
    for name, source in wanted:
        try:
            found = (
                _part(parts[name], values, table)
                if name in parts
                else _feature(folder, name, index, path, table)
            )
        except DataError as error:
            wrong.append(error.located(file=path, episode=key, stream=name))
            continue
        if found is not None:
            values[name], sources[name] = found, source
    wrong += [error.located(file=path, episode=key) for error in _clock_problems(table)]
    return _episode(folder, index, path, table, values, sources), wrong


def _episode(
    folder: Folder,
    index: int,
    path: Path,
    table: pa.Table,
    values: Mapping[str, FrameArray],
    sources: Mapping[str, str],
) -> Episode:
    rate_hz = folder.meta.rate_hz
    times = np.arange(table.num_rows, dtype=np.float64) / rate_hz
    later = (np.arange(len(times)) + 1) / rate_hz  # exactly the time of the next frame
    streams = {
        name: Stream(
            values=array,
            times_s=times,
            spec=StreamSpec(
                shape=tuple(array.shape[1:]),
                dtype=array.dtype.name,
                rate_hz=rate_hz,
                clock="synthetic",
            ),
            available_s=later if sources[name].startswith(KNOWN_LATER) else None,
        )
        for name, array in values.items()
    }
    instruction = folder.listed[index].instruction or _first_task(folder, table)
    rewards = values.get("next.reward")
    return Episode(
        key=episode_key(index),
        streams=streams,
        instruction=instruction,
        outcome=Outcome(
            steps=table.num_rows, reward=None if rewards is None else float(np.sum(rewards[:]))
        ),
        provenance=Provenance(
            dataset=folder.name,
            source=path.relative_to(folder.root).as_posix(),
            task=instruction,
            index=index,
        ),
    )


def _columns(folder: Folder) -> list[str]:
    """The columns an episode is made of, encoded images left out."""
    features = folder.meta.features
    names = [*BOOKKEEPING, *features, *(part.source for part in folder.parts)]
    return [
        name
        for name in dict.fromkeys(names)
        if name not in features or features[name].dtype not in ("image", "video")
    ]


def _feature(
    folder: Folder, name: str, index: int, path: Path, table: pa.Table
) -> FrameArray | None:
    """Samples of a feature; None: it is not there, or is text."""
    feature: Feature = folder.meta.features[name]
    if feature.dtype == "video":
        video = folder.files.video(name, index)
        return None if video is None else _video(video, table.num_rows)
    if feature.dtype == "image":
        there = name in column_types(path)
        return ImageColumn(path, name, table.num_rows, folder.root) if there else None
    if feature.dtype == "string" or name not in table.column_names:
        return None
    return samples(table[name], feature.shape)


def _video(path: Path, rows: int) -> VideoFrames:
    frames = VideoFrames(path)
    if len(frames) != rows:
        raise TimesError(f"{len(frames)} frames, but its Parquet file has {rows} rows", file=path)
    return frames


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
    return folder.meta.tasks.get(first, "") if isinstance(first, int) else ""
