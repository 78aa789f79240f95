"""Where a LeRobot folder does not hold what its metadata promise."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from robocache.core.episode import Episode
from robocache.core.errors import (
    CorruptFileError,
    DataError,
    MissingStreamError,
    ShapeError,
    TimesError,
)
from robocache.datasets.columns import samples
from robocache.datasets.lerobot.episode import Source, read_episode
from robocache.datasets.lerobot.info import BOOKKEEPING
from robocache.datasets.video import VideoFrames


def all_problems(source: Source, key: Callable[[int], str]) -> Iterator[DataError]:
    """Everything wrong with a folder; every file is opened, no video is decoded."""
    folder = source.folder
    yield from folder.problems
    yield from _wrong_totals(source)
    yield from folder.layout_problems()
    for name in sorted(folder.absent_cameras()):
        yield MissingStreamError(
            "a video feature without a video in any episode", file=folder.info.path, stream=name
        )
    whole = set(folder.readable())
    mislabelled: set[str] = set()
    for index in folder.listed():
        if index not in whole:
            if folder.info.version != "v3.0":
                yield CorruptFileError(
                    "listed, but has no Parquet file",
                    file=folder.data_file(index),
                    episode=key(index),
                )
            continue
        try:
            episode, wrong = read_episode(source, index, key(index))
            yield from wrong
            told = {error.stream for error in wrong}
            for problem in _broken_promises(source, index, episode):
                if problem.stream is None or problem.stream not in told:
                    yield problem.located(file=folder.data_file(index), episode=key(index))
            yield from _mislabelled(source, episode, mislabelled)
        except DataError as error:
            yield error.located(file=folder.data_file(index), episode=key(index))


def _wrong_totals(source: Source) -> Iterator[DataError]:
    """Totals in info.json that differ from what is listed."""
    folder = source.folder
    found = {
        "total_episodes": len(folder.listed()),
        "total_frames": folder.frames_listed(),
        "total_tasks": len(folder.tasks),
    }
    for name, count in found.items():
        told = folder.info.raw.get(name)
        if told is not None and count is not None and told != count:
            yield CorruptFileError(
                f"{name} is {told}, but there are {count}", file=folder.info.path
            )


def _broken_promises(source: Source, index: int, episode: Episode) -> Iterator[DataError]:
    """What the metadata say of an episode and is not so."""
    folder = source.folder
    path = folder.data_file(index)
    rows = next((len(stream) for stream in episode.streams.values()), 0)
    yield from folder.episode_problems(index, rows)
    columns = folder.column_types(index)
    for name, feature in folder.info.features.items():
        if feature.dtype != "video" and name not in columns:
            yield MissingStreamError(
                "declared in meta/info.json, but there is no such column", file=path, stream=name
            )
    for part in source.parts:
        if part.name not in episode.streams and part.source not in folder.info.features:
            yield MissingStreamError(
                f"meta/modality.json takes it from {part.source!r}, which is not a feature",
                file=path,
                stream=part.name,
            )
    yield from _wrong_images(source, index, episode)
    yield from _wrong_rows(source, index)


def _wrong_images(source: Source, index: int, episode: Episode) -> Iterator[DataError]:
    """Pictures of another size than info.json says (in either order of axes)."""
    for name, feature in source.folder.info.features.items():
        if feature.dtype not in ("video", "image") or name not in episode.streams:
            continue
        shape = episode.streams[name].spec.shape
        height, width, colours = shape if len(shape) == 3 else (*shape, 1)
        if feature.shape not in ((height, width, colours), (colours, height, width), ()):
            yield ShapeError(
                f"meta/info.json says {feature.shape}, the frames are {(height, width, colours)}",
                file=source.folder.data_file(index),
                stream=name,
            )


def _mislabelled(source: Source, episode: Episode, told: set[str]) -> Iterator[DataError]:
    """Videos of another codec than info.json says; each camera once."""
    for name, feature in source.folder.info.features.items():
        stream = episode.streams.get(name)
        if feature.codec is None or stream is None or name in told:
            continue
        if isinstance(stream.values, VideoFrames) and stream.values.index.codec != feature.codec:
            told.add(name)
            yield CorruptFileError(
                f"meta/info.json says codec {feature.codec!r}, the file is "
                f"{stream.values.index.codec!r} (it is read all the same)",
                file=stream.values.path,
                stream=name,
            )


def _wrong_rows(source: Source, index: int) -> Iterator[DataError]:
    """Timestamps that do not run at the declared rate, and tasks that nobody named."""
    folder = source.folder
    path, rate_hz = folder.data_file(index), folder.info.rate_hz
    table = folder.read(index, list(BOOKKEEPING))
    if "timestamp" in table.column_names and table.num_rows:
        times = samples(table["timestamp"], (), np.float64)
        period = 1.0 / rate_hz
        drift = np.abs(times - times[0] - np.arange(len(times)) * period)
        if drift.max() > period / 2:
            row = int(np.argmax(drift > period / 2))
            yield TimesError(
                f"timestamps do not run at {rate_hz} Hz: row {row} is "
                f"{drift[row]:.4f} s away from frame_index / fps, which is used",
                file=path,
                stream="timestamp",
            )
    if "task_index" in table.column_names:
        indices = samples(table["task_index"], ())
        unknown = set(indices.tolist()) - set(folder.tasks)
        if unknown:
            yield CorruptFileError(
                f"task_index {sorted(map(str, unknown))} is not in {folder.tasks_file}", file=path
            )
