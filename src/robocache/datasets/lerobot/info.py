"""meta/info.json of a LeRobot folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robocache.core.errors import ConfigError, CorruptFileError

READ_VERSIONS = ("v2.0", "v2.1", "v3.0")
BOOKKEEPING = ("timestamp", "frame_index", "episode_index", "index", "task_index")
# Quality labels that stand among the tasks of an episode but ask for nothing.
VALIDITY_LABELS = {"valid", "invalid"}


@dataclass(frozen=True)
class Feature:
    """One entry of `features` in info.json.

    Attributes:
        dtype: as declared, e.g. "float32", "video", "image".
        shape: of one sample, as declared; () when not declared.
        codec: as declared for a video, e.g. "av1"; None when not declared.
    """

    dtype: str
    shape: tuple[int, ...]
    codec: str | None = None


@dataclass(frozen=True)
class Info:
    """info.json.

    Attributes:
        path: of the file.
        version: "v2.0", "v2.1" or "v3.0".
        rate_hz: `fps`.
        features: feature name -> Feature.
        raw: the file as it is.
    """

    path: Path
    version: str
    rate_hz: float
    features: Mapping[str, Feature]
    raw: Mapping[str, Any]

    def cameras(self, dtype: str) -> list[str]:
        """Names of the features of dtype "video" or "image"."""
        return [name for name, feature in self.features.items() if feature.dtype == dtype]


@dataclass(frozen=True)
class EpisodeRow:
    """What the metadata say of one episode.

    Attributes:
        tasks: what was asked.
        length: number of frames; None when it is not given.
        record: what `write_lerobot` keeps beyond LeRobot's own: outcome and provenance.
    """

    tasks: tuple[str, ...] = ()
    length: int | None = None
    record: Mapping[str, Any] | None = None

    @property
    def instruction(self) -> str:
        """The first task that is not a validity label; "" when there is none."""
        asked = (task for task in self.tasks if task.strip().lower() not in VALIDITY_LABELS)
        return next(asked, "")


def read_info(root: Path) -> Info:
    """Read `root/meta/info.json`.

    Raises:
        ConfigError: not a LeRobot folder, or of a version that is not read.
        CorruptFileError: unreadable, or lacks what nothing can be read without.
    """
    path = root / "meta" / "info.json"
    if not path.is_file():
        raise ConfigError(f"{root} is not a LeRobot dataset: it has no meta/info.json")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise CorruptFileError(f"not a JSON file ({error})", file=path) from error
    if not isinstance(raw, dict):
        raise CorruptFileError("expected a JSON object", file=path)
    version = str(raw.get("codebase_version"))
    if version not in READ_VERSIONS:
        raise ConfigError(
            f"{root} is a LeRobot dataset of version {version}; this reader takes "
            f"{', '.join(READ_VERSIONS)}. Convert it with the lerobot package first"
        )
    _check(raw, path)
    return Info(
        path=path,
        version=version,
        rate_hz=float(raw["fps"]),
        features={name: _feature(entry) for name, entry in raw["features"].items()},
        raw=raw,
    )


def _check(raw: Mapping[str, Any], path: Path) -> None:
    fps = raw.get("fps")
    if not isinstance(fps, int | float) or not 0 < fps < 1e9:
        raise CorruptFileError(f"fps must be a positive number, got {fps!r}", file=path)
    features = raw.get("features")
    if not isinstance(features, dict) or not all(map(_is_feature, features.values())):
        raise CorruptFileError(
            "features must be an object of objects with a dtype and a shape of integers", file=path
        )
    chunk = raw.get("chunks_size", 1000)
    if not isinstance(chunk, int) or chunk < 1:
        raise CorruptFileError(f"chunks_size must be a positive integer, got {chunk!r}", file=path)


def _is_feature(entry: object) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("shape", []), list):
        return False
    return all(isinstance(n, int) and n >= 0 for n in entry.get("shape", []))


def _feature(entry: Mapping[str, Any]) -> Feature:
    told = entry.get("info") or entry.get("video_info")
    codec = told.get("video.codec") if isinstance(told, dict) else None
    return Feature(
        dtype=str(entry.get("dtype")),
        shape=tuple(entry.get("shape", [])),
        codec=None if codec is None else str(codec),
    )
