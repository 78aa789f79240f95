"""Camera sensors: depth and segmentation by casting rays, colour by OpenGL where there is one."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import EnvError
from robocache.core.optional import require
from robocache.core.stream import StreamSpec
from robocache.envs.metaworld.sampling import Sensor
from robocache.envs.metaworld.simulation import Simulation

CAMERA_RATE_HZ = 20.0
CAMERAS = (
    "topview",
    "corner",
    "corner2",
    "corner3",
    "corner4",
    "behindGripper",
    "gripperPOV",
)
_KINDS = {"depth": ("uint16", "mm"), "segmentation": ("uint8", "class"), "rgb": ("uint8", "")}
CAMERA_STREAMS = tuple(f"{camera}_{kind}" for camera in CAMERAS for kind in _KINDS)


class _Colour:
    """Colour images of one camera by OpenGL, off screen."""

    def __init__(self, model: Any, camera: str, height: int, width: int) -> None:
        self._mujoco = mujoco = require("mujoco", "sim")
        window = model.vis.global_
        window.offwidth = max(window.offwidth, width)
        window.offheight = max(window.offheight, height)
        try:
            with warnings.catch_warnings():
                # glfw tells by a warning that there is no display; the error comes right after.
                warnings.simplefilter("ignore")
                self._window = mujoco.GLContext(width, height)
                self._window.make_current()
                self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        except (ImportError, AttributeError, OSError, RuntimeError, mujoco.FatalError) as error:
            raise EnvError(
                f"the stream {camera}_rgb needs OpenGL, which could not be started ({error}); "
                "on a machine without a screen install libegl1 or libosmesa6 and set "
                "MUJOCO_GL=egl or MUJOCO_GL=osmesa before Python starts, or record "
                f"{camera}_depth and {camera}_segmentation, which need neither"
            ) from error
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._model = model
        self._scene = mujoco.MjvScene(model, maxgeom=10_000)
        self._options = mujoco.MjvOption()
        self._view = mujoco.MjvCamera()
        self._view.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._view.fixedcamid = model.camera(camera).id
        self._image = np.empty((height, width, 3), np.uint8)
        self._rectangle = mujoco.MjrRect(0, 0, width, height)

    def render(self, data: Any, row: NDArray[np.uint8]) -> None:
        mujoco = self._mujoco
        self._window.make_current()
        mujoco.mjv_updateScene(
            self._model,
            data,
            self._options,
            None,
            self._view,
            mujoco.mjtCatBit.mjCAT_ALL.value,
            self._scene,
        )
        mujoco.mjr_render(self._rectangle, self._scene, self._context)
        mujoco.mjr_readPixels(self._image, None, self._rectangle, self._context)
        row[...] = self._image[::-1]

    def close(self) -> None:
        self._context.free()
        self._window.free()


class Camera:
    """One camera with every kind of image that is asked of it, all captured at one instant.

    Args:
        simulation: the scene.
        camera: a name in `CAMERAS`.
        kinds: what to record, in any order.
        height, width: image size in pixels.
        geoms: what the rays of depth and segmentation see (see `RayCamera`).

    Raises:
        EnvError: colour was asked for and OpenGL could not be started.
    """

    def __init__(
        self,
        simulation: Simulation,
        camera: str,
        kinds: Sequence[str],
        height: int,
        width: int,
        geoms: Literal["collision", "visual"],
    ) -> None:
        from robocache.envs.metaworld.raycast import RayCamera

        self._simulation = simulation
        self._kinds = tuple(kinds)
        self._rays: RayCamera | None = None
        if {"depth", "segmentation"} & set(kinds):
            self._rays = RayCamera(simulation.model, camera, width, height, geoms)
        colour = "rgb" in kinds
        self._colour = _Colour(simulation.model, camera, height, width) if colour else None
        self.sensor = Sensor(
            name=camera,
            rate_hz=CAMERA_RATE_HZ,
            streams={
                f"{camera}_{kind}": StreamSpec(
                    (height, width, 3) if kind == "rgb" else (height, width),
                    dtype=_KINDS[kind][0],
                    rate_hz=CAMERA_RATE_HZ,
                    unit=_KINDS[kind][1],
                    privileged=kind == "segmentation",
                )
                for kind in self._kinds
            },
            capture=self._capture,
        )

    def _capture(self, *rows: NDArray[Any]) -> None:
        self._simulation.update_cameras()
        images = {}
        if self._rays is not None:
            depth, segmentation = self._rays.render(self._simulation.data)
            images = {"depth": depth, "segmentation": segmentation}
        for kind, row in zip(self._kinds, rows, strict=True):
            if kind == "rgb" and self._colour is not None:
                self._colour.render(self._simulation.data, row)
            else:
                row[...] = images[kind]

    def close(self) -> None:
        """Free the OpenGL context, if there is one."""
        if self._colour is not None:
            self._colour.close()


def kinds_by_camera(streams: Sequence[str]) -> dict[str, list[str]]:
    """Camera -> kinds of image, from names in `CAMERA_STREAMS`."""
    kinds: dict[str, list[str]] = {}
    for name in streams:
        camera, _, kind = name.rpartition("_")
        kinds.setdefault(camera, []).append(kind)
    return kinds
