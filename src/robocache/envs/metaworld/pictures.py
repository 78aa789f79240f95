"""Pictures of judged episodes: played again from their actions, drawn without a graphics card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.core.episode import Episode
from robocache.core.errors import EnvError
from robocache.envs.metaworld.env import MetaWorldConfig, MetaWorldEnv
from robocache.envs.metaworld.tasks import GOALS

CAMERA, HEIGHT, WIDTH = "corner4", 180, 240
WORKSPACE = (slice(34, 169), slice(4, 184))
"""Rows and columns of the whole image, which hangs upside down, that are drawn."""

GOAL_COLOUR = (208, 2, 72)
RING_PX = (4.5, 7.0)


class Stage:
    """A task's scene in which its recorded episodes are played again and drawn.

    Args:
        task: e.g. "metaworld/reach".
        options: fields of `MetaWorldConfig` the episodes were made with.
    """

    def __init__(self, task: str, options: Mapping[str, Any]) -> None:
        from robocache.envs.metaworld.raycast import RayCamera

        name = task.partition("/")[2]
        self._env = MetaWorldEnv(MetaWorldConfig(task=name, **{**options, "sensors": ()}))
        model = self._env._simulation.model
        self._camera = RayCamera(model, CAMERA, WIDTH, HEIGHT, "visual", WORKSPACE)
        self._goal = name in GOALS

    def draw_moments(
        self, episode: Episode, seed: int, count: int
    ) -> tuple[list[NDArray[np.uint8]], list[str]]:
        """`count` moments of an episode, evenly spaced from its start to its end.

        False colours by class; a ring marks the goal in tasks that have one.

        Args:
            episode: with its executed actions.
            seed: that its environment was reset with.

        Returns:
            (135, 180, 3) uint8 pictures, and the time of each as text.

        Raises:
            EnvError: played again, the episode ends otherwise than recorded.
        """
        actions = episode.stream("action").values[:]
        moments = set(np.linspace(0, len(actions), count).round().astype(int).tolist())
        step = self._env.reset(seed)
        solved = False
        pictures, times = [], []
        for number in range(len(actions) + 1):
            if number:
                step = self._env.step(actions[number - 1])
                solved |= step.success
            if number in moments:
                pictures.append(self._picture())
                times.append(f"{step.now_s:.2f} s")
        if solved != episode.outcome.success:
            raise EnvError(
                f"episode {episode.key} was recorded as {_words(episode.outcome.success)} and is "
                f"now {_words(solved)}: it was made with {episode.provenance.simulator}, this is "
                f"{self._env.spec.version}; make it again with this version"
            )
        return pictures, times

    def close(self) -> None:
        self._env.close()

    def _picture(self) -> NDArray[np.uint8]:
        simulation = self._env._simulation
        simulation.update_positions()
        simulation.update_cameras()
        picture = self._camera.shade(*self._camera.render(simulation.data))
        if self._goal:
            _draw_ring(picture, _pixel(self._camera, simulation.data, simulation.goal()))
        return picture


def _pixel(camera: Any, data: Any, point_m: NDArray[np.float32]) -> tuple[float, float]:
    """Row and column at which a point of the world is seen in the upright picture."""
    pose = camera.extrinsics(data)
    x, y, z = pose[:3, :3].T @ (point_m - pose[:3, 3])
    column, row, _ = camera.intrinsics @ (x / z, y / z, 1.0)
    if camera.upside_down:
        return camera.height - 1 - row, camera.width - 1 - column
    return row, column


def _draw_ring(picture: NDArray[np.uint8], centre: tuple[float, float]) -> None:
    rows, columns = np.indices(picture.shape[:2])
    distance = np.hypot(rows - centre[0], columns - centre[1])
    inner, outer = RING_PX
    picture[(distance >= inner - 1) & (distance <= outer + 1)] = 255
    picture[(distance >= inner) & (distance <= outer)] = GOAL_COLOUR


def _words(success: bool | None) -> str:
    return "solved" if success else "not solved"
