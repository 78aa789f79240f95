"""LeRobot v2.0 and v2.1 folders, read as they lie on disk.

LeRobot writes `timestamp = frame_index / fps`: times are made from the rate, and the streams say so
(clock "synthetic"). They are computed again in float64, because the stored float32 drifts.
An action, and what an environment answers to it (`next.*`), is known one step after its frame.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from robocache.core.episode import Episode
from robocache.core.errors import DataError, unknown_name
from robocache.datasets.columns import column_types
from robocache.datasets.lerobot_episode import BOOKKEEPING, Folder, episode_key, read_episode
from robocache.datasets.lerobot_meta import EpisodeRow, Files, read_meta
from robocache.datasets.lerobot_problems import all_problems
from robocache.datasets.modality import read_modality


class LeRobotDataset:
    """Episodes of one folder.

    An episode has a stream for each vector, image and video feature that is there, and, where
    `meta/modality.json` names parts, also `state.*`, `action.*`, `video.*` and `annotation.*`
    (indices into `tasks`). Floating vectors become float32. A video that is missing leaves its
    episode without that stream; `problems` tells of it.

    Args:
        path: folder that holds `meta/info.json`.
        name: name of the dataset; the folder's name when not given.

    Raises:
        ConfigError: not a LeRobot folder, or of a version that is not read.
        CorruptFileError: info.json or modality.json cannot be used.
    """

    def __init__(self, path: str | Path, name: str | None = None) -> None:
        self.path = Path(path)
        self.name = name or self.path.resolve().name
        meta = read_meta(self.path)
        files = Files(self.path, meta.info)
        self.folder = Folder(
            name=self.name,
            root=self.path,
            meta=meta,
            files=files,
            parts=read_modality(self.path / "meta" / "modality.json"),
            listed=meta.episodes or {index: EpisodeRow() for index in sorted(files.tables)},
        )
        self._indices = {
            episode_key(index): index
            for index in self.folder.listed
            if files.table(index) is not None
        }

    @property
    def tasks(self) -> Mapping[int, str]:
        """Task index -> words."""
        return self.folder.meta.tasks

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over metadata and Parquet files (content) and videos (name and size)."""
        files = self.folder.files
        digest = hashlib.sha256()
        meta = sorted((self.path / "meta").glob("*.json*"))
        for path in [*meta, *(path for _, path in sorted(files.tables.items()))]:
            with path.open("rb") as content:
                value = hashlib.file_digest(content, "sha256").hexdigest()
            digest.update(f"{path.relative_to(self.path).as_posix()} {value}\n".encode())
        for _, path in sorted(files.videos.items()):
            size = path.stat().st_size
            digest.update(f"{path.relative_to(self.path).as_posix()} {size}\n".encode())
        return digest.hexdigest()

    def keys(self) -> list[str]:
        """Keys of the episodes that are listed and have a Parquet file, in order of index."""
        return list(self._indices)

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[Episode]:
        return (self[key] for key in self._indices)

    def __getitem__(self, key: int | str) -> Episode:
        if isinstance(key, int):
            key = self.keys()[key]
        if key not in self._indices:
            raise unknown_name(f"episode of {self.name}", key, self._indices)
        episode, wrong = read_episode(self.folder, self._indices[key])
        for problem in wrong:
            raise problem
        return episode

    def problems(self) -> Iterator[DataError]:
        """Everything wrong with the folder; opens every file, decodes no video."""
        return all_problems(self.folder)

    def report(self) -> dict[str, Any]:
        """What the folder holds. Streams are those of the first episode that can be read."""
        meta, listed = self.folder.meta, self.folder.listed
        streams = self._streams_of_first_readable()
        return {
            "format": f"lerobot {meta.version}",
            "episodes": len(self),
            "listed_episodes": len(listed),
            "frames": sum(listed[index].length or 0 for index in self._indices.values()),
            "fps": meta.rate_hz,
            "robot": meta.info.get("robot_type"),
            "streams": streams,
            "not_read": sorted(set(meta.features) - set(streams) - set(BOOKKEEPING)),
            "tasks": {str(index): task for index, task in meta.tasks.items()},
        }

    def _streams_of_first_readable(self) -> dict[str, Any]:
        sources = {part.name: part.source for part in self.folder.parts}
        for index in self._indices.values():
            try:
                episode, _ = read_episode(self.folder, index)
                types = column_types(self.path / episode.provenance.source)
            except DataError:
                continue
            return {
                name: {
                    **stream.spec.to_json(),
                    "stored_as": types.get(sources.get(name, name), "video"),
                }
                for name, stream in episode.streams.items()
            }
        return {}
