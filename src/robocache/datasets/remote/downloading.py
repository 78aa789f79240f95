"""A dataset from elsewhere brought into the cache: all of it, or what some episodes need."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robocache.core.errors import ConfigError
from robocache.datasets.remote.filesystem import FileSystemSource
from robocache.datasets.remote.hub import HubSource
from robocache.datasets.remote.listing import Source
from robocache.datasets.remote.parts import Episodes, Splits, describes, find_part
from robocache.datasets.remote.transfer import Progress
from robocache.datasets.remote.uri import hub_place, is_hub
from robocache.datasets.remote.versions import open_copy, resolve


@dataclass(frozen=True)
class Download:
    """A dataset from elsewhere that is here now.

    Attributes:
        path: what to open: a folder, or a file.
        origin: where it came from, as plain data: `uri`, `version`, and how sure that is.
        files: its files, relative to its folder.
        keys: of the chosen episodes; None: all, or not known before it is opened.
        episodes: the episodes to choose when it is opened.
        fetched: how many files had to come.
        altered: files that were here, but not as they had come; they came again.
    """

    path: Path
    origin: Mapping[str, Any]
    files: tuple[str, ...]
    keys: list[str] | None = None
    episodes: Episodes | None = None
    fetched: int = 0
    altered: tuple[str, ...] = ()


def download(
    uri: str,
    *,
    episodes: Episodes | None = None,
    split: Splits | None = None,
    revision: str | None = None,
    format: str = "auto",
    storage_options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    check: bool = False,
) -> Download:
    """Bring a dataset into the cache; files that are there already do not come again.

    Nothing is asked of the network when `revision` is a commit and all of it is here.

    Args:
        uri: `hf://[datasets/]OWNER/NAME[@REVISION][/FOLDER]`, or an address fsspec takes.
        episodes: only what these need, where the format can tell (LeRobot, RLDS): "0:10",
            "0,3,7", or numbers or keys.
        split: RLDS: only these splits.
        revision: branch, tag or commit on the hub; elsewhere a version told before.
        format: a name in `FORMATS`, or `auto`.
        storage_options: credentials and the like, for the hub or the file system; none: anonymous.
        progress: told bytes done, bytes in total, and figures in words.
        check: read what is here and compare checksums; what differs comes again.

    Raises:
        ConfigError: there is no such dataset, revision or episode.
        DownloadError: it did not come, or not as announced; files that came are kept.
        StorageError: there is no room for it.
        MissingDependencyError: a package is missing.
    """
    source, revision = find_source(uri, revision, storage_options or {})
    resolved = resolve(source, revision)
    copy = open_copy(source, resolved.version)
    names, path, keys, fetched = list(copy.listing.files), copy.path, None, 0
    altered = []
    if (episodes is not None or split is not None) and not copy.listing.single:
        request = _digest([format, episodes, split])
        about = copy.read_part(request)
        if about is None:
            fetched += copy.fetch(source, filter(describes, names), progress)
            part = find_part(copy, format, episodes, split)
            if part is not None:
                fetched += copy.fetch(source, part.names, progress)
                about = copy.make_part(request, part.names, part.keys)
        if about is not None:
            names, keys = about["names"], about["keys"]
            path = copy.part(request) / copy.listing.folder
    if check:
        altered = copy.altered(names)
        copy.drop(altered)
    fetched += copy.fetch(source, names, progress)
    return Download(
        path=path,
        origin=resolved.origin(source),
        files=tuple(names),
        keys=keys,
        episodes=None if keys else episodes,
        fetched=fetched,
        altered=tuple(altered),
    )


def find_source(
    uri: str, revision: str | None, storage_options: Mapping[str, Any]
) -> tuple[Source, str | None]:
    """Where an address leads, and the revision that was asked for.

    Raises:
        ConfigError: two revisions.
    """
    if not is_hub(uri):
        return FileSystemSource(uri, storage_options), revision
    named = hub_place(uri).revision
    if named and revision and named != revision:
        raise ConfigError(f"{uri} names revision {named}, and {revision} was given")
    return HubSource(uri, storage_options), named or revision


def _digest(request: object) -> str:
    text = json.dumps(request, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]
