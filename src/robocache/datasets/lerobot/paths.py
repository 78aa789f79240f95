"""Paths that metadata name: filled in, and never outside the dataset's folder."""

from __future__ import annotations

import re
import string
from pathlib import Path, PurePosixPath

from robocache.core.errors import CorruptFileError
from robocache.datasets.pointer import LFS_POINTER

_SPEC = re.compile(r"(0?\d{1,2})?d?")


def inside(root: Path, relative: str) -> Path:
    """`root / relative`.

    Raises:
        CorruptFileError: it would lead out of `root`.
    """
    path = PurePosixPath(relative)
    if path.is_absolute() or ".." in path.parts or "\0" in relative:
        raise CorruptFileError(f"the path {relative!r} leads out of the dataset", file=root)
    return root / path


def fill_path(root: Path, template: str, **values: int | str) -> Path:
    """A path template of info.json with its names replaced.

    Raises:
        CorruptFileError: it asks for other names than `values`, or leads out of `root`.
    """
    info = root / "meta" / "info.json"
    try:
        parts = list(string.Formatter().parse(template))
        for _, name, spec, conversion in parts:
            if name is not None and (name not in values or conversion or not _plain(spec)):
                raise ValueError(f"it asks for {{{name}}}")
        return inside(root, template.format(**values))
    except ValueError as error:
        raise CorruptFileError(
            f"the path {template!r} cannot be filled in ({error})", file=info
        ) from error
    except CorruptFileError as error:
        raise CorruptFileError(error.problem, file=info) from error


def _plain(spec: str | None) -> bool:
    return _SPEC.fullmatch(spec or "") is not None


def is_lfs_pointer(path: Path) -> bool:
    """Whether a file is what Git LFS leaves when the content was not fetched."""
    try:
        with path.open("rb") as file:
            return file.read(len(LFS_POINTER)) == LFS_POINTER
    except OSError:
        return False


def require_content(path: Path) -> None:
    """Raise CorruptFileError if `path` is a Git LFS pointer."""
    if is_lfs_pointer(path):
        raise CorruptFileError("a Git LFS pointer, not the data: run `git lfs pull`", file=path)
