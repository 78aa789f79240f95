"""What a dataset says of a camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from robocache.ops.deproject import Convention, deproject


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera.

    Attributes:
        intrinsics: (3, 3) float64, pixels of the stored pictures.
        extrinsics: (4, 4) float64, pose of the camera in the world, metres; None when the dataset
            does not tell it, as for a camera on a moving hand.
        convention: axes of the camera, see `robocache.ops.deproject`.
        note: where the numbers come from, and what they do not tell.
    """

    intrinsics: NDArray[np.float64]
    extrinsics: NDArray[np.float64] | None
    convention: Convention
    note: str = ""

    def points(self, depth: torch.Tensor) -> torch.Tensor:
        """(..., H, W) depth in metres as (..., H, W, 3) points, in the world if the pose is known,
        else in the frame of the camera."""
        pose = None if self.extrinsics is None else torch.from_numpy(self.extrinsics)
        return deproject(depth, torch.from_numpy(self.intrinsics), pose, self.convention)

    def to_json(self) -> dict[str, Any]:
        return {
            "intrinsics": self.intrinsics.tolist(),
            "extrinsics": None if self.extrinsics is None else self.extrinsics.tolist(),
            "convention": self.convention,
            "note": self.note,
        }


def points_seen(
    depth: torch.Tensor,
    intrinsics: torch.Tensor,
    extrinsics: torch.Tensor,
    convention: Convention = "opencv",
) -> torch.Tensor:
    """(B, O, H, W) depth in metres as (B, O, H, W, 3) points; sample b is seen by camera b.

    Args:
        depth, convention: as `deproject` takes them.
        intrinsics, extrinsics: (B, 3, 3) and (B, 4, 4); where all are the same, the rays of one
            camera serve for all samples.
    """
    if (intrinsics == intrinsics[0]).all() and (extrinsics == extrinsics[0]).all():
        return deproject(depth, intrinsics[0], extrinsics[0], convention)
    every = depth.shape[:2]
    return deproject(
        depth,
        intrinsics[:, None].expand(*every, 3, 3),
        extrinsics[:, None].expand(*every, 4, 4),
        convention,
    )
