"""dataset_info.json: the splits of a dataset, their files, and how many episodes each holds."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robocache.core.errors import ConfigError, CorruptFileError, DataError

INFO, FEATURES = "dataset_info.json", "features.json"
FILE_FORMATS = ("tfrecord", "array_record")
_TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
_SHARD = re.compile(
    r"(?P<name>.+)-(?P<split>[^-]+)\.(?P<format>\w+)-(?P<shard>\d{5,})(-of-\d{5,})?"
)
_DEEPEST = 3  # folders below the given one in which the dataset is looked for


@dataclass(frozen=True)
class ShardFile:
    """One file of a split.

    Attributes:
        path: where it is, or should be.
        declared: episodes it should hold; None when nothing says so.
    """

    path: Path
    declared: int | None


@dataclass(frozen=True)
class Split:
    """A split in the order of its episodes.

    Attributes:
        files: its shards.
        bytes: size of all records together, framing left out; None when it is not told.
    """

    name: str
    files: tuple[ShardFile, ...]
    bytes: int | None = None


@dataclass(frozen=True)
class Info:
    """What is known of a dataset before a record is read.

    Attributes:
        name: name of the dataset (which begins the file names), "" when nothing tells it.
        version: as stored, "" when nothing tells it.
        file_format: "tfrecord" or "array_record".
        splits: by name.
        problems: what was wrong but could be read around.
    """

    name: str
    version: str
    file_format: str
    splits: Mapping[str, Split]
    problems: list[DataError]


def find_folder(path: Path) -> Path:
    """The folder with features.json: the given one, or the only one below it.

    Raises:
        ConfigError: there is none, or more than one.
    """
    if (path / FEATURES).is_file():
        return path
    patterns = ["/".join(["*"] * depth) + f"/{FEATURES}" for depth in range(1, _DEEPEST + 1)]
    found = sorted({file.parent for pattern in patterns for file in path.glob(pattern)})
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConfigError(f"{path} is not an RLDS dataset: no {FEATURES} there or below")
    listed = ", ".join(str(folder.relative_to(path)) for folder in found[:8])
    raise ConfigError(f"{path} holds {len(found)} RLDS datasets; name one of them: {listed}")


def read_info(folder: Path) -> Info:
    """The splits of a dataset, by dataset_info.json, else by the names of the files.

    Raises:
        CorruptFileError: dataset_info.json cannot be used.
        ConfigError: a container that is not read.
    """
    file = folder / INFO
    if not file.is_file():
        missing = CorruptFileError(
            "missing: the splits are taken from the file names, truncation cannot be told",
            file=file,
        )
        return _info_of_files(folder, [missing])
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        file_format = str(stored.get("fileFormat") or "tfrecord")
        name, version = str(stored.get("name") or ""), str(stored.get("version") or "")
        splits = [_split(folder, name, file_format, entry) for entry in stored.get("splits", [])]
    except (OSError, RecursionError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptFileError(f"not a TFDS description ({error!r})", file=file) from error
    if file_format not in FILE_FORMATS:
        raise ConfigError(f"{file}: fileFormat {file_format!r} is not read; only {FILE_FORMATS}")
    if not splits:
        problem = CorruptFileError("names no splits; taken from the file names", file=file)
        return _info_of_files(folder, [problem], name, version)
    return Info(name, version, file_format, {split.name: split for split in splits}, [])


def _split(folder: Path, name: str, file_format: str, entry: Mapping[str, Any]) -> Split:
    """A split by its entry; int64 are strings in protobuf's JSON."""
    split = str(entry["name"])
    lengths = [int(length) for length in entry.get("shardLengths") or ()]
    if not lengths or any(length < 0 for length in lengths):
        raise ValueError(f"shardLengths of split {split} are {lengths}")
    template = str(entry.get("filepathTemplate") or _TEMPLATE)
    files = []
    for number, length in enumerate(lengths):
        path = folder / _file_name(template, name, split, file_format, number, len(lengths))
        if not path.exists():
            path = _by_number(folder, split, file_format, number) or path
        files.append(ShardFile(path, length))
    size = entry.get("numBytes")
    return Split(split, tuple(files), None if size is None else int(size))


def _file_name(
    template: str, name: str, split: str, file_format: str, number: int, count: int
) -> str:
    """The name of a shard, inside the dataset's folder.

    Raises:
        ValueError: it would be elsewhere.
    """
    parts = {
        "DATASET": name,
        "SPLIT": split,
        "FILEFORMAT": file_format,
        "SHARD_INDEX": f"{number:05d}",
        "NUM_SHARDS": f"{count:05d}",
        "SHARD_X_OF_Y": f"{number:05d}-of-{count:05d}",
    }
    file = template
    for part, value in parts.items():
        file = file.replace("{" + part + "}", value)
    if Path(file).name != file or "\0" in file or file in ("", ".", ".."):
        raise ValueError(f"file name {file!r} leads out of the dataset's folder")
    return file


def _by_number(folder: Path, split: str, file_format: str, number: int) -> Path | None:
    """The file of a split with this shard number, whatever the rest of its name."""
    for path in sorted(folder.iterdir()):
        parts = _SHARD.fullmatch(path.name)
        wanted = (split, file_format, number)
        if parts and (parts["split"], parts["format"], int(parts["shard"])) == wanted:
            return path
    return None


def _info_of_files(
    folder: Path, problems: list[DataError], name: str = "", version: str = ""
) -> Info:
    """Splits as the file names tell them.

    Raises:
        ConfigError: no file has such a name.
    """
    found: dict[str, list[Path]] = {}
    formats = set()
    for path in sorted(folder.iterdir()):
        parts = _SHARD.fullmatch(path.name)
        if parts and parts["format"] in FILE_FORMATS:
            found.setdefault(parts["split"], []).append(path)
            formats.add(parts["format"])
            name = name or parts["name"]
    if len(formats) != 1:
        raise ConfigError(
            f"{folder} has {'files of two formats' if formats else 'no record files'}; expected "
            f"<name>-<split>.tfrecord-00000-of-00001 or the like"
        )
    splits = {
        split: Split(split, tuple(ShardFile(path, None) for path in paths))
        for split, paths in found.items()
    }
    return Info(name, version or folder.name, formats.pop(), splits, problems)
