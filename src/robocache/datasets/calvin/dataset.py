"""CALVIN's folders, read as they lie on disk.

The files hold no times: frame k of a segment is at k / control rate, and the streams say so (clock
"synthetic"). An action is known one step after its frame.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from robocache.core.episode import Episode
from robocache.core.errors import ConfigError, DataError, unknown_name
from robocache.datasets.calvin.episode import Place, read_segment, stream_spec
from robocache.datasets.calvin.frames import segment_headers
from robocache.datasets.calvin.problems import all_problems
from robocache.datasets.calvin.split import (
    IDS_FILE,
    WORDS_FILE,
    Segment,
    Split,
    find_splits,
    read_split,
)
from robocache.datasets.cameras import Camera
from robocache.datasets.episode_files import EpisodeFiles

Segments = Literal["play", "language"]
SMALL_FILES = (IDS_FILE, WORDS_FILE, "ep_lens.npy", "scene_info.npy", ".hydra/merged_config.yaml")


class CalvinDataset:
    """Episodes of `training`, `validation`, or the folder that holds them.

    Streams have the names of the arrays: `actions` (absolute), `rel_actions`, `robot_obs`,
    `scene_obs` (privileged), `rgb_static`, `rgb_gripper`, `depth_static`, `depth_gripper` and the
    tactile ones if they are there. Values keep their dtype (CALVIN stores float64); pictures stay
    on disk.

    Args:
        path: a split, or the folder above.
        name: name of the dataset; the folder's name when not given.
        segments: `play` (an episode for each row of ep_start_end_ids.npy, without words) or
            `language` (an episode for each annotated window, with its words; windows overlap, and
            their last frame is inside).

    Raises:
        ConfigError: not a CALVIN folder, or no annotations for `language`.
        CorruptFileError: a split that cannot be used.
    """

    def __init__(
        self, path: str | Path, name: str | None = None, *, segments: Segments = "play"
    ) -> None:
        if segments not in ("play", "language"):
            raise unknown_name("kind of segments", segments, ("play", "language"))
        self.path = Path(path)
        self.name = name or self.path.resolve().name
        self.segments = segments
        self.folders: dict[str, Split] = {
            prefix: read_split(folder) for prefix, folder in find_splits(self.path).items()
        }
        """Folder within the dataset ("" or "training/") -> what its small files say."""
        if segments == "language" and all(s.language is None for s in self.folders.values()):
            raise ConfigError(f"{self.path} has no {WORDS_FILE}; use segments='play'")
        self._places = {
            place.key: place
            for prefix, split in self.folders.items()
            for place in self._of_split(prefix, split)
        }

    def episode_files(self, key: str) -> EpisodeFiles:
        """Its frames."""
        split, segment = self._place(key).split, self._place(key).segment
        frames = range(segment.first, segment.last + 1)
        return EpisodeFiles(
            reading=f"{split.rate_hz}", files=tuple(split.frame(number) for number in frames)
        )

    def keys(self) -> list[str]:
        """`play_<first>_<last>` or `language_<number>_<first>_<last>`, after `<split>/` if `path`
        is the folder above; in the order of the files."""
        return list(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Episode]:
        return (self[key] for key in self._places)

    def __getitem__(self, key: int | str) -> Episode:
        return read_segment(self._place(self.keys()[key] if isinstance(key, int) else key))

    def cameras(self, key: str) -> dict[str, Camera]:
        """Cameras of the split an episode is in."""
        return dict(self._place(key).split.cameras)

    def splits(self) -> dict[str, list[str]]:
        """Split -> keys of its episodes."""
        found: dict[str, list[str]] = {}
        for key, place in self._places.items():
            found.setdefault(place.split.folder.resolve().name, []).append(key)
        return found

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the small files (content), the frames (number and size), and `segments`."""
        digest = hashlib.sha256(f"{self.segments}\n".encode())
        for prefix, split in self.folders.items():
            for name in SMALL_FILES:
                path = split.folder / name
                if path.is_file():
                    value = hashlib.sha256(path.read_bytes()).hexdigest()
                    digest.update(f"{prefix}{name} {value}\n".encode())
            for number in split.frames.tolist():
                path = split.frame(number)
                size = path.stat().st_size if path.is_file() else -1
                digest.update(f"{prefix}{number} {size}\n".encode())
        return digest.hexdigest()

    def problems(self) -> Iterator[DataError]:
        """Everything wrong with the folder; reads every frame of its episodes."""
        for split in self.folders.values():
            yield from all_problems(split)

    def lost(self) -> Iterator[DataError]:
        """Segments that the small files list and that are no range of frames."""
        for split in self.folders.values():
            yield from split.lost[self.segments]

    def report(self) -> dict[str, Any]:
        """What the folder holds. Streams and cameras are those of the first readable episode."""
        splits = self.folders.values()
        return {
            "format": "calvin",
            "segments": self.segments,
            "episodes": len(self),
            "frames": sum(len(place.segment) for place in self._places.values()),
            "splits": {
                split.folder.resolve().name: {
                    "play_episodes": len(split.play),
                    "language_windows": len(split.language or ()),
                    "frames_in_play": sum(len(segment) for segment in split.play),
                    "scenes": {name: list(range_) for name, range_ in split.scenes.items()},
                    "rate_hz": split.rate_hz,
                    "rate_from": split.rate_source,
                    "cameras": {name: c.to_json() for name, c in split.cameras.items()},
                }
                for split in splits
            },
            "clock": "synthetic: frame k of an episode is at k / rate_hz",
            "tasks": sorted({s.task for split in splits for s in split.language or ()}),
            "instructions": sorted({s.words for split in splits for s in split.language or ()})[
                :20
            ],
            "streams": self._streams_of_first_readable(),
        }

    def _of_split(self, prefix: str, split: Split) -> Iterator[Place]:
        chosen = split.play if self.segments == "play" else split.language or ()
        for index, segment in enumerate(chosen):
            key = f"{prefix}{self._key(split, segment, index)}"
            yield Place(key, self.name, split, prefix, segment, index)

    def _key(self, split: Split, segment: Segment, index: int) -> str:
        first, last = (f"{number:0{split.digits}d}" for number in (segment.first, segment.last))
        if self.segments == "language":
            return f"language_{index:06d}_{first}_{last}"
        return f"play_{first}_{last}"

    def _place(self, key: str) -> Place:
        if key not in self._places:
            raise unknown_name(f"episode of {self.name}", key, self._places)
        return self._places[key]

    def _streams_of_first_readable(self) -> dict[str, Any]:
        for place in self._places.values():
            try:
                headers = segment_headers(place.split, place.segment)
            except DataError:
                continue
            specs = {
                name: stream_spec(name, h.shape, np.dtype(h.kind), place.split.rate_hz)
                for name, h in sorted(headers.items())
            }
            return {
                name: {**spec.to_json(), "stored_as": headers[name].kind}
                for name, spec in specs.items()
            }
        return {}
