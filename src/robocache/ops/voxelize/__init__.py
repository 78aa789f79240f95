"""Points to a dense grid of voxels."""

from robocache.ops.voxelize.checks import require_memory
from robocache.ops.voxelize.op import voxelize, voxelize_occupancy
from robocache.ops.voxelize.reference import Reduce

__all__ = ["Reduce", "require_memory", "voxelize", "voxelize_occupancy"]
