"""Files that are either complete under their name or not there at all.

Everything is written under a temporary name in the same folder, synced, renamed, and the folder
synced. Temporary names match `.*.tmp-*`; what a killed process leaves is removed by
`sweep_temporaries`.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from robocache.core.errors import StorageError
from robocache.runs.crash import crash_point

_ADVICE = {
    errno.ENOSPC: "the disk is full: free some space, then run the same command again",
    errno.EDQUOT: "the disk quota is used up: free some space, then run the same command again",
    errno.EROFS: "the file system is read-only: choose a folder on another one",
    errno.EACCES: "not permitted: check the owner and mode of the folder",
    errno.EPERM: "not permitted: check the owner and mode of the folder",
    errno.EEXIST: "it already exists: remove it or choose another name",
    errno.ENOTEMPTY: "it already exists: remove it or choose another name",
}


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn a full, read-only or forbidden disk into a StorageError that names the place."""
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0)
        if advice is None:
            raise
        raise StorageError(f"cannot write {path}: {advice} ({error})") from error


def sync_directory(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(folder: Path) -> None:
    """Create `folder` and its missing parents, durably; fine if it is there already.

    Raises:
        StorageError: it cannot be created.
    """
    if folder.is_dir():
        return
    make_directory(folder.parent)
    with storage_errors(folder):
        folder.mkdir(exist_ok=True)
        sync_directory(folder.parent)


def atomic_write(path: Path, data: bytes) -> None:
    """Replace the content of `path`; a reader sees the old content or the new, nothing else.

    Raises:
        StorageError: disk full, read-only or not permitted; the old content is untouched.
    """
    make_directory(path.parent)
    temporary = _temporary_name(path)
    try:
        with storage_errors(path):
            _write_synced(temporary, data)
            crash_point("file-written")
            os.replace(temporary, path)
            sync_directory(path.parent)
            crash_point("file-renamed")
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """A temporary folder to fill; it becomes `path` when the block ends without an error.

    Raises:
        StorageError: disk full, read-only, not permitted, or `path` already exists.
    """
    with scratch_directory(path) as folder:
        yield folder
        publish_directory(folder, path)


@contextmanager
def scratch_directory(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path`, removed at the end unless it was published."""
    make_directory(path.parent)
    folder = _temporary_name(path)
    try:
        with storage_errors(path):
            folder.mkdir()
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish_directory(folder: Path, path: Path) -> None:
    """Sync all of `folder` and rename it to `path`, which must not exist."""
    for parent, _, names in os.walk(folder):
        for name in names:
            _sync_file(Path(parent, name))
        sync_directory(Path(parent))
    crash_point("directory-written")
    with storage_errors(path):
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        os.rename(folder, path)
        sync_directory(path.parent)
    crash_point("directory-renamed")


def remove_directory(path: Path) -> None:
    """Remove a folder so that it is never seen half removed."""
    doomed = _temporary_name(path)
    with storage_errors(path):
        os.rename(path, doomed)
        sync_directory(path.parent)
        shutil.rmtree(doomed)


def sweep_temporaries(folder: Path) -> list[Path]:
    """Remove what killed writers left in `folder` and below; the paths removed.

    Only call it while nobody writes there.
    """
    found = sorted(folder.rglob(".*.tmp-*"))
    for path in found:
        remove(path)
    return found


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; fine if it is gone already."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_directory(folder: Path) -> str:
    """Hex sha256 of the relative names and contents of all files in `folder`."""
    return sha256_names({name: sha256_file(folder / name) for name in file_names(folder)})


def file_names(folder: Path) -> list[str]:
    """Sorted names of all files below `folder`, relative, with forward slashes."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def sha256_names(hashes: Mapping[str, str]) -> str:
    """Hex sha256 of a mapping name -> hash: the lines `name NUL hash LF`, sorted by name."""
    return sha256_lines(f"{name}\x00{digest}\n" for name, digest in sorted(hashes.items()))


def sha256_lines(lines: Iterable[str]) -> str:
    """Hex sha256 of the lines in the order given."""
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode())
    return digest.hexdigest()


def _temporary_name(path: Path) -> Path:
    return path.with_name(f".{path.name}.tmp-{os.getpid()}-{secrets.token_hex(4)}")


def _write_synced(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
