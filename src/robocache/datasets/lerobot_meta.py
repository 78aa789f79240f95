"""The metadata of a LeRobot v2.0 or v2.1 folder, and where its files really lie."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robocache.core.errors import ConfigError, CorruptFileError, DataError

READ_VERSIONS = ("v2.0", "v2.1")
DATA_PATH = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
VIDEO_PATH = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
# Quality labels that stand among the tasks of an episode but ask for nothing.
VALIDITY_LABELS = {"valid", "invalid"}


@dataclass(frozen=True)
class Feature:
    """One entry of `features` in info.json.

    Attributes:
        dtype: as declared, e.g. "float32", "video", "image".
        shape: of one sample, as declared; () when not declared.
    """

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class EpisodeRow:
    """One line of episodes.jsonl; `length` is None when it is not given."""

    tasks: tuple[str, ...] = ()
    length: int | None = None

    @property
    def instruction(self) -> str:
        """The first task that is not a validity label; "" when there is none."""
        asked = (task for task in self.tasks if task.strip().lower() not in VALIDITY_LABELS)
        return next(asked, "")


@dataclass(frozen=True)
class Meta:
    """What the folder `meta` says.

    Attributes:
        version: "v2.0" or "v2.1".
        rate_hz: `fps` of info.json.
        features: feature name -> Feature.
        episodes: episode index -> EpisodeRow, in increasing order.
        tasks: task index -> words.
        info: info.json as it is.
        problems: what was wrong in the files but could be read around.
    """

    version: str
    rate_hz: float
    features: Mapping[str, Feature]
    episodes: Mapping[int, EpisodeRow]
    tasks: Mapping[int, str]
    info: Mapping[str, Any]
    problems: list[DataError] = field(default_factory=list)


class Files:
    """Where each episode's files lie: by the paths of info.json, else by their names anywhere."""

    def __init__(self, root: Path, info: Mapping[str, Any]) -> None:
        self.root = root
        self.data_path = str(info.get("data_path") or DATA_PATH)
        self.video_path = str(info.get("video_path") or VIDEO_PATH)
        self.chunk = int(info.get("chunks_size", 1000))
        self.tables: dict[int, Path] = {}
        self.videos: dict[tuple[str, int], Path] = {}
        for path in sorted(root.rglob("episode_*")):
            number = re.fullmatch(r"episode_(\d+)", path.stem)
            if number and path.suffix == ".parquet":
                self.tables.setdefault(int(number[1]), path)
            elif number and path.suffix == ".mp4":
                self.videos.setdefault((path.parent.name, int(number[1])), path)

    def expected_table(self, index: int) -> Path:
        return self._filled(self.data_path, index, "")

    def expected_video(self, key: str, index: int) -> Path:
        return self._filled(self.video_path, index, key)

    def table(self, index: int) -> Path | None:
        """The Parquet file of an episode; None: there is none."""
        return self._found(self.expected_table(index), self.tables.get(index))

    def video(self, key: str, index: int) -> Path | None:
        """The file of a video feature in an episode; None: there is none."""
        return self._found(self.expected_video(key, index), self.videos.get((key, index)))

    def _found(self, expected: Path, elsewhere: Path | None) -> Path | None:
        return expected if expected.is_file() else elsewhere

    def _filled(self, template: str, index: int, key: str) -> Path:
        try:
            relative = template.format(
                episode_chunk=index // self.chunk, episode_index=index, video_key=key
            )
        except (KeyError, IndexError, ValueError) as error:
            raise CorruptFileError(
                f"the path {template!r} cannot be filled in ({error!r})",
                file=self.root / "meta" / "info.json",
            ) from error
        return self.root / relative


def read_meta(root: Path) -> Meta:
    """Read `root/meta`.

    Raises:
        ConfigError: not a LeRobot folder, or of a version that is not read.
        CorruptFileError: info.json is unreadable or lacks what nothing can be read without.
    """
    path = root / "meta" / "info.json"
    if not path.is_file():
        raise ConfigError(f"{root} is not a LeRobot dataset: it has no meta/info.json")
    info = _read_info(path)
    version = str(info.get("codebase_version"))
    if version not in READ_VERSIONS:
        raise ConfigError(
            f"{root} is a LeRobot dataset of version {version}; this reader takes "
            f"{' and '.join(READ_VERSIONS)}. Convert it, or give its v2.1 revision"
        )
    problems: list[DataError] = []
    return Meta(
        version=version,
        rate_hz=float(info["fps"]),
        features={name: _feature(entry) for name, entry in info["features"].items()},
        episodes=_episodes(root / "meta" / "episodes.jsonl", problems),
        tasks=_tasks(root / "meta" / "tasks.jsonl", problems),
        info=info,
        problems=problems,
    )


def _read_info(path: Path) -> dict[str, Any]:
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise CorruptFileError(f"not a JSON file ({error})", file=path) from error
    if not isinstance(info, dict):
        raise CorruptFileError("expected a JSON object", file=path)
    if str(info.get("codebase_version")) not in READ_VERSIONS:
        return info
    fps = info.get("fps")
    if not isinstance(fps, int | float) or not 0 < fps < float("inf"):
        raise CorruptFileError(f"fps must be a positive number, got {fps!r}", file=path)
    features = info.get("features")
    if not isinstance(features, dict) or not all(map(_is_feature, features.values())):
        raise CorruptFileError(
            "features must be an object of objects with a dtype and a shape of integers", file=path
        )
    chunk = info.get("chunks_size", 1000)
    if not isinstance(chunk, int) or chunk < 1:
        raise CorruptFileError(f"chunks_size must be a positive integer, got {chunk!r}", file=path)
    return info


def _is_feature(entry: object) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("shape", []), list):
        return False
    return all(isinstance(n, int) and n >= 0 for n in entry.get("shape", []))


def _feature(entry: Mapping[str, Any]) -> Feature:
    return Feature(str(entry.get("dtype")), tuple(entry.get("shape", [])))


def _episodes(path: Path, problems: list[DataError]) -> dict[int, EpisodeRow]:
    episodes = {}
    for row in _read_lines(path, "episode_index", problems):
        tasks, length = row.get("tasks", []), row.get("length")
        episodes[row["episode_index"]] = EpisodeRow(
            tasks=tuple(map(str, tasks if isinstance(tasks, list) else [tasks])),
            length=length if isinstance(length, int) else None,
        )
    return dict(sorted(episodes.items()))


def _tasks(path: Path, problems: list[DataError]) -> dict[int, str]:
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
        except ValueError:
            row = None
        if isinstance(row, dict) and isinstance(row.get(number), int):
            rows.append(row)
        else:
            problems.append(
                CorruptFileError(f"line {at} is not an object with {number!r}", file=path)
            )
    return rows
