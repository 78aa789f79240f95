"""Paths that metadata name: filled in, and never outside the dataset's folder."""

from __future__ import annotations

import re
import string
from functools import lru_cache
from pathlib import Path

from robocache.core.errors import CorruptFileError
from robocache.datasets.pointer import is_lfs_pointer

LONGEST_NAME = 255  # bytes that file systems allow
_SPEC = re.compile(r"(0?\d{1,2})?d?")


def inside(root: Path, relative: str) -> Path:
    """`root / relative`.

    Raises:
        CorruptFileError: it would lead out of `root`.
    """
    parts = relative.split("/")
    if relative.startswith("/") or ".." in parts or "\0" in relative:
        raise CorruptFileError(f"the path {relative!r} leads out of the dataset", file=root)
    if any(len(part.encode(errors="replace")) > LONGEST_NAME for part in parts):
        raise CorruptFileError(f"the path {relative[:80]!r}... holds too long a name", file=root)
    return root / relative


def fill_path(root: Path, template: str, **values: int | str) -> Path:
    """A path template of info.json with its names replaced.

    Raises:
        CorruptFileError: it asks for other names than `values`, or leads out of `root`.
    """
    info = root / "meta" / "info.json"
    try:
        _require_only(template, frozenset(values))
        return inside(root, template.format(**values))
    except ValueError as error:
        raise CorruptFileError(
            f"the path {template!r} cannot be filled in ({error})", file=info
        ) from error
    except CorruptFileError as error:
        raise CorruptFileError(error.problem, file=info) from error


@lru_cache(maxsize=64)
def _require_only(template: str, names: frozenset[str]) -> None:
    for _, name, spec, conversion in string.Formatter().parse(template):
        if name is not None and (
            name not in names or conversion or not _SPEC.fullmatch(spec or "")
        ):
            raise ValueError(f"it asks for {{{name}}}")


def require_content(path: Path) -> None:
    """Raise CorruptFileError if `path` is a Git LFS pointer."""
    if is_lfs_pointer(path):
        raise CorruptFileError("a Git LFS pointer, not the data: run `git lfs pull`", file=path)
