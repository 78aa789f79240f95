"""Depth and segmentation images of a MuJoCo scene by casting rays: no window, no GL, no GPU."""

from __future__ import annotations

import copy
from typing import Literal

import mujoco
import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import ConfigError, unknown_name
from robocache.envs.metaworld.shading import shade

MAX_DEPTH_M = 65.0
"""Surfaces further away than this count as no return, since 65 535 mm is all uint16 can hold."""

NOTHING, ROBOT, GRIPPER, SCENERY, FIRST_OBJECT = 0, 1, 2, 3, 4

_SCENERY_BODIES = ("world", "tablelink", "RetainingWall")
_ROBOT_ROOT, _GRIPPER_ROOT = "base", "right_hand"
_VISUAL_GROUPS = (0, 1, 2)

Geoms = Literal["collision", "visual"]


class RayCamera:
    """A depth camera with class labels, at one of the model's cameras.

    Classes in `segmentation`:

    | id   | class                                                                        |
    |------|------------------------------------------------------------------------------|
    | 0    | nothing: no return                                                           |
    | 1    | robot: the body `base` and everything attached to it, except the gripper     |
    | 2    | gripper: the body `right_hand` and everything attached to it                 |
    | 3    | scenery: floor, table (`tablelink`) and its rim (`RetainingWall`)            |
    | 4... | task objects: every other body with a geom, in order of body id, at most 255 |

    The numbers of the task objects depend on the model alone, so they are the same in every
    episode of a task; `classes` names them.

    Args:
        model: the compiled scene. It is copied: later changes of geom sizes, meshes or collision
            flags are not seen, moved bodies are.
        camera: name of a camera in the model.
        width: columns of the image, pixels.
        height: rows of the image, pixels.
        geoms: `collision` sees what can touch (contype or conaffinity set), several times
            faster but without the links of the arm; `visual` sees what a viewer shows (geom
            groups 0 to 2).
        part: rows and columns of the image that are seen, slices with both ends; None: all. The
            camera is then one with an image of that part alone.

    Raises:
        ConfigError: unknown camera or choice of geoms, or an image without pixels.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        camera: str,
        width: int,
        height: int,
        geoms: Geoms = "collision",
        part: tuple[slice, slice] | None = None,
    ) -> None:
        names = [model.camera(index).name for index in range(model.ncam)]
        if camera not in names:
            raise unknown_name("camera", camera, names)
        if width < 1 or height < 1:
            raise ConfigError(f"image of {width} x {height} pixels: both sides must be at least 1")
        self.camera_id = names.index(camera)
        rows, columns = part or (slice(0, int(height)), slice(0, int(width)))
        self.width, self.height = columns.stop - columns.start, rows.stop - rows.start
        focal = 0.5 * height / np.tan(np.radians(model.cam_fovy[self.camera_id]) / 2)
        centre = ((width - 1) / 2 - columns.start, (height - 1) / 2 - rows.start)
        self.intrinsics: NDArray[np.float64] = np.array(
            [[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1]]
        )
        """(3, 3) float64, OpenCV convention: the centre of the first pixel is at (0, 0)."""
        self.upside_down = bool(model.cam_mat0[self.camera_id].reshape(3, 3)[2, 1] < 0)
        """Whether the first row shows what is lowest: so in corner and corner2 to corner4."""
        self._rays = _ray_directions(self.intrinsics, self.width, self.height)
        self._model = _model_for_rays(model, _seen(model, geoms))
        self.classes, self._class_of_geom = _classes(model)
        self._geom_ids = np.empty(len(self._rays), np.int32)
        self._distances = np.empty(len(self._rays), np.float64)

    def render(self, data: mujoco.MjData) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
        """Depth and classes as the camera sees them now; `data` must hold forward kinematics.

        Returns:
            depth_mm: (H, W) uint16, distance along the optical axis in millimetres, 0 for none.
            segmentation: (H, W) uint8, class ids.
        """
        directions = self._rays @ data.cam_xmat[self.camera_id].reshape(3, 3).T
        mujoco.mj_multiRay(
            self._model,
            data,
            data.cam_xpos[self.camera_id],
            directions.ravel(),
            _first_group_only(),
            1,
            -1,
            self._geom_ids,
            self._distances,
            len(directions),
            mujoco.mjMAXVAL,
        )
        hit = (self._geom_ids >= 0) & (self._distances <= MAX_DEPTH_M)
        # Directions advance by one metre along the optical axis: distances are depths already.
        depth_mm = np.where(hit, np.rint(1000 * self._distances), 0).astype(np.uint16)
        segmentation = np.where(hit, self._class_of_geom[self._geom_ids], NOTHING).astype(np.uint8)
        shape = (self.height, self.width)
        return depth_mm.reshape(shape), segmentation.reshape(shape)

    def extrinsics(self, data: mujoco.MjData) -> NDArray[np.float64]:
        """(4, 4) float64 camera-to-world, camera axes as in OpenCV: x right, y down, z ahead."""
        pose = np.eye(4)
        pose[:3, :3] = data.cam_xmat[self.camera_id].reshape(3, 3) * (1, -1, -1)
        pose[:3, 3] = data.cam_xpos[self.camera_id]
        return pose

    def shade(
        self, depth_mm: NDArray[np.uint16], segmentation: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 picture of a rendered frame in false colours, lit from above left.

        A frame from a camera that hangs upside down is turned by half a turn.
        """
        intrinsics = self.intrinsics
        if self.upside_down:
            depth_mm, segmentation = depth_mm[::-1, ::-1], segmentation[::-1, ::-1]
            intrinsics = intrinsics.copy()
            intrinsics[:2, 2] = (self.width - 1, self.height - 1) - intrinsics[:2, 2]
        return shade(depth_mm, segmentation, intrinsics)


def _ray_directions(
    intrinsics: NDArray[np.float64], width: int, height: int
) -> NDArray[np.float64]:
    """(H * W, 3) in MuJoCo's camera frame (x right, y up, looking along -z), z = -1 in all."""
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    x = (columns - intrinsics[0, 2]) / intrinsics[0, 0]
    y = (rows - intrinsics[1, 2]) / intrinsics[1, 1]
    return np.stack([x, -y, -np.ones_like(x)], axis=-1).reshape(-1, 3)


def _seen(model: mujoco.MjModel, geoms: str) -> NDArray[np.bool_]:
    """(ngeom,) which geoms stop a ray."""
    if geoms == "collision":
        return np.asarray((model.geom_contype != 0) | (model.geom_conaffinity != 0))
    if geoms == "visual":
        return np.isin(model.geom_group, _VISUAL_GROUPS)
    raise unknown_name("choice of geoms", geoms, ("collision", "visual"))


def _model_for_rays(model: mujoco.MjModel, seen: NDArray[np.bool_]) -> mujoco.MjModel:
    """A copy in which group 0 holds the seen geoms and rays are not culled by angle.

    `mj_multiRay` skips geoms outside an angular window built from the corners of their boxes.
    Before MuJoCo 3.5 that window is too small for a wide box above or below the camera, and rays
    then pass through a table. Without a bounding volume it builds no windows.
    """
    private = copy.copy(model)
    private.geom_group[:] = np.where(seen, 0, 1)
    private.body_bvhadr[:] = -1
    return private


def _first_group_only() -> NDArray[np.uint8]:
    groups = np.zeros(mujoco.mjNGROUP, np.uint8)
    groups[0] = 1
    return groups


def _classes(model: mujoco.MjModel) -> tuple[dict[int, str], NDArray[np.uint8]]:
    """Name of each class and (ngeom,) the class of each geom."""
    class_of_body = np.zeros(model.nbody, np.uint8)
    names = {NOTHING: "nothing", ROBOT: "robot", GRIPPER: "gripper", SCENERY: "scenery"}
    next_object = FIRST_OBJECT
    for body in range(model.nbody):
        name = model.body(body).name
        parent_class = class_of_body[model.body_parentid[body]]
        if name == _GRIPPER_ROOT or parent_class == GRIPPER:
            class_of_body[body] = GRIPPER
        elif name == _ROBOT_ROOT or parent_class == ROBOT:
            class_of_body[body] = ROBOT
        elif body == 0 or name in _SCENERY_BODIES:
            class_of_body[body] = SCENERY
        elif model.body_geomnum[body] and model.body_mocapid[body] < 0:
            class_of_body[body] = next_object
            names.setdefault(next_object, name or f"body {body}")
            next_object = min(next_object + 1, 255)
    return names, class_of_body[model.geom_bodyid]
