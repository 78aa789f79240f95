"""Points to a dense grid of voxels."""

from robocache.ops.voxelize.reference import Reduce, require_memory, voxelize

__all__ = ["Reduce", "require_memory", "voxelize"]
