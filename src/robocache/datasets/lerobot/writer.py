"""A LeRobot v3.0 folder that is being written, episode after episode."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from robocache.core.episode import Episode
from robocache.core.errors import DataError, NonFiniteError, ShapeError
from robocache.core.stream import Stream, StreamSpec
from robocache.datasets.lerobot.encode import VideoFiles, WrittenVideo
from robocache.datasets.lerobot.features import (
    bookkeeping_features,
    declare,
    feature_name,
    is_camera,
    plain_number,
)
from robocache.datasets.lerobot.folder_v3 import DATA_PATH, VIDEO_PATH
from robocache.datasets.lerobot.kept import ENTRY, KeptStream
from robocache.datasets.lerobot.listing_v3 import KEY_COLUMN, RECORD_COLUMN, is_numbered
from robocache.datasets.lerobot.pictures import camera_frames, camera_pictures
from robocache.datasets.lerobot.rows import ON_TIME, Rows, at_rate, common_rate
from robocache.datasets.lerobot.settings import LeRobotSettings
from robocache.datasets.lerobot.summary import Aggregate, Numbers, PictureSummary, describe
from robocache.datasets.lerobot.tables import (
    EpisodeTable,
    ParquetFiles,
    column,
    data_schema,
    tasks_table,
)

CHUNK_FILES = 1000
DATA_FILE_MEGABYTES = 100
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"


class FolderWriter:
    """A folder that is being written."""

    def __init__(self, root: Path, first: Episode, settings: LeRobotSettings) -> None:
        names = list(settings.streams or first.streams)
        self.root, self.settings = root, settings
        self.rate_hz = float(settings.fps or common_rate(first, names))
        self.columns = {feature_name(name, names): name for name in names}
        self.specs = {name: first.stream(name).spec for name in names}
        self.features: dict[str, dict[str, Any]] = {}
        self.videos: dict[str, VideoFiles] = {}
        for feature, name in self.columns.items():
            if is_camera(self.specs[name]) and settings.cameras == "video":
                self.videos[feature] = self._video(feature, self.specs[name])
            self.features[feature] = declare(
                name, self.specs[name], self.videos.get(feature), self.rate_hz
            )
        self.features.update(bookkeeping_features())
        schema = data_schema(self.features)
        self.data = ParquetFiles(partial(self._path, DATA_PATH), schema, DATA_FILE_MEGABYTES)
        place = partial(self._path, EPISODES_PATH)
        self.table = EpisodeTable(place, self.features, CHUNK_FILES, DATA_FILE_MEGABYTES)
        self.totals = {name: Aggregate() for name in self.features}
        self.pictures: dict[str, PictureSummary] = {}
        self.tasks: dict[str, int] = {}
        self.keys: set[str] = set()
        self.lags: dict[str, float | None] = {}
        self.resampled: dict[str, str] = {}
        self.episodes = self.frames = self.resampled_episodes = 0

    def add(self, episode: Episode) -> None:
        if episode.key in self.keys:
            raise DataError("there is an episode with this key before it", episode=episode.key)
        self.keys.add(episode.key)
        for name, spec in self.specs.items():
            _check_like(episode, name, spec)
        rows = at_rate(episode, list(self.specs), self.rate_hz)
        self._note(episode, rows)
        task = self.tasks.setdefault(episode.instruction, len(self.tasks))
        statistics: dict[str, Numbers] = {}
        columns: dict[str, pa.Array] = {}
        videos: dict[str, WrittenVideo] = {}
        for feature, name in self.columns.items():
            row, kind = rows.streams[name], self.features[feature]["dtype"]
            if kind == "video":
                summary = PictureSummary()
                seen = camera_frames(row, rows.count, summary)
                videos[feature] = self.videos[feature].write(seen, rows.count)
                statistics[feature] = self._picture_statistics(feature, summary)
            elif kind == "image":
                summary = PictureSummary()
                columns[feature] = camera_pictures(row, rows.count, summary)
                statistics[feature] = self._picture_statistics(feature, summary)
            else:
                values = row.read(0, rows.count)
                _check_finite(values, episode, name)
                columns[feature] = column(values, self.data.schema.field(feature).type)
                statistics[feature] = self._statistics(feature, values)
        for name, values in self._bookkeeping(rows.count, task).items():
            columns[name] = column(values, self.data.schema.field(name).type)
            exact = np.arange(rows.count) / self.rate_hz if name == "timestamp" else values
            statistics[name] = self._statistics(name, exact)
        arrays = [columns[name] for name in self.data.schema.names]
        number = self.data.turn()
        self.data.write(pa.Table.from_arrays(arrays, schema=self.data.schema))
        self.table.add(self._row(episode, rows, number, videos), statistics)
        self.episodes += 1
        self.frames += rows.count

    def finish(self) -> None:
        for files in self.videos.values():
            files.close()
        self.data.close()
        self.table.close()
        pq.write_table(tasks_table(list(self.tasks)), self.root / "meta" / "tasks.parquet")
        statistics = {
            name: self.pictures[name].describe() if name in self.pictures else total.numbers()
            for name, total in self.totals.items()
        }
        plain = {n: {k: v.tolist() for k, v in s.items()} for n, s in statistics.items()}
        self._write_json("stats.json", plain)
        self._write_json("info.json", self._info())

    def abandon(self) -> None:
        """Let go of the files that are being written, whatever is in them."""
        for files in self.videos.values():
            files.abandon()
        self.data.abandon()
        self.table.abandon()

    def _video(self, feature: str, spec: StreamSpec) -> VideoFiles:
        path = partial(self._path, VIDEO_PATH, video_key=feature)
        return VideoFiles(path, self.rate_hz, spec.shape, self.settings.video)

    def _path(self, template: str, number: int, **names: str) -> Path:
        chunk, file = divmod(number, CHUNK_FILES)
        return self.root / template.format(chunk_index=chunk, file_index=file, **names)

    def _bookkeeping(self, count: int, task: int) -> dict[str, NDArray[Any]]:
        frames = np.arange(count, dtype=np.int64)
        return {
            "timestamp": (frames / self.rate_hz).astype(np.float32),
            "frame_index": frames,
            "episode_index": np.full(count, self.episodes, np.int64),
            "index": frames + self.frames,
            "task_index": np.full(count, task, np.int64),
        }

    def _statistics(self, name: str, values: NDArray[Any]) -> Numbers:
        numbers = describe(values)
        self.totals[name].add(numbers)
        return numbers

    def _picture_statistics(self, name: str, summary: PictureSummary) -> Numbers:
        self.pictures.setdefault(name, PictureSummary()).merge(summary)
        return summary.describe()

    def _row(
        self, episode: Episode, rows: Rows, number: int, videos: Mapping[str, WrittenVideo]
    ) -> dict[str, Any]:
        chunk, file = divmod(number, CHUNK_FILES)
        row: dict[str, Any] = {
            "episode_index": self.episodes,
            "tasks": [episode.instruction],
            "length": rows.count,
            "data/chunk_index": chunk,
            "data/file_index": file,
            "dataset_from_index": self.frames,
            "dataset_to_index": self.frames + rows.count,
        }
        for name, place in videos.items():
            chunk, file = divmod(place.number, CHUNK_FILES)
            row[f"videos/{name}/chunk_index"] = chunk
            row[f"videos/{name}/file_index"] = file
            row[f"videos/{name}/from_timestamp"] = place.from_s
            row[f"videos/{name}/to_timestamp"] = place.to_s
        row[KEY_COLUMN] = None if is_numbered(episode.key) else episode.key
        record = {
            "outcome": asdict(episode.outcome),
            "provenance": asdict(episode.provenance),
            "instruction": episode.instruction,
            "start_ns": episode.start_ns + round(rows.start_s * 1e9),
        }
        row[RECORD_COLUMN] = json.dumps(record)
        return row

    def _note(self, episode: Episode, rows: Rows) -> None:
        """Remember what was resampled, and by how much each stream lags."""
        self.resampled_episodes += bool(rows.resampled)
        self.resampled.update(rows.resampled)
        for name in self.specs:
            lag_s = None if rows.resampled else _lag_s(episode.stream(name), self.rate_hz)
            if self.lags.setdefault(name, lag_s) != lag_s:
                self.lags[name] = None

    def _info(self) -> dict[str, Any]:
        kept = {
            feature: KeptStream(self.specs[name], self.lags[name]).to_json()
            for feature, name in self.columns.items()
        }
        resampled = {
            "episodes": self.resampled_episodes,
            "streams": {
                name: {"method": method, "from_hz": self.specs[name].rate_hz}
                for name, method in sorted(self.resampled.items())
            },
        }
        return {
            "codebase_version": "v3.0",
            "robot_type": self.settings.robot_type,
            "total_episodes": self.episodes,
            "total_frames": self.frames,
            "total_tasks": len(self.tasks),
            "chunks_size": CHUNK_FILES,
            "data_files_size_in_mb": DATA_FILE_MEGABYTES,
            "video_files_size_in_mb": plain_number(self.settings.video.file_megabytes),
            "fps": plain_number(self.rate_hz),
            "splits": {"train": f"0:{self.episodes}"},
            "data_path": DATA_PATH,
            "video_path": VIDEO_PATH if self.videos else None,
            "features": self.features,
            ENTRY: {"streams": kept, "resampled": resampled},
        }

    def _write_json(self, name: str, content: dict[str, Any]) -> None:
        text = json.dumps(content, indent=4, ensure_ascii=False)
        (self.root / "meta" / name).write_text(text, encoding="utf-8")


def _check_like(episode: Episode, name: str, spec: StreamSpec) -> None:
    found = episode.stream(name).spec
    if (found.shape, found.dtype) != (spec.shape, spec.dtype):
        raise ShapeError(
            f"{found.dtype} {found.shape}, but {spec.dtype} {spec.shape} in the first episode",
            episode=episode.key,
            stream=name,
        )


def _check_finite(values: NDArray[Any], episode: Episode, name: str) -> None:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        bad = ~np.isfinite(values.reshape(len(values), -1)).all(axis=1)
        raise NonFiniteError(
            f"sample {int(np.argmax(bad))} is NaN or infinite", episode=episode.key, stream=name
        )


def _lag_s(stream: Stream, rate_hz: float) -> float | None:
    """How long after its capture each sample can be used, when that is one number."""
    lags = stream.usable_s() - stream.times_s
    if not len(lags):
        return 0.0
    for known in (0.0, 1 / rate_hz, float(lags[0])):
        if np.abs(lags - known).max() <= ON_TIME / rate_hz:
            return known
    return None
