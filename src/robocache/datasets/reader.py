"""What a dataset reader is, and how a path becomes one. A new format is one entry in `FORMATS`."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any, Literal, Protocol, get_args, runtime_checkable

from robocache.core.episode import Episode
from robocache.core.errors import ConfigError, CorruptFileError, DataError, unknown_name


@runtime_checkable
class Reader(Protocol):
    """Episodes of one dataset, whatever its format on disk.

    Attributes:
        name: name of the dataset.
        path: where it lies.
        fingerprint: sha256 of its content; equal content has an equal fingerprint.
    """

    name: str
    path: Path

    @property
    def fingerprint(self) -> str: ...

    def keys(self) -> list[str]:
        """Keys of the readable episodes, in a fixed order."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, key: int | str) -> Episode:
        """One episode by position or key.

        Raises:
            DataError: naming file, episode and stream.
        """
        ...

    def problems(self) -> Iterator[DataError]:
        """Everything wrong with the dataset; reads all of it, never stops at the first."""
        ...

    def report(self) -> dict[str, Any]:
        """What the dataset holds, for people."""
        ...


@dataclass(frozen=True)
class Format:
    """A format on disk.

    Attributes:
        reader: "module:class" of its reader, imported when it is needed.
        looks_like: judges a path by files that only this format has.
        expected: those files, in words.
    """

    reader: str
    looks_like: Callable[[Path], bool]
    expected: str


OnError = Literal["raise", "skip"]
"""What is done about an episode that cannot be read."""

ORIGIN = ".robocache-origin.json"
"""In a downloaded folder: where it came from, and which of its episodes were chosen."""


def is_uri(text: object) -> bool:
    """Whether a dataset lies elsewhere: `hf://...`, `gs://...` and the like, but no path."""
    return isinstance(text, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]+:(//|:)", text) is not None


def open_dataset(
    path: str | Path, format: str = "auto", *, on_error: OnError = "raise", **options: Any
) -> Reader:
    """Open a dataset as it lies on disk, or elsewhere: then what is needed is downloaded first.

    Args:
        path: folder or file of the dataset, or a URI: `hf://OWNER/NAME[@REVISION][/FOLDER]`,
            `gs://...`, or any other that fsspec takes.
        format: a name in `FORMATS`, or `auto`.
        on_error: `skip` reads everything once, in a process of its own, and leaves out the episodes
            that cannot be read, with a warning: the reader is a `SoundEpisodes`. A script does this
            under `if __name__ == "__main__":`, as whatever starts processes. `raise`: reading such
            an episode raises.
        options: given to its reader, e.g. `split="val"` for RLDS. Of a URI also `episodes`,
            `revision`, `storage_options` and `progress`, see `remote.download`.

    Raises:
        ConfigError: nothing is there, unknown format, or not recognised.
        CorruptFileError: it is recognised, but its description cannot be read; or all of its
            episodes would be skipped.
        DownloadError: it did not come, or not as announced.
        MissingDependencyError: the format needs a package that is not installed.
    """
    if format != "auto" and format not in FORMATS:
        raise unknown_name("dataset format", format, ("auto", *FORMATS))
    if on_error not in get_args(OnError):
        raise unknown_name("on_error", on_error, get_args(OnError))
    if on_error == "skip":
        from robocache.datasets.skipping import open_sound, warn_of_skipped

        sound = open_sound(path, format, options)
        warn_of_skipped(sound)
        return sound
    if is_uri(path):
        from robocache.datasets.remote import open_remote

        return open_remote(str(path), format, **options)
    if (Path(path) / ORIGIN).is_file():
        from robocache.datasets.remote import open_downloaded

        return open_downloaded(Path(path), format, options)
    return open_local(Path(path), format, options)


def open_local(place: Path, format: str, options: Mapping[str, Any]) -> Reader:
    """Open what lies at a path; raises what `open_dataset` raises."""
    if not place.exists():
        raise ConfigError(f"dataset {place}: there is no such file or folder")
    module, _, name = FORMATS[
        detect_format(place) if format == "auto" else format
    ].reader.partition(":")
    reader = getattr(importlib.import_module(module), name)
    try:
        signature(reader).bind(place, **options)
    except TypeError as error:
        raise ConfigError(f"{name} does not take these options: {error}") from None
    opened: Reader = reader(place, **options)
    return opened


def detect_format(path: Path) -> str:
    """The format of a dataset, judged by the files that only this format has.

    Raises:
        ConfigError: none of them is there.
        CorruptFileError: one is there, but unreadable.
    """
    for name, known in FORMATS.items():
        if known.looks_like(path):
            return name
    listed = "; ".join(f"{name}: {known.expected}" for name, known in FORMATS.items())
    raise ConfigError(f"{path} is not a known dataset (expected {listed})")


def _is_lerobot(path: Path) -> bool:
    info = path / "meta" / "info.json"
    try:
        told = json.loads(info.read_bytes()) if info.is_file() else None
        return isinstance(told, dict) and "codebase_version" in told
    except (ValueError, RecursionError, OSError) as error:
        raise CorruptFileError(f"not readable as JSON ({error})", file=info) from error


def _is_episodes(path: Path) -> bool:
    return next(path.glob("*.episodes.parquet"), None) is not None


def _is_calvin(path: Path) -> bool:
    marks = ("ep_start_end_ids.npy", "*/ep_start_end_ids.npy")
    return any(next(path.glob(mark), None) is not None for mark in marks)


def _is_rlds(path: Path) -> bool:
    depths = ("", "*/", "*/*/", "*/*/*/")
    return any(next(path.glob(f"{depth}features.json"), None) is not None for depth in depths)


def _is_hdf5(path: Path) -> bool:
    if path.is_file():
        return path.suffix in (".hdf5", ".h5")
    return any(next(path.rglob(f"*{suffix}"), None) is not None for suffix in (".hdf5", ".h5"))


def _is_ros(path: Path) -> bool:
    suffixes = (".mcap", ".db3", ".mcap.zstd", ".db3.zstd")
    if path.is_file():
        return path.name.endswith(suffixes)
    return any(next(path.rglob(f"*{suffix}"), None) is not None for suffix in suffixes)


FORMATS: dict[str, Format] = {
    "lerobot": Format("robocache.datasets.lerobot:LeRobotDataset", _is_lerobot, "meta/info.json"),
    "episodes": Format(
        "robocache.datasets.episodes:EpisodeStore", _is_episodes, "*.episodes.parquet"
    ),
    "calvin": Format("robocache.datasets.calvin:CalvinDataset", _is_calvin, "ep_start_end_ids.npy"),
    "rlds": Format("robocache.datasets.rlds:RLDSDataset", _is_rlds, "features.json"),
    "hdf5": Format("robocache.datasets.hdf5:RoboMimicDataset", _is_hdf5, "*.hdf5"),
    "ros": Format("robocache.datasets.ros:RosDataset", _is_ros, "*.mcap or *.db3"),
}
"""Name -> format, in the order in which they are looked for."""
