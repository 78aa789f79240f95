"""Tensor kernels. Knows tensors, not datasets or policies."""

from robocache.ops.align import align, fused_multimodal_alignment
from robocache.ops.augment import (
    ImageParameters,
    RangeParameters,
    augment,
    augment_depth,
    augment_geometry,
    augment_points,
    crop_intrinsics,
)
from robocache.ops.backends import available_backends
from robocache.ops.deproject import deproject
from robocache.ops.resample import ResamplePlan, apply_plan, plan_resample, resample_trajectories
from robocache.ops.voxelize import voxelize, voxelize_occupancy

__all__ = [
    "ImageParameters",
    "RangeParameters",
    "ResamplePlan",
    "align",
    "apply_plan",
    "augment",
    "augment_depth",
    "augment_geometry",
    "augment_points",
    "available_backends",
    "crop_intrinsics",
    "deproject",
    "fused_multimodal_alignment",
    "plan_resample",
    "resample_trajectories",
    "voxelize",
    "voxelize_occupancy",
]
