"""Which version a dataset elsewhere has, and the folder of the cache where that version lies."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robocache.core.errors import UnreachableError
from robocache.datasets.remote.copy import LISTING, Copy
from robocache.datasets.remote.listing import Listing, Source
from robocache.runs import atomic_write, home, utc_now
from robocache.runs.lock import FileLock

_MOVING = "revisions.json"


@dataclass(frozen=True)
class Version:
    """What a revision is.

    Attributes:
        version: a commit, or a hash over what is listed.
        revision: as asked for; None: the newest.
        told_at: when its place last said so, UTC; None: it cannot change.
        trouble: why that was not asked just now; None: it was.
    """

    version: str
    revision: str | None = None
    told_at: str | None = None
    trouble: str | None = None

    def origin(self, source: Source) -> dict[str, Any]:
        """Where a dataset came from, as plain data."""
        told: dict[str, Any] = {"uri": source.uri, "version": self.version}
        if self.revision not in (None, self.version):
            told["revision"] = self.revision
        if self.trouble is not None:
            told["offline"] = f"version of {self.told_at}: {self.trouble}"
        return told


def resolve(source: Source, revision: str | None) -> Version:
    """The version that `revision` is; the last known one, with a warning, without a connection.

    Raises:
        ConfigError: there is no such dataset or revision.
        UnreachableError: no connection, and it was never told.
    """
    if revision is not None and source.is_pinned(revision):
        return Version(revision, revision)
    place = _folder(source) / _MOVING
    name = revision or ""
    try:
        version = source.resolve(revision)
    except UnreachableError as error:
        kept = _kept(place).get(name)
        if kept is None:
            raise
        warnings.warn(
            f"{error}; the version of {kept['at']} is used, {kept['version']}", stacklevel=2
        )
        return Version(kept["version"], revision, kept["at"], str(error))
    told_at = utc_now()
    with FileLock(place.with_name("lock")):
        for left in place.parent.glob(f".{_MOVING}.tmp-*"):
            left.unlink()
        known = {**_kept(place), name: {"version": version, "at": told_at}}
        atomic_write(place, json.dumps(known, indent=1).encode())
    return Version(version, revision, told_at)


def open_copy(source: Source, version: str) -> Copy:
    """What is here of a version; its listing is asked for once.

    Raises:
        ConfigError: there is no such version.
        UnreachableError: no connection, and it was never listed.
    """
    root = _folder(source) / version
    if (root / LISTING).is_file():
        return Copy(root, Listing.read(root / LISTING))
    copy = Copy(root, source.listing(version))
    copy.keep_listing()
    return copy


def _folder(source: Source) -> Path:
    words = re.sub(r"[^\w.]+", "-", source.slug).strip("-.")[:80]
    digest = hashlib.sha256(source.identity.encode()).hexdigest()[:12]
    return home() / "cache" / "remote" / f"{words}-{digest}"


def _kept(place: Path) -> dict[str, Any]:
    """Revision -> version and when it was told; nothing where the file cannot be used."""
    try:
        kept = json.loads(place.read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(kept, dict):
        return {}
    return {k: v for k, v in kept.items() if isinstance(v, dict) and {"version", "at"} <= set(v)}
