"""RoboCache: from raw robot logs and simulators to a policy that is promoted on evidence."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robocache.core import (
        ActionChunk,
        AlignmentPolicy,
        Episode,
        Observation,
        Stream,
        StreamInput,
        StreamSpec,
        Window,
    )
    from robocache.ops import (
        align,
        augment,
        augment_depth,
        augment_geometry,
        augment_points,
        available_backends,
        crop_intrinsics,
        deproject,
        fused_multimodal_alignment,
        resample_trajectories,
        voxelize,
        voxelize_occupancy,
    )

__version__ = "0.1.0"
__all__ = [
    "ActionChunk",
    "AlignmentPolicy",
    "Episode",
    "Observation",
    "Stream",
    "StreamInput",
    "StreamSpec",
    "Window",
    "__version__",
    "align",
    "augment",
    "augment_depth",
    "augment_geometry",
    "augment_points",
    "available_backends",
    "crop_intrinsics",
    "deproject",
    "fused_multimodal_alignment",
    "resample_trajectories",
    "voxelize",
    "voxelize_occupancy",
]
_OPS = (
    "align",
    "augment",
    "augment_depth",
    "augment_geometry",
    "augment_points",
    "available_backends",
    "crop_intrinsics",
    "deproject",
    "fused_multimodal_alignment",
    "resample_trajectories",
    "voxelize",
    "voxelize_occupancy",
)


def __getattr__(name: str) -> Any:  # as in robocache.core: nothing heavy before it is used
    if name in _OPS:
        from robocache import ops

        return getattr(ops, name)
    if name in __all__:
        from robocache import core

        return getattr(core, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__]
