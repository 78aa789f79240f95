"""HDF5 files of demonstrations, read as they lie on disk.

The files hold no times: sample k is at k / control rate, and the streams say so (clock
"synthetic"). An action, its reward and `done` are known one step after their observation.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from robocache.core.episode import Episode
from robocache.core.errors import ConfigError, DataError, unknown_name
from robocache.datasets.cameras import Camera
from robocache.datasets.episode_files import EpisodeFiles
from robocache.datasets.hdf5.demos import DemoFile, read_demo_file
from robocache.datasets.hdf5.episode import (
    Demo,
    Reading,
    demo_steps,
    read_cameras,
    read_demo,
)
from robocache.datasets.hdf5.files import file_digest
from robocache.datasets.hdf5.problems import all_problems

SUFFIXES = (".hdf5", ".h5")


class RoboMimicDataset:
    """Demonstrations of a robomimic file, or of its relatives: robosuite's raw collection, LIBERO,
    MimicGen and RoboCasa.

    Streams: `obs/<key>`, `action`, `action_abs`, `action_dict/<key>`, `reward`, `done`, `states`
    (privileged), `datagen_info/<key>` (privileged) and whatever else has one sample for each
    action, under its own name. `next_obs` is `obs` one step on and is not read a second time.
    Values keep their dtype; pictures stay on disk.

    Args:
        path: one file, or a folder whose files are all read (also in folders below).
        name: name of the dataset; the name of the file or folder when not given.
        filter: read only the demonstrations of this mask, e.g. "train"; None: all.
        upright: turn pictures that are stored with the bottom row first (LIBERO, by its
            `macros_image_convention`), so that row 0 is the top. Nothing is mirrored; pipelines
            that rotate by 180 degrees mirror the picture too. False: as stored.

    Raises:
        ConfigError: no such file, no HDF5 file in the folder, or a filter that no file has.
        CorruptFileError: none of the files can be read.
    """

    def __init__(
        self,
        path: str | Path,
        name: str | None = None,
        *,
        filter: str | None = None,
        upright: bool = True,
    ) -> None:
        self.path = Path(path)
        self.name = name or self.path.resolve().stem
        self.filter, self.upright = filter, upright
        self.files: dict[str, DemoFile] = {}
        """Path within the dataset -> file, of those that can be read."""
        self.unreadable: list[DataError] = []
        for file in self._paths():
            try:
                self.files[self._within(file)] = read_demo_file(file)
            except DataError as error:
                self.unreadable.append(error)
        if not self.files:
            raise self.unreadable[0]
        self._demos = self._listed()

    def episode_files(self, key: str) -> EpisodeFiles:
        """Its file."""
        demo = self._demo(key)
        return EpisodeFiles(f"{demo.name} {demo.file.rate_hz} {demo.upright}", (demo.file.path,))

    def keys(self) -> list[str]:
        """Keys by file and number: `demo_7`, in a folder `<file>/demo_7`."""
        return list(self._demos)

    def __len__(self) -> int:
        return len(self._demos)

    def __iter__(self) -> Iterator[Episode]:
        return (self[key] for key in self._demos)

    def __getitem__(self, key: int | str) -> Episode:
        reading = self.reading(self.keys()[key] if isinstance(key, int) else key)
        for problem in reading.wrong:
            raise problem
        return reading.episode

    def reading(self, key: str) -> Reading:
        """An episode with what is wrong with it, instead of an error."""
        return read_demo(self._demo(key))

    def cameras(self, key: str) -> dict[str, Camera]:
        """Cameras of an episode; empty when the file does not tell of any.

        Raises:
            CorruptFileError: `camera_info` cannot be used.
        """
        demo = self._demo(key)
        cameras, wrong = read_cameras(demo.file, demo.name)
        for problem in wrong:
            raise problem.located(episode=key)
        return cameras

    def splits(self) -> dict[str, list[str]]:
        """Mask -> keys of its episodes, over all files."""
        found: dict[str, list[str]] = {}
        for within, file in self.files.items():
            there = set(file.demos)
            for mask, demos in file.masks.items():
                keys = [self._key(within, demo) for demo in demos if demo in there]
                found.setdefault(mask, []).extend(keys)
        return dict(sorted(found.items()))

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the content of all files, the filter and the orientation of pictures."""
        digest = hashlib.sha256(f"{self.filter} {self.upright}\n".encode())
        for path in self._paths():
            digest.update(f"{self._within(path)} {file_digest(path)}\n".encode())
        return digest.hexdigest()

    def problems(self) -> Iterator[DataError]:
        """Everything wrong with the files; reads all of them, pictures too."""
        yield from self.unreadable
        yield from all_problems(self.files, list(self._demos.values()))

    def lost(self) -> Iterator[DataError]:
        """Files that cannot be opened, with whatever episodes they hold."""
        yield from self.unreadable

    def report(self) -> dict[str, Any]:
        """What the files hold. Streams and cameras are those of the first
        episode of each file."""
        firsts = self._first_readings()
        files = list(self.files.values())
        steps = Counter[str]()
        for demo in self._demos.values():
            steps[demo.source] += self._steps(demo)
        return {
            "format": f"hdf5 {', '.join(sorted({file.kind for file in files}))}",
            "episodes": len(self),
            "frames": steps.total(),
            "files": {
                within: {
                    "kind": file.kind,
                    "demonstrations": len(file.demos),
                    "frames_read": steps[within],
                    "task": file.task,
                    "instruction": file.words,
                    "rate_hz": file.rate_hz,
                    "rate_from": file.rate_source,
                    "simulator": file.simulator,
                }
                for within, file in self.files.items()
            },
            "unreadable_files": [str(error) for error in self.unreadable],
            "clock": "synthetic: sample k is at k / rate_hz",
            "filter": self.filter,
            "splits": {mask: len(keys) for mask, keys in self.splits().items()},
            "pictures": _pictures(files, self.upright),
            "depth": _depth(files),
            "streams": _streams(firsts),
            "not_read": sorted({name for first in firsts for name in first.not_read}),
            "cameras": self._cameras_told(firsts),
        }

    def _paths(self) -> list[Path]:
        if self.path.is_file():
            return [self.path]
        if not self.path.is_dir():
            raise ConfigError(f"dataset {self.path} is not there")
        found = [p for p in self.path.rglob("*") if p.suffix in SUFFIXES and p.is_file()]
        if not found:
            raise ConfigError(f"{self.path} holds no HDF5 file (*.hdf5, *.h5)")
        return sorted(found)

    def _within(self, file: Path) -> str:
        return file.name if file == self.path else file.relative_to(self.path).as_posix()

    def _key(self, within: str, demo: str) -> str:
        return demo if self.path.is_file() else f"{within}/{demo}"

    def _listed(self) -> dict[str, Demo]:
        """Key -> demonstration, of those in the filter."""
        masks = self.splits()
        if self.filter is not None and self.filter not in masks:
            raise unknown_name("filter", self.filter, masks)
        wanted = None if self.filter is None else set(masks[self.filter])
        listed = {}
        for within, file in self.files.items():
            for name in file.demos:
                key = self._key(within, name)
                if wanted is None or key in wanted:
                    listed[key] = Demo(file, name, key, self.name, within, self.upright)
        return listed

    def _demo(self, key: str) -> Demo:
        if key not in self._demos:
            raise unknown_name(f"episode of {self.name}", key, self._demos)
        return self._demos[key]

    def _first_readings(self) -> list[Reading]:
        """The first demonstration of each file that can be read."""
        readings = {}
        for demo in self._demos.values():
            if demo.source not in readings:
                with suppress(DataError):
                    readings[demo.source] = read_demo(demo)
        return list(readings.values())

    def _steps(self, demo: Demo) -> int:
        try:
            return demo_steps(demo)
        except DataError:
            return 0

    def _cameras_told(self, readings: list[Reading]) -> dict[str, Any]:
        told: dict[str, Any] = {}
        for reading in readings:
            demo = self._demo(reading.episode.key)
            for name, camera in read_cameras(demo.file, demo.name)[0].items():
                told.setdefault(name, camera.to_json())
        return told


def _streams(readings: list[Reading]) -> dict[str, Any]:
    """Streams of the first demonstrations of all files."""
    streams: dict[str, Any] = {}
    for reading in readings:
        for name, stream in reading.episode.streams.items():
            told = {**stream.spec.to_json(), "stored_as": reading.stored_as[name]}
            streams.setdefault(name, told)
    return streams


def _pictures(files: list[DemoFile], upright: bool) -> str:
    if not any(file.upside_down for file in files):
        return "as stored, first row on top"
    if upright:
        return "stored with the bottom row first (opengl); rows are reversed, nothing is mirrored"
    return "as stored, with the bottom row first (opengl)"


def _depth(files: list[DemoFile]) -> str:
    if all(file.kind == "libero" for file in files):
        return "as stored: LIBERO keeps the depth buffer in [0, 1], not metres"
    return "metres along the optical axis"
