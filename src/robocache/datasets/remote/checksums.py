"""Whether a file is what was announced: by size, and by the checksum its place tells."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import google_crc32c

from robocache.core.errors import DownloadError
from robocache.datasets.remote.listing import RemoteFile

_BLOCK = 2**22


class _Digest(Protocol):
    def update(self, data: bytes, /) -> object: ...
    def hexdigest(self) -> str | bytes: ...


def verified(path: Path, file: RemoteFile, uri: str) -> str:
    """The sha256 of what came for `file`.

    Raises:
        DownloadError: it has another size or checksum than was announced.
    """
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        raise DownloadError(
            f"{uri}: {file.name} came with {size} bytes, {file.size} were announced; the "
            f"connection broke or the file changed meanwhile: run the same command again"
        )
    sha256, found = digests(path, file.checksum)
    if found != file.checksum:
        raise DownloadError(
            f"{uri}: {file.name} came with checksum {found}, {file.checksum} was announced; it was "
            f"damaged on the way or changed meanwhile: run the same command again"
        )
    return sha256


def digests(path: Path, like: str) -> tuple[str, str]:
    """Hex sha256 of a file, and its checksum of the same kind as `like`; read once."""
    kind = like.partition(":")[0]
    sha256 = hashlib.sha256()
    other = _KINDS[kind](path.stat().st_size) if kind in _KINDS else None
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            sha256.update(block)
            if other is not None:
                other.update(block)
    if kind == "sha256":
        return sha256.hexdigest(), f"sha256:{sha256.hexdigest()}"
    return sha256.hexdigest(), "" if other is None else f"{kind}:{_hex(other)}"


def from_base64(kind: str, value: str) -> str:
    """A checksum as object stores tell it."""
    return f"{kind}:{base64.b64decode(value).hex()}"


def _git(size: int) -> _Digest:
    """The name git gives to a file's content."""
    return hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)


def _hex(digest: _Digest) -> str:
    found = digest.hexdigest()
    return found.decode() if isinstance(found, bytes) else found


_KINDS: dict[str, Callable[[int], _Digest]] = {
    "git": _git,
    "md5": lambda size: hashlib.md5(usedforsecurity=False),
    "crc32c": lambda size: google_crc32c.Checksum(),  # type: ignore[no-untyped-call]
}
"""Kind of checksum -> its digest for a file of so many bytes."""
