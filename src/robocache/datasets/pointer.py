"""What Git LFS leaves in place of a file that was not fetched."""

from __future__ import annotations

from pathlib import Path

LFS_POINTER = b"version https://git-lfs"
"""How such a file begins."""


def is_lfs_pointer(path: Path) -> bool:
    """Whether a file is what Git LFS leaves when the content was not fetched."""
    try:
        with path.open("rb") as file:
            return file.read(len(LFS_POINTER)) == LFS_POINTER
    except OSError:
        return False
