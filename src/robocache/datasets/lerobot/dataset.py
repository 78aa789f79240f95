"""LeRobot v2.0, v2.1 and v3.0 folders, read as they lie on disk.

LeRobot writes `timestamp = frame_index / fps`: times are made from the rate, and the streams say so
(clock "synthetic"). They are computed again in float64, because the stored float32 drifts.
An action, and what an environment answers to it (`next.*`), is known one step after its frame.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from robocache.core.episode import Episode
from robocache.core.errors import (
    CorruptFileError,
    DataError,
    MissingStreamError,
    unknown_name,
)
from robocache.datasets.dimensions import Dimension
from robocache.datasets.episode_files import EpisodeFiles
from robocache.datasets.file_digests import file_digests
from robocache.datasets.lerobot.episode import Folder, Source, read_episode
from robocache.datasets.lerobot.folder_v2 import FolderV2
from robocache.datasets.lerobot.folder_v3 import FolderV3
from robocache.datasets.lerobot.info import BOOKKEEPING, read_info
from robocache.datasets.lerobot.kept import ENTRY, kept_streams
from robocache.datasets.lerobot.listing_v3 import numbered_key
from robocache.datasets.lerobot.names import vector_dimensions
from robocache.datasets.lerobot.problems import all_problems
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
        info = read_info(self.path)
        layout = FolderV3 if info.version == "v3.0" else FolderV2
        folder: Folder = layout(self.path, info)
        self._own_keys = folder.listing.keys if isinstance(folder, FolderV3) else {}
        self.source = Source(
            name=self.name,
            folder=folder,
            parts=read_modality(self.path / "meta" / "modality.json"),
            kept=kept_streams(info),
        )
        self._indices = {self._key(index): index for index in folder.readable()}

    @property
    def tasks(self) -> Mapping[int, str]:
        """Task index -> words."""
        return self.source.folder.tasks

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over metadata and Parquet files (content) and videos (name and size)."""
        digest = hashlib.sha256()
        whole, videos = self.source.folder.content_files()
        root = f"{self.path}/"
        for path, content in zip(whole, file_digests(self.path, whole), strict=True):
            digest.update(f"{str(path).removeprefix(root)} {content}\n".encode())
        for path in videos:
            digest.update(f"{str(path).removeprefix(root)} {path.stat().st_size}\n".encode())
        return digest.hexdigest()

    def episode_files(self, key: str) -> EpisodeFiles:
        """Its Parquet file, and of v3.0 the listing that says which rows of it are its own."""
        index, (about, listing) = self._indices[key], self._about
        return EpisodeFiles(f"{index} {about}", (self.source.folder.data_file(index), *listing))

    def dimensions(self, stream: str) -> tuple[Dimension, ...]:
        """Names of a vector's numbers, as info.json and modality.json give them."""
        return vector_dimensions(self.source.folder.info, self.source.parts, stream)

    @cached_property
    def _about(self) -> tuple[str, list[Path]]:
        """What decides how any episode is read, and the files of the listing of v3.0."""
        folder = self.source.folder
        growing = ("total_", "splits")
        info = {k: v for k, v in folder.info.raw.items() if not k.startswith(growing)}
        listing = sorted((self.path / folder.episodes_file).rglob("*.parquet"))
        return f"{json.dumps(info, sort_keys=True)} {self.source.parts}", listing

    @property
    def tells_success(self) -> bool:
        """Whether outcomes are kept beside it, as `write_lerobot` does."""
        first = next(iter(self._indices.values()), None)
        return first is not None and self.source.folder.row(first).record is not None

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
        episode, wrong = read_episode(self.source, self._indices[key], key)
        for problem in wrong:
            raise problem
        return episode

    def problems(self) -> Iterator[DataError]:
        """Everything wrong with the folder; opens every file, decodes no video."""
        return all_problems(self.source, self._key)

    def lost(self) -> Iterator[DataError]:
        """Episodes, and videos of episodes, that the metadata list and that are not there."""
        folder = self.source.folder
        yield from folder.lost
        cameras = [n for n in folder.info.cameras("video") if n not in folder.absent_cameras()]
        for index in folder.listed():
            key = self._key(index)
            if key not in self._indices:
                missing = "listed, but has no Parquet file"
                yield CorruptFileError(missing, file=folder.data_file(index), episode=key)
                continue
            for name in cameras:
                file = folder.missing_video(name, index)
                if file is not None:
                    yield MissingStreamError(
                        "the video is missing", file=file, episode=key, stream=name
                    )

    def report(self) -> dict[str, Any]:
        """What the folder holds. Streams are those of the first episode that can be read."""
        folder = self.source.folder
        info = folder.info
        streams = self._streams_of_first_readable()
        return {
            "format": f"lerobot {info.version}",
            "episodes": len(self),
            "listed_episodes": len(folder.listed()),
            "frames": sum(folder.row(index).length or 0 for index in self._indices.values()),
            "fps": info.rate_hz,
            "times": "made from fps of meta/info.json (synthetic)",
            "resampled": info.raw.get(ENTRY, {}).get("resampled", {}),
            "robot": info.raw.get("robot_type"),
            "streams": streams,
            "not_read": sorted(set(info.features) - set(streams) - set(BOOKKEEPING)),
            "tasks": {str(index): task for index, task in self.tasks.items()},
        }

    def _key(self, index: int) -> str:
        return self._own_keys.get(index) or numbered_key(index)

    def _streams_of_first_readable(self) -> dict[str, Any]:
        origins = {part.name: part.source for part in self.source.parts}
        for key, index in self._indices.items():
            try:
                episode, _ = read_episode(self.source, index, key)
                types = self.source.folder.column_types(index)
            except DataError:
                continue
            return {
                name: {
                    **stream.spec.to_json(),
                    "stored_as": types.get(origins.get(name, name), "video"),
                }
                for name, stream in episode.streams.items()
            }
        return {}
