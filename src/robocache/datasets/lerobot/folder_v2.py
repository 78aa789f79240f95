"""A LeRobot v2.0 or v2.1 folder: one Parquet file, and one video a camera, for each episode."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from robocache.core.errors import CorruptFileError, DataError, MissingStreamError, TimesError
from robocache.datasets.columns import column_types, read_columns, row_count
from robocache.datasets.images import image_column
from robocache.datasets.lerobot.info import EpisodeRow, Info
from robocache.datasets.lerobot.paths import fill_path, require_content
from robocache.datasets.video import VideoFrames

DATA_PATH = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
VIDEO_PATH = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"


class FolderV2:
    """Where the episodes of a v2 folder lie: by the paths of info.json, else by their names.

    Attributes:
        root: the folder.
        info: its info.json.
        tasks: task index -> words.
        problems: what was wrong in the metadata but could be read around.
        lost: those of them for which episodes are not listed.
    """

    tasks_file = "meta/tasks.jsonl"
    episodes_file = "meta/episodes.jsonl"

    def __init__(self, root: Path, info: Info) -> None:
        self.root, self.info = root, info
        self.problems: list[DataError] = []
        rows = _read_episodes(root / self.episodes_file, self.problems)
        self.lost = list(self.problems)
        self.tasks: Mapping[int, str] = _read_tasks(root / self.tasks_file, self.problems)
        self._rows = rows or {index: EpisodeRow() for index in sorted(self._elsewhere[0])}

    def listed(self) -> list[int]:
        """Numbers of all episodes that should be there, increasing."""
        return list(self._rows)

    def readable(self) -> list[int]:
        """Numbers of the listed episodes whose Parquet file is there."""
        return [index for index in self._rows if self._table(index) is not None]

    def row(self, index: int) -> EpisodeRow:
        return self._rows[index]

    def frames_listed(self) -> int | None:
        """Number of frames of all listed episodes; None when a length is not given."""
        lengths = [row.length for row in self._rows.values()]
        return None if None in lengths else sum(length or 0 for length in lengths)

    def data_file(self, index: int) -> Path:
        """The Parquet file of an episode, or where it should be."""
        return self._table(index) or self._expected_table(index)

    def read(self, index: int, columns: list[str]) -> pa.Table:
        """The rows of an episode, those of `columns` that are there.

        Raises:
            CorruptFileError: the file is missing or unreadable.
        """
        path = self._table(index)
        if path is None:
            expected = self._expected_table(index)
            raise CorruptFileError("listed, but has no Parquet file", file=expected)
        require_content(path)
        return read_columns(path, columns)

    def files(self, index: int) -> list[Path]:
        """The Parquet file of an episode, and its videos."""
        videos = (self._video(name, index) for name in self.info.cameras("video"))
        return [self.data_file(index), *(path for path in videos if path is not None)]

    def column_types(self, index: int) -> dict[str, str]:
        """Name and Arrow type of the columns that hold an episode."""
        return column_types(self.data_file(index))

    def video(self, name: str, index: int, rows: int) -> VideoFrames | None:
        """The frames of a camera in an episode of `rows` frames; None: there is no file.

        Raises:
            CorruptFileError: the file is not a readable video.
            TimesError: it has another number of frames.
        """
        path = self._video(name, index)
        if path is None:
            return None
        require_content(path)
        frames = VideoFrames(path)
        if len(frames) != rows:
            raise TimesError(
                f"{len(frames)} frames, but its Parquet file has {rows} rows", file=path
            )
        return frames

    def missing_video(self, name: str, index: int) -> Path | None:
        """Where a camera's video of an episode should be; None: it is there."""
        there = self._video(name, index) is not None
        return None if there else self._expected_video(name, index)

    def images(self, name: str, index: int) -> Any:
        """The pictures of an episode that lie in a column; None: there is no such column."""
        path = self.data_file(index)
        if name not in column_types(path):
            return None
        return image_column(path, name, 0, row_count(path), self.root)

    def content_files(self) -> tuple[list[Path], list[Path]]:
        """Files that a fingerprint reads whole, and videos of which it takes the size."""
        meta = sorted((self.root / "meta").glob("*.json*"))
        tables, videos = self._elsewhere
        read_whole = [*meta, *(path for _, path in sorted(tables.items()))]
        return read_whole, [path for _, path in sorted(videos.items())]

    def absent_cameras(self) -> set[str]:
        """Video features that have no file in any episode."""
        return set(self.info.cameras("video")) - {name for name, _ in self._elsewhere[1]}

    def layout_problems(self) -> Iterator[DataError]:
        """Files that are not listed, and videos that are counted wrong."""
        tables, videos = self._elsewhere
        told = self.info.raw.get("total_videos")
        if told is not None and told != len(videos):
            yield CorruptFileError(
                f"total_videos is {told}, but there are {len(videos)}", file=self.info.path
            )
        for index, path in tables.items():
            if index not in self._rows:
                yield CorruptFileError("not listed in meta/episodes.jsonl, so not read", file=path)

    def episode_problems(self, index: int, rows: int) -> Iterator[DataError]:
        """What the metadata promise of an episode of `rows` rows and is not so."""
        length = self._rows[index].length
        if length is not None and length != rows:
            yield TimesError(
                f"meta/episodes.jsonl gives {length} frames, the file has {rows} rows",
                file=self.data_file(index),
            )
        for name in self.info.cameras("video"):
            file = self.missing_video(name, index)
            if file is not None and name not in self.absent_cameras():
                yield MissingStreamError("the video is missing", file=file, stream=name)

    def _expected_table(self, index: int) -> Path:
        return self._filled(str(self.info.raw.get("data_path") or DATA_PATH), index, "")

    def _expected_video(self, name: str, index: int) -> Path:
        return self._filled(str(self.info.raw.get("video_path") or VIDEO_PATH), index, name)

    def _filled(self, template: str, index: int, name: str) -> Path:
        chunk = index // int(self.info.raw.get("chunks_size", 1000))
        return fill_path(
            self.root, template, episode_chunk=chunk, episode_index=index, video_key=name
        )

    def _table(self, index: int) -> Path | None:
        expected = self._expected_table(index)
        return expected if expected.is_file() else self._elsewhere[0].get(index)

    def _video(self, name: str, index: int) -> Path | None:
        expected = self._expected_video(name, index)
        return expected if expected.is_file() else self._elsewhere[1].get((name, index))

    @cached_property
    def _elsewhere(self) -> tuple[dict[int, Path], dict[tuple[str, int], Path]]:
        """Parquet files and videos of the folder by what their names tell; walks all of it."""
        tables: dict[int, Path] = {}
        videos: dict[tuple[str, int], Path] = {}
        for folder, _, names in sorted(os.walk(self.root)):
            for name in sorted(names):
                number = re.fullmatch(r"episode_(\d{1,12})\.(parquet|mp4)", name)
                if number and number[2] == "parquet":
                    tables.setdefault(int(number[1]), Path(folder, name))
                elif number:
                    camera = os.path.basename(folder)
                    videos.setdefault((camera, int(number[1])), Path(folder, name))
        return tables, videos


def _read_episodes(path: Path, problems: list[DataError]) -> dict[int, EpisodeRow]:
    episodes = {}
    for row in _read_lines(path, "episode_index", problems):
        tasks, length = row.get("tasks", []), row.get("length")
        episodes[row["episode_index"]] = EpisodeRow(
            tasks=tuple(map(str, tasks if isinstance(tasks, list) else [tasks])),
            length=length if isinstance(length, int) else None,
        )
    return dict(sorted(episodes.items()))


def _read_tasks(path: Path, problems: list[DataError]) -> dict[int, str]:
    rows = _read_lines(path, "task_index", problems)
    return {row["task_index"]: str(row.get("task", "")) for row in rows}


def _read_lines(path: Path, number: str, problems: list[DataError]) -> list[dict[str, Any]]:
    """Objects of a JSON-lines file that hold the integer `number`; the rest become problems."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        problems.append(CorruptFileError(f"cannot be read ({error})", file=path))
        return []
    rows = []
    for at, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict) and isinstance(row.get(number), int) and row[number] >= 0:
            rows.append(row)
        else:
            problems.append(
                CorruptFileError(f"line {at} is not an object with {number!r}", file=path)
            )
    return rows
