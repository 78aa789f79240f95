"""Which files some episodes need, by the listing code of their format.

The readers look for files on disk. So that they can find those that did not come yet, they are
shown a skeleton: a folder with the true metadata, and an empty file for each of the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from robocache.core.errors import ConfigError, DataError, unknown_name
from robocache.datasets.lerobot import LeRobotDataset
from robocache.datasets.lerobot.paths import inside
from robocache.datasets.reader import detect_format
from robocache.datasets.remote.copy import Copy
from robocache.datasets.rlds.info import FEATURES, INFO, Split, find_folder, read_info
from robocache.runs.files import scratch_directory

Episodes = str | Sequence[int | str]
"""Which episodes: "0:10", "0,3,7", or their numbers or keys one by one."""
Splits = str | Sequence[str]


@dataclass(frozen=True)
class Part:
    """Some of a dataset.

    Attributes:
        keys: of its episodes; None: all that its files hold.
        names: its files.
    """

    keys: list[str] | None
    names: list[str]


def describes(name: str) -> bool:
    """Whether a file tells what is in the others."""
    path = PurePosixPath(name)
    return path.parts[0] == "meta" or path.name in (FEATURES, INFO)


@contextmanager
def skeleton(copy: Copy) -> Iterator[Path]:
    """All files of a version by name and size, with content only where they describe."""
    with copy.lock, scratch_directory(copy.root / "skeleton") as folder:
        for name, file in copy.listing.files.items():
            path = inside(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            if describes(name):
                path.symlink_to(copy.file(name))
            else:
                with path.open("wb") as empty:
                    empty.truncate(file.size or 0)
        yield folder


def chosen(episodes: Episodes, keys: Sequence[str]) -> list[str]:
    """Keys of the wanted episodes, in the order in which they were given.

    Args:
        keys: of all episodes.

    Raises:
        ConfigError: there is no such episode, or none was named.
    """
    if not isinstance(episodes, str | Sequence):
        raise ConfigError(
            f"episodes must be text or a list, got {episodes!r}; put 10:20 in quotes, where "
            f"settings are read as YAML"
        )
    known, found = set(keys), []
    for item in episodes.split(",") if isinstance(episodes, str) else episodes:
        text = str(item).strip()
        ends = re.fullmatch(r"(\d*):(\d*)", text)
        if text in known:
            found.append(text)
        elif ends:
            found += keys[int(ends[1] or 0) : int(ends[2]) if ends[2] else None]
        elif text.isdecimal() and int(text) < len(keys):
            found.append(keys[int(text)])
        else:
            raise unknown_name(f"episode (there are {len(keys)})", text, keys)
    if not found:
        raise ConfigError(f"episodes {episodes!r} names none of the {len(keys)} episodes")
    return list(dict.fromkeys(found))


def find_part(
    copy: Copy, format: str, episodes: Episodes | None, split: Splits | None
) -> Part | None:
    """What the wanted episodes and splits need; None: everything, or the format cannot tell.

    Raises:
        ConfigError: not a known dataset, or no such episode or split.
        DataError: its description cannot be used.
    """
    uri = copy.listing.uri
    with skeleton(copy) as root:
        try:
            found = detect_format(root) if format == "auto" else format
            return PARTS[found](root, episodes, split) if found in PARTS else None
        except ConfigError as error:
            raise ConfigError(str(error).replace(str(root), uri)) from None
        except DataError as error:
            place = None if error.file is None else error.file.replace(str(root), uri)
            raise type(error)(error.problem, file=place, episode=error.episode) from None


def _lerobot_part(root: Path, episodes: Episodes | None, split: Splits | None) -> Part | None:
    """Metadata, and the tables, videos and loose pictures of the wanted episodes."""
    if episodes is None:
        return None
    dataset = LeRobotDataset(root)
    folder = dataset.source.folder
    numbers = dict(zip(dataset.keys(), folder.readable(), strict=True))
    keys = chosen(episodes, dataset.keys())
    wanted = {path for key in keys for path in folder.files(numbers[key])}
    loose = {f"episode_{numbers[key]:06d}" for key in keys}
    names = []
    for path in filter(Path.is_file, root.rglob("*")):
        parts = path.relative_to(root).parts
        if path in wanted or parts[0] == "meta" or loose.intersection(parts[:-1]):
            names.append("/".join(parts))
    return Part(keys, sorted(names))


def _rlds_part(root: Path, episodes: Episodes | None, split: Splits | None) -> Part | None:
    """Descriptions, and the shards of the wanted splits that hold the wanted episodes."""
    folder = find_folder(root)
    splits = read_info(folder).splits
    names = list(splits) if split is None else [split] if isinstance(split, str) else list(split)
    for name in names:
        if name not in splits:
            raise unknown_name("split", name, splits)
    wanted = [splits[name] for name in names]
    keys = None
    paths = {file.path for split in wanted for file in split.files}
    if episodes is not None:
        if any(file.declared is None for split in wanted for file in split.files):
            return None
        shards = {key: path for split in wanted for key, path in _places(split)}
        keys = chosen(episodes, list(shards))
        paths = {shards[key] for key in keys}
    paths |= set(folder.glob("*.json"))
    return Part(keys, sorted(p.relative_to(root).as_posix() for p in paths if p.is_file()))


def _places(split: Split) -> Iterator[tuple[str, Path]]:
    """Key and shard of every episode, by the declared lengths."""
    index = 0
    for file in split.files:
        for number in range(file.declared or 0):
            yield f"{split.name}/{index + number:06d}", file.path
        index += file.declared or 0


PARTS: dict[str, Callable[[Path, Episodes | None, Splits | None], Part | None]] = {
    "lerobot": _lerobot_part,
    "rlds": _rlds_part,
}
"""Format -> its part for episodes and splits; None: all files are needed."""
