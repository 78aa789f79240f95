"""Pictures and ranges as other cameras and sensors would have taken them."""

from robocache.ops.augment.images import augment
from robocache.ops.augment.parameters import ImageParameters, RangeParameters
from robocache.ops.augment.ranges import augment_depth, augment_points

__all__ = [
    "ImageParameters",
    "RangeParameters",
    "augment",
    "augment_depth",
    "augment_points",
]
