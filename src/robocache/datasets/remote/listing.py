"""What lies elsewhere: the files of one version of a dataset, with their sizes and checksums."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from robocache.core.errors import CorruptFileError

Told = Callable[[int], None]
"""Told how many bytes came since the last call."""


@dataclass(frozen=True)
class RemoteFile:
    """A file that lies elsewhere.

    Attributes:
        name: relative to the dataset, with forward slashes.
        size: bytes; None when nobody tells.
        checksum: "kind:value" of its content, see `checksums`; "" when nobody tells.
        tag: whatever else changes with its content, e.g. an ETag or a time.
    """

    name: str
    size: int | None
    checksum: str = ""
    tag: str = ""


@dataclass(frozen=True)
class Listing:
    """All files of one version.

    Attributes:
        uri: where they lie, without secrets.
        version: the commit on the hub; elsewhere a hash over names, sizes and checksums.
        folder: last parts of the dataset's own path: what its folder is called here.
        files: name -> file.
        single: the dataset is one file.
    """

    uri: str
    version: str
    folder: str
    files: Mapping[str, RemoteFile]
    single: bool = False

    def bytes(self, names: list[str]) -> int:
        """Size of these files together, as far as it is known."""
        return sum(self.files[name].size or 0 for name in names)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "files": [asdict(file) for file in self.files.values()]}

    @classmethod
    def read(cls, path: Path) -> Listing:
        """A listing that was kept.

        Raises:
            CorruptFileError: it cannot be used.
        """
        try:
            kept = json.loads(path.read_bytes())
            files = {entry["name"]: RemoteFile(**entry) for entry in kept.pop("files")}
            listing = cls(files=files, **kept)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise CorruptFileError(
                f"not a list of remote files ({error!r}): remove it and try again", file=path
            ) from error
        require_plain_names(listing.uri, listing.files)
        return listing


class Source(Protocol):
    """A dataset elsewhere.

    Attributes:
        uri: where it lies, without secrets.
        identity: what tells its copies from those of other places.
        slug: the same in few words, for people.
    """

    uri: str
    identity: str
    slug: str

    def is_pinned(self, revision: str | None) -> bool:
        """Whether `revision` is a version already, which never changes."""
        ...

    def resolve(self, revision: str | None) -> str:
        """The version that `revision` is now.

        Raises:
            ConfigError: there is nothing.
            UnreachableError: no connection.
        """
        ...

    def listing(self, version: str) -> Listing:
        """The files of a version; raises what `resolve` raises."""
        ...

    def fetch(self, listing: Listing, name: str, target: Path, scratch: Path, told: Told) -> None:
        """Write a file's content to `target`, which is not there yet.

        Args:
            scratch: folder for what is needed meanwhile.

        Raises:
            DownloadError: it did not come.
        """
        ...


def version_of(files: Mapping[str, RemoteFile]) -> str:
    """40 hexadecimal digits that change with any name, size, checksum or tag."""
    lines = sorted(f"{f.name}\0{f.size}\0{f.checksum}\0{f.tag}\n" for f in files.values())
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:40]


def require_plain_names(uri: str, names: Mapping[str, RemoteFile]) -> None:
    """Refuse names that are not below the dataset.

    Raises:
        CorruptFileError: naming the first.
    """
    for name in names:
        odd = any(part in ("", ".", "..") for part in name.split("/")) or "\\" in name
        if odd or any(ord(letter) < 32 for letter in name):
            raise CorruptFileError(f"lists a file {name!r}, which leads out of it", file=uri)
