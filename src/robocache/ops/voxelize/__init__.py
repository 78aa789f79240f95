"""Points to a dense grid of voxels."""

from robocache.ops.voxelize.reference import Reduce, voxelize

__all__ = ["Reduce", "voxelize"]
