"""Bringing several streams to one clock."""

from robocache.ops.align.reference import Aligned, align

__all__ = ["Aligned", "align"]
