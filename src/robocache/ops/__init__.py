"""Tensor kernels. Knows tensors, not datasets or policies."""

from robocache.ops.align import align, fused_multimodal_alignment
from robocache.ops.backends import available_backends
from robocache.ops.deproject import deproject
from robocache.ops.resample import ResamplePlan, apply_plan, plan_resample, resample_trajectories
from robocache.ops.voxelize import voxelize, voxelize_occupancy

__all__ = [
    "ResamplePlan",
    "align",
    "apply_plan",
    "available_backends",
    "deproject",
    "fused_multimodal_alignment",
    "plan_resample",
    "resample_trajectories",
    "voxelize",
    "voxelize_occupancy",
]
