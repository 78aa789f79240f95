"""Where a LeRobot v2 folder does not hold what its metadata promise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from robocache.core.episode import Episode
from robocache.core.errors import (
    CorruptFileError,
    DataError,
    MissingStreamError,
    ShapeError,
    TimesError,
)
from robocache.datasets.columns import column_types, read_columns, samples
from robocache.datasets.lerobot_episode import BOOKKEEPING, Folder, episode_key, read_episode


def all_problems(folder: Folder) -> Iterator[DataError]:
    """Everything wrong with a folder; every file is opened, no video is decoded."""
    yield from folder.meta.problems
    yield from _wrong_totals(folder)
    yield from _features_without_any_file(folder)
    yield from _files_without_episode(folder)
    for index in folder.listed:
        key = episode_key(index)
        try:
            episode, wrong = read_episode(folder, index)
            yield from wrong
            told = {error.stream for error in wrong}
            for problem in _broken_promises(folder, index, episode):
                if problem.stream is None or problem.stream not in told:
                    yield problem.located(episode=key)
        except DataError as error:
            yield error.located(episode=key)


def _info(folder: Folder) -> Path:
    return folder.root / "meta" / "info.json"


def _wrong_totals(folder: Folder) -> Iterator[DataError]:
    """Totals in info.json that differ from what is listed or found."""
    lengths = [row.length for row in folder.listed.values()]
    found = {
        "total_episodes": len(folder.listed),
        "total_frames": None if None in lengths else sum(n or 0 for n in lengths),
        "total_tasks": len(folder.meta.tasks),
        "total_videos": len(folder.files.videos),
    }
    for name, count in found.items():
        told = folder.meta.info.get(name)
        if told is not None and count is not None and told != count:
            yield CorruptFileError(f"{name} is {told}, but there are {count}", file=_info(folder))


def _absent_videos(folder: Folder) -> set[str]:
    """Video features that have no file in any episode."""
    declared = {name for name, f in folder.meta.features.items() if f.dtype == "video"}
    return declared - {name for name, _ in folder.files.videos}


def _features_without_any_file(folder: Folder) -> Iterator[DataError]:
    for name in sorted(_absent_videos(folder)):
        yield MissingStreamError(
            "a video feature without a video in any episode", file=_info(folder), stream=name
        )


def _files_without_episode(folder: Folder) -> Iterator[DataError]:
    for index, path in folder.files.tables.items():
        if index not in folder.listed:
            yield CorruptFileError("not listed in meta/episodes.jsonl, so not read", file=path)


def _broken_promises(folder: Folder, index: int, episode: Episode) -> Iterator[DataError]:
    """What info.json, episodes.jsonl and modality.json say of an episode and is not so."""
    path = folder.files.table(index)
    if path is None:
        return
    listed = folder.listed[index].length
    if listed is not None and listed != episode.outcome.steps:
        yield TimesError(
            f"meta/episodes.jsonl gives {listed} frames, the file has {episode.outcome.steps} rows",
            file=path,
        )
    columns = column_types(path)
    absent = _absent_videos(folder)
    for name, feature in folder.meta.features.items():
        if feature.dtype == "video" and name not in episode.streams and name not in absent:
            if folder.files.video(name, index) is None:
                expected = folder.files.expected_video(name, index)
                yield MissingStreamError("the video is missing", file=expected, stream=name)
        elif feature.dtype != "video" and name not in columns:
            yield MissingStreamError(
                "declared in meta/info.json, but there is no such column", file=path, stream=name
            )
    for part in folder.parts:
        if part.name not in episode.streams and part.source not in folder.meta.features:
            yield MissingStreamError(
                f"meta/modality.json takes it from {part.source!r}, which is not a feature",
                file=path,
                stream=part.name,
            )
    yield from _wrong_images(folder, episode)
    yield from _wrong_rows(folder, path)


def _wrong_images(folder: Folder, episode: Episode) -> Iterator[DataError]:
    """Pictures of another size than info.json says (in either order of axes)."""
    for name, feature in folder.meta.features.items():
        if feature.dtype not in ("video", "image") or name not in episode.streams:
            continue
        height, width, colours = episode.streams[name].spec.shape
        if feature.shape not in ((height, width, colours), (colours, height, width), ()):
            yield ShapeError(
                f"meta/info.json says {feature.shape}, the frames are {(height, width, colours)}",
                file=folder.root / episode.provenance.source,
                stream=name,
            )


def _wrong_rows(folder: Folder, path: Path) -> Iterator[DataError]:
    """Timestamps that do not run at the declared rate, and tasks that nobody named."""
    table = read_columns(path, list(BOOKKEEPING))
    if "timestamp" in table.column_names and table.num_rows:
        times = samples(table["timestamp"], (), np.float64)
        period = 1.0 / folder.meta.rate_hz
        drift = np.abs(times - times[0] - np.arange(len(times)) * period)
        if drift.max() > period / 2:
            row = int(np.argmax(drift > period / 2))
            yield TimesError(
                f"timestamps do not run at {folder.meta.rate_hz} Hz: row {row} is "
                f"{drift[row]:.4f} s away from frame_index / fps, which is used",
                file=path,
                stream="timestamp",
            )
    if "task_index" in table.column_names:
        indices = samples(table["task_index"], ())
        unknown = set(indices.tolist()) - set(folder.meta.tasks)
        if unknown:
            yield CorruptFileError(
                f"task_index {sorted(map(str, unknown))} is not in meta/tasks.jsonl", file=path
            )
