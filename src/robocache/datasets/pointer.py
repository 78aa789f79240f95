"""What Git LFS leaves in place of a file that was not fetched."""

LFS_POINTER = b"version https://git-lfs"
"""How such a file begins."""
