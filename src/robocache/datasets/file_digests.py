"""sha256 of the many files of a dataset, kept together so that only changed ones are read again.

Kept under the store's home. A file counts as unchanged while its inode, size, time of modification
and time of change are; one that changed a moment ago may change again within one tick of its clock,
so it is not kept.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from robocache.core.errors import StorageError
from robocache.runs.files import atomic_write, sha256_file
from robocache.runs.home import home

WORTH_KEEPING = 1000
"""Files; fewer small ones are read faster than they are found."""
LARGE_BYTES = 2**26
"""Of all files together; they are kept from here on, however few they are."""
_SETTLED_NS = 2 * 10**9


def file_digests(root: Path, paths: Sequence[Path]) -> list[str]:
    """sha256 of each of these files of the folder `root`."""
    stats = [path.stat() for path in paths]
    if len(paths) < WORTH_KEEPING and sum(stat.st_size for stat in stats) < LARGE_BYTES:
        return [sha256_file(path) for path in paths]
    name = hashlib.sha256(str(root.absolute()).encode()).hexdigest()[:32]
    kept = home() / "cache" / "indexes" / f"digests-{name}.json"
    known, now_ns = _load(kept), time.time_ns()
    digests, found = [], {}
    for path, stat in zip(paths, stats, strict=True):
        numbers = (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        state = f"{path} {numbers}"
        digest = known.get(state) or sha256_file(path)
        digests.append(digest)
        if now_ns - max(stat.st_mtime_ns, stat.st_ctime_ns) >= _SETTLED_NS:
            found[state] = digest
    if found != known:
        with suppress(StorageError):  # a home that cannot be written to only costs time
            atomic_write(kept, json.dumps(found).encode())
    return digests


def _load(path: Path) -> dict[str, str]:
    """State of a file -> its digest; nothing where that was not kept or is damaged."""
    try:
        known = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict) or not all(isinstance(v, str) for v in known.values()):
        return {}
    return known
