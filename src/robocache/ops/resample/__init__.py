"""Bringing samples taken at their own times to other times."""

from robocache.ops.resample.op import resample_trajectories
from robocache.ops.resample.plan import ResamplePlan, plan_resample
from robocache.ops.resample.reference import apply_plan

__all__ = ["ResamplePlan", "apply_plan", "plan_resample", "resample_trajectories"]
