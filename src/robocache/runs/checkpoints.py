"""Checkpoints on disk: folders that are complete, hashed, and never overwritten.

Every checkpoint holds a file `SHA256` in the format of `sha256sum`, so `sha256sum -c SHA256`
checks it too. The *identity* of a checkpoint is the hash over the files that make the policy what
it is: all but those below `training/`, which only continuing the training needs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from robocache.core.errors import CheckpointError
from robocache.runs.files import (
    atomic_write,
    file_names,
    publish_directory,
    scratch_directory,
    sha256_file,
    sha256_names,
    storage_errors,
)

LISTING_NAME = "SHA256"
_HEADER = "# robocache checkpoint 1"
_OTHERS = "# not part of the identity"
_TRAINING = "training/"
_STEP = re.compile(r"step-(\d{8,})")


@dataclass(frozen=True)
class Listing:
    """What `SHA256` of a checkpoint says: file name -> hash, apart for identity and the rest."""

    identity: dict[str, str]
    others: dict[str, str]

    @property
    def sha256(self) -> str:
        """The identity hash."""
        return sha256_names(self.identity)


def checkpoint_folder(run_folder: Path, step: int) -> Path:
    """Where the checkpoint of a step belongs."""
    return run_folder / "checkpoints" / f"step-{step:08d}"


def commit_checkpoint(writer: Callable[[Path], None], destination: Path) -> str:
    """Let `writer` fill a temporary folder, then make it the checkpoint `destination`.

    Args:
        writer: writes all files into the folder it is given.

    Returns:
        The identity hash. If `destination` already holds the same, it is left as it is.

    Raises:
        CheckpointError: nothing was written outside `training/`, or `destination` holds another
            or a damaged checkpoint.
        StorageError: it cannot be written; nothing is left behind.
    """
    with scratch_directory(destination) as folder:
        writer(folder)
        listing = _listed(folder, destination)
        if destination.exists():
            _require_same(destination, listing.sha256)
        else:
            atomic_write(folder / LISTING_NAME, _text(listing).encode())
            publish_directory(folder, destination)
    return listing.sha256


def read_listing(path: Path) -> Listing:
    """What was recorded when the checkpoint was made; its files are not read.

    Raises:
        CheckpointError: `path` is not a checkpoint.
    """
    file = path / LISTING_NAME
    if not file.is_file():
        raise CheckpointError(f"{path} is not a checkpoint: it has no {LISTING_NAME} file")
    lines = file.read_text(errors="replace").rstrip("\n").split("\n")
    if len(lines) < 3 or lines[0] != _HEADER:
        raise CheckpointError(f"{file} is altered: its first line must be {_HEADER!r}")
    middle = lines.index(_OTHERS) if _OTHERS in lines else len(lines)
    identity, others = _hashes(lines[2:middle]), _hashes(lines[middle + 1 :])
    listing = Listing(identity, others)
    if lines[1] != f"# identity {listing.sha256}":
        raise CheckpointError(f"{file} is altered: its lines do not give the identity it states")
    return listing


def verify_checkpoint(path: Path) -> str:
    """Read every file and compare; the identity hash.

    Raises:
        CheckpointError: a file is altered, missing or was added; the message names it.
    """
    sha256 = read_listing(path).sha256
    for name, problem in altered_files(path):
        raise CheckpointError(
            f"checkpoint {path}: {name} {problem}; restore it from a copy or use another checkpoint"
        )
    return sha256


def altered_files(path: Path) -> Iterator[tuple[str, str]]:
    """Name of every file of a checkpoint that is not what was recorded, and what is wrong."""
    listing = read_listing(path)
    recorded = {**listing.identity, **listing.others}
    present = set(file_names(path)) - {LISTING_NAME}
    for name, digest in sorted(recorded.items()):
        if name not in present:
            yield name, "is missing"
            continue
        found = sha256_file(path / name)
        if found != digest:
            yield name, f"is altered (sha256 {found[:12]}, recorded {digest[:12]})"
    for name in sorted(present - recorded.keys()):
        yield name, "was added after it was made"


def list_checkpoints(run_folder: Path) -> dict[int, Path]:
    """Step -> folder of every complete checkpoint of a run, in the order of steps."""
    folder = run_folder / "checkpoints"
    found = {}
    for path in folder.iterdir() if folder.is_dir() else ():
        match = _STEP.fullmatch(path.name)
        if match and (path / LISTING_NAME).is_file():
            found[int(match[1])] = path
    return dict(sorted(found.items()))


def latest_checkpoint(run_folder: Path) -> Path | None:
    """The complete checkpoint with the highest step."""
    return next(reversed(list_checkpoints(run_folder).values()), None)


def _listed(folder: Path, destination: Path) -> Listing:
    with storage_errors(destination):
        hashes = {name: sha256_file(folder / name) for name in file_names(folder)}
    for name in hashes:
        if "\n" in name or "\\" in name or name == LISTING_NAME:
            raise CheckpointError(f"checkpoint {destination}: a file may not be named {name!r}")
    identity = {name: h for name, h in hashes.items() if not name.startswith(_TRAINING)}
    if not identity:
        raise CheckpointError(
            f"checkpoint {destination}: no file was written outside {_TRAINING} "
            f"(written: {', '.join(hashes) or 'none'})"
        )
    return Listing(identity, {name: h for name, h in hashes.items() if name not in identity})


def _hashes(lines: Sequence[str]) -> dict[str, str]:
    """`<hash>  <name>` lines as name -> hash."""
    pairs = (line.partition("  ") for line in lines)
    return {name: digest for digest, _, name in pairs}


def _text(listing: Listing) -> str:
    lines = [_HEADER, f"# identity {listing.sha256}"]
    lines += [f"{digest}  {name}" for name, digest in sorted(listing.identity.items())]
    if listing.others:
        lines.append(_OTHERS)
        lines += [f"{digest}  {name}" for name, digest in sorted(listing.others.items())]
    return "\n".join(lines) + "\n"


def _require_same(destination: Path, sha256: str) -> None:
    found = verify_checkpoint(destination)
    if found != sha256:
        raise CheckpointError(
            f"{destination} already holds checkpoint {found[:12]}, and the same step now gave "
            f"{sha256[:12]}: training is not deterministic here, or this is another run; "
            f"remove that folder or use another run name"
        )
