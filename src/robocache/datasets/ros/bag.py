"""Where the bags of a path are, and what their metadata.yaml says."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from robocache.core.errors import ConfigError, CorruptFileError, DataError

SUFFIXES = (".mcap", ".db3", ".mcap.zstd", ".db3.zstd")
METADATA = "metadata.yaml"
LARGEST_METADATA = 2**26
_ROOT_KEY = "rosbag2_bagfile_information"
_SPLIT = re.compile(r"(?P<stem>.*)_(?P<number>\d+)")


@dataclass(frozen=True)
class Bag:
    """One recording.

    Attributes:
        key: its name: path below the dataset, without suffix.
        folder: where its files are.
        files: its storage files in order, as found in the folder.
        metadata: its metadata.yaml, if it has one.
    """

    key: str
    folder: Path
    files: tuple[Path, ...]
    metadata: Path | None = None


@dataclass(frozen=True)
class BagMetadata:
    """What metadata.yaml says.

    Attributes:
        files: names of storage files, in order.
        count: number of messages; None: it does not say.
        counts: topic -> number of messages.
    """

    files: tuple[str, ...]
    count: int | None
    counts: dict[str, int]


def find_bags(path: Path) -> list[Bag]:
    """The bags of a path: a storage file, the folder of one bag, or folders of bags, nested or not.

    A folder with metadata.yaml is one bag. In others, files named after their folder and numbered
    (`run/run_0.mcap`, `run/run_1.mcap`) are one bag, every other file is a bag of its own.

    Raises:
        ConfigError: no such path, or no bag there.
    """
    if path.is_file():
        return [Bag(_stem(path), path.parent, (path,))]
    if not path.is_dir():
        raise ConfigError(f"{path} is neither a file nor a folder")
    bags = [bag for folder in _folders(path) for bag in _bags_in(folder, path)]
    if not bags:
        raise ConfigError(f"{path} holds no bag: expected files *.mcap or *.db3, or {METADATA}")
    return bags


def read_metadata(path: Path) -> BagMetadata:
    """What a metadata.yaml says.

    Raises:
        CorruptFileError: not readable, or not the metadata of a bag.
    """
    try:
        if path.stat().st_size > LARGEST_METADATA:
            raise CorruptFileError(f"larger than {LARGEST_METADATA} bytes", file=path)
        text = path.read_text()
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        info = yaml.load(text, loader)[_ROOT_KEY]  # a safe loader: makes plain values only
        return _metadata(info)
    except CorruptFileError:
        raise
    except (yaml.YAMLError, OSError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptFileError(f"cannot be read ({_first_line(error)})", file=path) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorruptFileError(f"not the metadata of a bag ({error!r})", file=path) from error


def listed_files(bag: Bag, metadata: BagMetadata) -> tuple[list[Path], list[DataError]]:
    """The storage files that metadata.yaml names and that are there, and what does not agree."""
    found = {file.name: file for file in bag.files}
    files, wrong = [], []
    for name in dict.fromkeys(metadata.files):
        file = found.pop(name, None) or found.pop(f"{name}.zstd", None)
        if file is not None:
            files.append(file)
        else:
            missing = f"named by {METADATA}, but not in the folder"
            wrong.append(CorruptFileError(missing, file=bag.folder / name))
    wrong += [
        CorruptFileError(f"not named by {METADATA}, therefore not read", file=file)
        for file in found.values()
    ]
    return files, list(wrong)


def _metadata(info: Any) -> BagMetadata:
    counts: dict[str, int] = {}
    for topic in info.get("topics_with_message_count") or []:
        name = str(topic["topic_metadata"]["name"])
        counts[name] = counts.get(name, 0) + int(topic["message_count"])
    count = info.get("message_count")
    return BagMetadata(
        files=tuple(PurePosixPath(str(name)).name for name in info["relative_file_paths"]),
        count=None if count is None else int(count),
        counts=counts,
    )


def _folders(root: Path) -> Iterator[Path]:
    for folder, names, _ in os.walk(root):
        names[:] = sorted(name for name in names if not name.startswith("."))
        yield Path(folder)


def _bags_in(folder: Path, root: Path) -> Iterator[Bag]:
    files = [file for file in folder.iterdir() if file.name.endswith(SUFFIXES) and file.is_file()]
    files.sort(key=_order)
    name = root.resolve().name if folder == root else folder.relative_to(root).as_posix()
    metadata = folder / METADATA
    if _is_bag_metadata(metadata):
        yield Bag(name, folder, tuple(files), metadata)
        return
    own = folder.resolve().name
    parts = [file for file in files if (m := _SPLIT.fullmatch(_stem(file))) and m["stem"] == own]
    if len(parts) > 1:
        yield Bag(name, folder, tuple(parts))
    else:
        parts = []
    stems = [_stem(file) for file in files]
    for file, stem in zip(files, stems):
        if file not in parts:
            last = stem if stems.count(stem) == 1 else file.name
            yield Bag((folder.relative_to(root) / last).as_posix(), folder, (file,))


def _is_bag_metadata(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return _ROOT_KEY.encode() in file.read(2**16)
    except OSError:
        return False


def _stem(file: Path) -> str:
    suffix = max((s for s in SUFFIXES if file.name.endswith(s)), key=len, default="")
    return file.name.removesuffix(suffix)


def _order(file: Path) -> tuple[str, int, str]:
    found = _SPLIT.fullmatch(_stem(file))
    return (
        (found["stem"], int(found["number"]), file.name) if found else (_stem(file), -1, file.name)
    )


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0]
