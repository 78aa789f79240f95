"""The checkpoint that a policy starts from, and what identifies it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from robocache.core.errors import CheckpointError


def identify(folder: Path) -> str:
    """sha256 over the names and contents of a checkpoint's weights and JSON files.

    Raises:
        CheckpointError: a file cannot be read, or there are no weights.
    """
    files = sorted([*folder.glob("*.safetensors"), *folder.glob("*.json")])
    if not any(path.suffix == ".safetensors" for path in files):
        raise CheckpointError(f"{folder} holds no *.safetensors")
    whole = hashlib.sha256()
    for path in files:
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256")
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read: {error}") from error
        whole.update(f"{path.name}\n{digest.hexdigest()}\n".encode())
    return whole.hexdigest()


def require_same(folder: Path, sha256: str) -> str:
    """What identifies a folder.

    Args:
        folder: of a checkpoint.
        sha256: what it was when a policy was trained from it; empty: not known.

    Raises:
        CheckpointError: it is another one now, or cannot be read.
    """
    found = identify(folder)
    if sha256 and found != sha256:
        raise CheckpointError(
            f"{folder} is not the base that the policy was trained from: its sha256 is "
            f"{found[:12]}, not {sha256[:12]}; give the right one back its name"
        )
    return found
