"""What is here of one version of a dataset that lies elsewhere.

listing.json      its files, with sizes and checksums
files/            those that came: each whole and read-only, or not there
SHA256SUMS        their sha256, as `sha256sum` reads it
parts/            folders that show some of the files, by links
lock              held by whoever fetches
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from robocache.core.errors import CorruptFileError, StorageError
from robocache.datasets.lerobot.paths import inside
from robocache.datasets.remote.checksums import digests
from robocache.datasets.remote.listing import Listing, Source
from robocache.datasets.remote.transfer import Progress, transfer
from robocache.runs import atomic_directory, atomic_write, make_directory
from robocache.runs.files import remove, scratch_directory
from robocache.runs.lock import FileLock

LISTING = "listing.json"
SUMS = "SHA256SUMS"
SPARE_BYTES = 2**28
"""What a download leaves free on the disk."""


class Copy:
    """A folder of the cache.

    Args:
        root: the folder.
        listing: the files of the version.
    """

    def __init__(self, root: Path, listing: Listing) -> None:
        self.root, self.listing = root, listing
        self.place = inside(root / "files", listing.folder)
        self.lock = FileLock(root / "lock")

    @property
    def path(self) -> Path:
        """The dataset: its folder, or its only file."""
        return self.place / next(iter(self.listing.files)) if self.listing.single else self.place

    def keep_listing(self) -> None:
        with self.lock:
            self._sweep()
            text = json.dumps(self.listing.to_json(), indent=1)
            atomic_write(self.root / LISTING, text.encode())

    def file(self, name: str) -> Path:
        return inside(self.place, name)

    def missing(self, names: Iterable[str]) -> list[str]:
        """Those that did not come yet, or have not the size they came with."""
        return [name for name in names if not self._is_whole(name)]

    def altered(self, names: Iterable[str]) -> list[str]:
        """Those that are here and are not what came; reads all of them."""
        known = self._sums()
        found = []
        for name in names:
            path, announced = self.file(name), self.listing.files[name].checksum
            if path.is_file():
                sha256, checksum = digests(path, announced)
                if checksum != announced or known.get(name, sha256) != sha256:
                    found.append(name)
        return found

    def fetch(self, source: Source, names: Iterable[str], progress: Progress | None) -> int:
        """Make sure that these files are here; how many had to come.

        Raises:
            DownloadError: one did not come; those that came are kept.
            StorageError: there is no room.
        """
        wanted = list(names)
        if not self.missing(wanted):
            return 0
        with self.lock:
            self._sweep()
            missing = self.missing(wanted)
            if missing:
                require_room(self.root, self.listing.bytes(missing), self.listing.uri)
                with scratch_directory(self.root / "transfer") as scratch:
                    transfer(source, self, missing, scratch, progress)
        return len(missing)

    def put(self, name: str, came: Path, sha256: str) -> None:
        """Take over a file that came whole."""
        with (self.root / SUMS).open("ab", buffering=0) as sums:
            sums.write(f"{sha256}  {name}\n".encode())
        target = self.file(name)
        make_directory(target.parent)
        came.chmod(stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
        os.replace(came, target)

    def drop(self, names: Iterable[str]) -> None:
        """Remove files, so that they come again."""
        with self.lock:
            for name in names:
                remove(self.file(name))

    def part(self, request: str) -> Path:
        """The folder of the part that was asked for by `request`; perhaps not there."""
        return self.root / "parts" / request

    def make_part(self, request: str, names: list[str], keys: list[str] | None) -> dict[str, Any]:
        """A folder that shows some files, which are here; what is known of it."""
        about = {"names": names, "keys": keys}
        with self.lock:
            if self.part(request).exists():
                return about
            self._sweep()
            with atomic_directory(self.part(request)) as folder:
                shown = inside(folder, self.listing.folder)
                for name in names:
                    link = inside(shown, name)
                    link.parent.mkdir(parents=True, exist_ok=True)
                    link.symlink_to(os.path.relpath(self.file(name), link.parent))
                (folder / "part.json").write_text(json.dumps(about))
        return about

    def read_part(self, request: str) -> dict[str, Any] | None:
        """What is known of a part; None: it was not made yet.

        Raises:
            CorruptFileError: it cannot be used.
        """
        path = self.part(request) / "part.json"
        if not path.is_file():
            return None
        try:
            about: dict[str, Any] = json.loads(path.read_bytes())
            if not set(about["names"]) <= set(self.listing.files):
                raise ValueError("it names files that do not exist")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CorruptFileError(f"damaged ({error!r}): remove its folder", file=path) from error
        return about

    def _sweep(self) -> None:
        """Remove what killed processes left; only with the lock."""
        for folder in (self.root, self.root / "parts"):
            for left in folder.glob(".*.tmp-*"):
                remove(left)

    def _is_whole(self, name: str) -> bool:
        size = self.listing.files[name].size
        try:
            about = self.file(name).stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return stat.S_ISREG(about.st_mode) and size in (None, about.st_size)

    def _sums(self) -> dict[str, str]:
        """Name -> sha256 it came with; the last line of a name counts."""
        path = self.root / SUMS
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        lines = (re.fullmatch(r"([0-9a-f]{64})  (.+)", line) for line in text.splitlines())
        return {line[2]: line[1] for line in lines if line}


def require_room(folder: Path, size: int, uri: str) -> None:
    """Refuse what does not fit on the disk.

    Raises:
        StorageError: with both figures.
    """
    make_directory(folder)
    free = shutil.disk_usage(folder).free
    if size + SPARE_BYTES > free:
        raise StorageError(
            f"{uri} needs {size / 1e9:.3f} GB, and {free / 1e9:.3f} GB are free at {folder} "
            f"({SPARE_BYTES / 1e9:.1f} GB of it stay free): free some space, set ROBOCACHE_HOME to "
            f"a folder on another disk, or take fewer episodes"
        )
