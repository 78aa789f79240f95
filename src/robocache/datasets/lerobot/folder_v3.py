"""A LeRobot v3.0 folder: Parquet files and videos that hold many episodes each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from robocache.core.errors import CorruptFileError, DataError, MissingStreamError, TimesError
from robocache.datasets.columns import column_types, read_rows, samples
from robocache.datasets.images import image_column
from robocache.datasets.lerobot.episode_runs import episode_runs
from robocache.datasets.lerobot.info import EpisodeRow, Info
from robocache.datasets.lerobot.listing_v3 import LARGEST_NUMBER, read_listing, read_tasks
from robocache.datasets.lerobot.paths import fill_path, require_content
from robocache.datasets.video import VideoFrames
from robocache.datasets.video_index import video_index

DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"


class FolderV3:
    """Where the episodes of a v3.0 folder lie: by meta/episodes and the paths of info.json.

    A file that is not where info.json says is looked for by its numbers, anywhere in the folder.

    Attributes:
        root: the folder.
        info: its info.json.
        tasks: task index -> words.
        problems: what was wrong in the metadata but could be read around.
        lost: those of them for which episodes are not listed.
    """

    tasks_file = "meta/tasks.parquet"
    episodes_file = "meta/episodes"

    def __init__(self, root: Path, info: Info) -> None:
        self.root, self.info = root, info
        self.listing = read_listing(root, info.cameras("video"))
        self.problems, self.lost = self.listing.problems, self.listing.lost
        self.tasks: Mapping[int, str] = read_tasks(root / self.tasks_file, self.problems)

    def listed(self) -> list[int]:
        """Numbers of all episodes that should be there, increasing."""
        found: list[int] = self.listing.indices.tolist()
        return found

    def readable(self) -> list[int]:
        """Numbers of the listed episodes whose Parquet file is there."""
        whole = np.zeros(len(self.listing.indices), bool)
        for (chunk, file), members in self._members().items():
            whole[members] = self._table(chunk, file).is_file()
        found: list[int] = self.listing.indices[whole].tolist()
        return found

    def row(self, index: int) -> EpisodeRow:
        return self.listing.row(index)

    def frames_listed(self) -> int | None:
        """Number of frames of all listed episodes; None when a length is not given."""
        lengths = self.listing.numbers["length"]
        return None if (lengths < 0).any() else int(lengths.sum())

    def data_file(self, index: int) -> Path:
        """The Parquet file that holds an episode, or where it should be."""
        chunk = self.listing.number("data/chunk_index", index)
        return self._table(chunk, self.listing.number("data/file_index", index))

    def read(self, index: int, columns: list[str]) -> pa.Table:
        """The rows of an episode, those of `columns` that are there.

        Raises:
            CorruptFileError: the file is missing or unreadable, or does not hold the episode.
        """
        start, stop = self._rows(index)
        return read_rows(self.data_file(index), columns, start, stop)

    def files(self, index: int) -> list[Path]:
        """The Parquet file that holds an episode, and those of its videos."""
        places = {name: self.listing.video(name, index) for name in self.info.cameras("video")}
        videos = [self._video(name, p.chunk, p.file) for name, p in places.items() if p is not None]
        return [self.data_file(index), *videos]

    def column_types(self, index: int) -> dict[str, str]:
        """Name and Arrow type of the columns that hold an episode."""
        return column_types(self.data_file(index))

    def video(self, name: str, index: int, rows: int) -> VideoFrames | None:
        """The frames of a camera in an episode of `rows` frames; None: there is no file.

        Raises:
            CorruptFileError: the file is not a readable video, or ends before the episode.
            TimesError: the frames of the file are not at the times that the metadata say.
        """
        place = self.listing.video(name, index)
        path = None if place is None else self._video(name, place.chunk, place.file)
        if place is None or path is None or not path.is_file():
            return None
        require_content(path)
        first = round(place.from_s * self.info.rate_hz)
        there = len(video_index(path).pts)
        if not 0 <= first <= there - rows:
            raise TimesError(
                f"the episode is frames {first}..{first + rows} (from_timestamp {place.from_s:g} s "
                f"at {self.info.rate_hz:g} Hz), the file has {there}",
                file=path,
            )
        frames = VideoFrames(path, first, first + rows)
        wanted = place.from_s + np.arange(rows) / self.info.rate_hz
        off = np.abs(frames.times_s - wanted)
        if off.max() > 0.5 / self.info.rate_hz:
            at = int(np.argmax(off > 0.5 / self.info.rate_hz))
            raise TimesError(
                f"frame {at} should be at {wanted[at]:.4f} s of the file, but frame {first + at} "
                f"is at {frames.times_s[at]:.4f} s",
                file=path,
            )
        return frames

    def missing_video(self, name: str, index: int) -> Path | None:
        """Where a camera's video of an episode should be, or what should say so; None: it is
        there."""
        place = self.listing.video(name, index)
        if place is None:
            return self.root / self.episodes_file
        path = self._video(name, place.chunk, place.file)
        return None if path.is_file() else path

    def images(self, name: str, index: int) -> Any:
        """The pictures of an episode that lie in a column; None: there is no such column."""
        path = self.data_file(index)
        if name not in column_types(path):
            return None
        return image_column(path, name, *self._rows(index), self.root)

    def content_files(self) -> tuple[list[Path], list[Path]]:
        """Files that a fingerprint reads whole, and videos of which it takes the size."""
        meta = (self.root / "meta").rglob("*")
        kept = [path for path in meta if path.suffix in (".json", ".jsonl", ".parquet")]
        tables = [path for _, path in sorted(self._elsewhere[0].items())]
        return [*sorted(kept), *tables], [path for _, path in sorted(self._elsewhere[1].items())]

    def absent_cameras(self) -> set[str]:
        """Video features that have no file in any episode."""
        return {
            name
            for name in self.info.cameras("video")
            if not any(self._video(name, *files).is_file() for files in self._video_files(name))
        }

    def layout_problems(self) -> Iterator[DataError]:
        """Files that are missing, and rows and files that are not listed."""
        for files, members in self._members().items():
            path = self._table(*files)
            if not path.is_file():
                told = self._span(members)
                yield CorruptFileError(f"missing; it should hold {told}", file=path)
        for name in set(self.info.cameras("video")) - self.absent_cameras():
            for files, members in self._video_files(name).items():
                path = self._video(name, *files)
                if not path.is_file():
                    told = self._span(members)
                    yield MissingStreamError(
                        f"missing; it should hold {told}", file=path, stream=name
                    )
        for path in self._elsewhere[0].values():
            try:
                strange = np.setdiff1d(episode_runs(path)[0], self.listing.indices)
            except DataError as error:
                yield error
                continue
            if len(strange):
                yield CorruptFileError(
                    f"{len(strange)} episodes are not listed in meta/episodes, so not read "
                    f"(the first: {strange[0]})",
                    file=path,
                )

    def episode_problems(self, index: int, rows: int) -> Iterator[DataError]:
        """What the metadata promise of an episode of `rows` rows and is not so."""
        path = self.data_file(index)
        length = self.row(index).length
        if length is not None and length != rows:
            yield TimesError(
                f"meta/episodes gives {length} frames, the file has {rows} rows", file=path
            )
        numbered = self.read(index, ["index"])
        first = self.listing.number("dataset_from_index", index)
        if "index" in numbered.column_names and first >= 0:
            there = samples(numbered["index"], (), np.float64)
            if not np.array_equal(there, first + np.arange(rows)):
                yield CorruptFileError(
                    f"index must count from dataset_from_index {first}, it begins {there[:3]}",
                    file=path,
                    stream="index",
                )
        for name in self.info.cameras("video"):
            place = self.listing.video(name, index)
            if place is None:
                if name not in self.absent_cameras():
                    yield MissingStreamError(
                        "meta/episodes names no file and time of it",
                        file=self.root / self.episodes_file,
                        stream=name,
                    )
            elif round((place.to_s - place.from_s) * self.info.rate_hz) != rows:
                yield TimesError(
                    f"meta/episodes gives it {place.from_s:g}..{place.to_s:g} s, its Parquet file "
                    f"{rows} rows at {self.info.rate_hz:g} Hz",
                    file=path,
                    stream=name,
                )

    def _members(self) -> dict[tuple[int, int], NDArray[np.int64]]:
        """(chunk, file) of the Parquet files -> positions of their episodes in the listing."""
        numbers = self.listing.numbers
        return _grouped(numbers["data/chunk_index"], numbers["data/file_index"])

    def _video_files(self, name: str) -> dict[tuple[int, int], NDArray[np.int64]]:
        table = self.listing.videos.get(name)
        if table is None:
            return {}
        told = table[:, :2]
        chunk, file = np.where(np.abs(told) < LARGEST_NUMBER, told, -1).astype(np.int64).T
        return {files: who for files, who in _grouped(chunk, file).items() if min(files) >= 0}

    def _span(self, members: NDArray[np.int64]) -> str:
        first = int(self.listing.indices[members[0]])
        if len(members) == 1:
            return f"episode {first}"
        return f"{len(members)} episodes, {first}..{int(self.listing.indices[members[-1]])}"

    def _rows(self, index: int) -> tuple[int, int]:
        """First row of an episode in its file, and the one after its last."""
        path = self.data_file(index)
        if not path.is_file():
            raise CorruptFileError("listed, but its Parquet file is missing", file=path)
        require_content(path)
        if "episode_index" not in column_types(path):
            first = self.listing.number("dataset_from_index", index)
            chunk = self.listing.number("data/chunk_index", index)
            file = self.listing.number("data/file_index", index)
            before = int(
                self.listing.numbers["dataset_from_index"][self._members()[chunk, file][0]]
            )
            return first - before, first - before + self.listing.number("length", index)
        values, starts, stops = episode_runs(path)
        found = np.flatnonzero(values == index)
        if len(found) != 1:
            told = "no row of it" if not len(found) else "its rows are not together"
            raise CorruptFileError(f"{told} (column episode_index)", file=path)
        return int(starts[found[0]]), int(stops[found[0]])

    def _table(self, chunk: int, file: int) -> Path:
        template = str(self.info.raw.get("data_path") or DATA_PATH)
        path = fill_path(self.root, template, chunk_index=chunk, file_index=file)
        return path if path.is_file() else self._elsewhere[0].get((chunk, file), path)

    def _video(self, name: str, chunk: int, file: int) -> Path:
        template = str(self.info.raw.get("video_path") or VIDEO_PATH)
        path = fill_path(self.root, template, video_key=name, chunk_index=chunk, file_index=file)
        return path if path.is_file() else self._elsewhere[1].get((name, chunk, file), path)

    @cached_property
    def _elsewhere(self) -> tuple[dict[tuple[int, int], Path], dict[tuple[str, int, int], Path]]:
        """Parquet files and videos of the folder by the numbers in their names."""
        tables: dict[tuple[int, int], Path] = {}
        videos: dict[tuple[str, int, int], Path] = {}
        cameras = set(self.info.cameras("video"))
        for path in sorted(self.root.rglob("file[-_]*")):
            parts = path.relative_to(self.root).parts
            number = re.fullmatch(r"file[-_](\d{1,9})", path.stem)
            chunks = [m[1] for part in parts if (m := re.fullmatch(r"chunk[-_](\d{1,9})", part))]
            if not number or parts[0] == "meta":
                continue
            at = (int(chunks[0]) if chunks else 0, int(number[1]))
            if path.suffix == ".parquet":
                tables.setdefault(at, path)
            elif path.suffix == ".mp4":
                for name in cameras.intersection(parts):
                    videos.setdefault((name, *at), path)
        return tables, videos


def _grouped(
    chunk: NDArray[np.int64], file: NDArray[np.int64]
) -> dict[tuple[int, int], NDArray[np.int64]]:
    """(chunk, file) -> increasing positions that have them."""
    if not len(chunk):
        return {}
    pairs, which = np.unique(np.stack([chunk, file], axis=1), axis=0, return_inverse=True)
    order = np.argsort(which.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(which.ravel(), minlength=len(pairs)))[:-1]
    members = np.split(order, ends)
    return {(int(pair[0]), int(pair[1])): found for pair, found in zip(pairs, members, strict=True)}
