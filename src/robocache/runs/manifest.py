"""The manifest of a run: what is needed to do it again, in `manifest.json` of its folder.

Of a complete run the store keeps a digest of every field, so a manifest that was changed by hand
is noticed, and the field is named.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from robocache.core.errors import CorruptFileError, RunError, StoreError
from robocache.runs.files import atomic_write
from robocache.runs.machine import (
    git_state,
    graphics_cards,
    memory_bytes,
    package_versions,
    processor,
    thread_variables,
)
from robocache.runs.plain import canonical_json, config_hash, plain

MANIFEST_VERSION = 2
MANIFEST_NAME = "manifest.json"


def collect_manifest(
    verb: str,
    config: Mapping[str, Any],
    *,
    started: str,
    ended: str | None = None,
    seeds: Sequence[int] = (),
    datasets: Mapping[str, str] | None = None,
    parents: Sequence[str] = (),
    threads: Mapping[str, Any] | None = None,
    sources: Mapping[str, str] | None = None,
    assets: Mapping[str, str] | None = None,
    skipped: Mapping[str, Any] | None = None,
    command: Sequence[str] | None = None,
    directory: Path | None = None,
) -> dict[str, Any]:
    """Everything about this process that its results depend on, as plain JSON values.

    Args:
        verb: what is run, e.g. "train".
        config: the resolved configuration.
        started, ended: ISO 8601 UTC; `ended` is None while it runs.
        seeds: root seeds.
        datasets: dataset name -> fingerprint.
        parents: ids of runs, or hashes of checkpoints, that this one builds on.
        threads: thread settings known to the caller, e.g. {"torch": 4}.
        sources: where inputs were found that the store does not hold: name -> path or module:name.
        assets: what a simulator is made of: name -> sha256.
        skipped: dataset name -> which of its episodes were left out as damaged, and why; the
            manifest says nothing of it where it is None.
        command: the command line; None: that of this process.
        directory: a folder of the checkout; None: the working directory.
    """
    return {
        "schema_version": MANIFEST_VERSION,
        "verb": verb,
        "config": plain(config),
        "config_hash": config_hash(config),
        "seeds": plain(list(seeds)),
        "datasets": plain(datasets or {}),
        "parents": plain(list(parents)),
        "sources": plain(sources or {}),
        "assets": plain(assets or {}),
        **({} if skipped is None else {"skipped": plain(skipped)}),
        "started": started,
        "ended": ended,
        "command": list(sys.argv if command is None else command),
        "directory": str(directory or Path.cwd()),
        "git": git_state(directory or Path.cwd()),
        "robocache": version("robocache"),
        "packages": package_versions(),
        "python": sys.version,
        "platform": platform.platform(),
        "host": platform.node(),
        "cpu": processor(),
        "memory_bytes": memory_bytes(),
        "threads": {**thread_variables(), **plain(threads or {})},
        **graphics_cards(),
    }


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> Path:
    """Write `manifest` into a run folder, atomically.

    Raises:
        StorageError: it cannot be written.
    """
    path = folder / MANIFEST_NAME
    atomic_write(path, (json.dumps(plain(manifest), indent=2, sort_keys=True) + "\n").encode())
    return path


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest in a file, or in a run folder, as it was written; see `upgraded`.

    Raises:
        RunError: there is none.
        CorruptFileError: it is not a manifest.
        StoreError: a newer version of this package wrote it.
    """
    file = path / MANIFEST_NAME if path.is_dir() else path
    try:
        manifest = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise RunError(f"there is no manifest at {file}: is this the folder of a run?") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CorruptFileError(f"not a manifest: {error}", file=file) from error
    found = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if type(found) is not int or found < 1:
        raise CorruptFileError(
            f"not a manifest: schema_version is {found!r}, expected {MANIFEST_VERSION}", file=file
        )
    if found > MANIFEST_VERSION:
        raise StoreError(
            f"manifest {file} has schema_version {found}, this version reads up to "
            f"{MANIFEST_VERSION}: upgrade robocache"
        )
    return dict(manifest)


def upgraded(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest of any version as one of this version; what it did not record is empty."""
    if manifest["schema_version"] == MANIFEST_VERSION:
        return dict(manifest)
    missing: dict[str, Any] = {"sources": {}, "assets": {}, "artifacts": {}, "resources": None}
    earlier = [upgraded(session) for session in manifest.get("earlier", [])]
    return {**missing, **manifest, "earlier": earlier, "schema_version": MANIFEST_VERSION}


def digests(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Field -> 16 digits of its sha256."""
    return {
        name: hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]
        for name, value in manifest.items()
    }
