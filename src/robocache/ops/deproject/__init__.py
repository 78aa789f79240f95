"""Depth images to points."""

from robocache.ops.deproject.reference import Convention, deproject

__all__ = ["Convention", "deproject"]
