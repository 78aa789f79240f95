"""Pictures and ranges as other cameras and sensors would have taken them."""

from robocache.ops.augment.geometry import augment_geometry, crop_intrinsics
from robocache.ops.augment.images import augment
from robocache.ops.augment.parameters import ImageParameters, RangeParameters
from robocache.ops.augment.ranges import augment_depth, augment_points

__all__ = [
    "ImageParameters",
    "RangeParameters",
    "augment",
    "augment_depth",
    "augment_geometry",
    "augment_points",
    "crop_intrinsics",
]
