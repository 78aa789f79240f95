"""What a run left on disk: every file with its hash, so that a change is noticed later."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robocache.runs.checkpoints import LISTING_NAME
from robocache.runs.files import file_names, sha256_file

_CHECKPOINTS = "checkpoints/"
_DOOMED = "~"  # a folder that is being removed
_OTHERS = ("manifest.json", "lock", "report.html")


def list_artifacts(folder: Path) -> dict[str, dict[str, Any]]:
    """Name -> sha256 and size of the files that are the result of a run.

    A checkpoint is listed by its file `SHA256`, which lists the rest of it. Pages, locks and
    temporary files are no results.
    """
    return {
        name: {"sha256": sha256_file(folder / name), "bytes": (folder / name).stat().st_size}
        for name in list_artifact_names(folder)
    }


def list_artifact_names(folder: Path) -> list[str]:
    """Names of the files that count as results, sorted."""
    return [name for name in file_names(folder) if _is_result(name)]


def _is_result(name: str) -> bool:
    if name in _OTHERS or name.startswith(_DOOMED) or name.rpartition("/")[2].startswith("."):
        return False
    return not name.startswith(_CHECKPOINTS) or name.endswith(f"/{LISTING_NAME}")


def altered(folder: Path, name: str, recorded: Mapping[str, Any]) -> str | None:
    """What is wrong with an artifact, in words; None when it is as it was recorded."""
    path = folder / name
    if not path.is_file():
        return "is missing"
    found = sha256_file(path)
    if found == recorded["sha256"]:
        return None
    return f"is altered (sha256 {found[:12]}, recorded {recorded['sha256'][:12]})"
