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

CAMERA, HEIGHT, WIDTH = "corner4", 240, 320
WORKSPACE = (slice(15, 195), slice(75, 315))
"""Rows and columns of the whole image that are shown."""

GOAL_COLOUR = (208, 2, 72)
RING_PX = (6.0, 9.0)


def draw_moments(
    episode: Episode, seed: int, options: Mapping[str, Any], count: int
) -> tuple[list[NDArray[np.uint8]], list[str]]:
    """`count` moments of an episode, evenly spaced from its start to its end.

    False colours by class; a ring marks the goal in tasks that have one.

    Args:
        episode: one of a Meta-World task, with its executed actions.
        seed: that its environment was reset with.
        options: fields of `MetaWorldConfig` it was made with.

    Returns:
        (180, 240, 3) uint8 pictures, and the time of each as text.

    Raises:
        EnvError: played again, the episode ends otherwise than recorded.
    """
    from robocache.envs.metaworld.raycast import RayCamera

    task = episode.provenance.task.partition("/")[2]
    env = MetaWorldEnv(MetaWorldConfig(task=task, **{**options, "sensors": ()}))
    simulation = env._simulation
    camera = RayCamera(simulation.model, CAMERA, WIDTH, HEIGHT, "visual")
    goal = task in GOALS
    actions = episode.stream("action").values[:]
    moments = set(np.linspace(0, len(actions), count).round().astype(int).tolist())
    step = env.reset(seed)
    solved = False
    pictures, times = [], []
    for number in range(len(actions) + 1):
        if number:
            step = env.step(actions[number - 1])
            solved |= step.success
        if number in moments:
            simulation.update_positions()
            simulation.update_cameras()
            picture = camera.shade(*camera.render(simulation.data))
            if goal:
                _draw_ring(picture, _pixel(camera, simulation.data, simulation.goal()))
            pictures.append(picture[WORKSPACE])
            times.append(f"{step.now_s:.2f} s")
    env.close()
    if solved != episode.outcome.success:
        raise EnvError(
            f"episode {episode.key} was recorded as {_words(episode.outcome.success)} and is now "
            f"{_words(solved)}: it was made with {episode.provenance.simulator}, this is "
            f"{env.spec.version}; make it again with this version"
        )
    return pictures, times


def _pixel(camera: Any, data: Any, point_m: NDArray[np.float32]) -> tuple[float, float]:
    """Row and column at which a point of the world is seen in the upright picture."""
    pose = camera.extrinsics(data)
    x, y, z = pose[:3, :3].T @ (point_m - pose[:3, 3])
    column, row, _ = camera.intrinsics @ (x / z, y / z, 1.0)
    if camera.upside_down:
        return HEIGHT - 1 - row, WIDTH - 1 - column
    return row, column


def _draw_ring(picture: NDArray[np.uint8], centre: tuple[float, float]) -> None:
    rows, columns = np.indices(picture.shape[:2])
    distance = np.hypot(rows - centre[0], columns - centre[1])
    inner, outer = RING_PX
    picture[(distance >= inner - 1) & (distance <= outer + 1)] = 255
    picture[(distance >= inner) & (distance <= outer)] = GOAL_COLOUR


def _words(success: bool | None) -> str:
    return "solved" if success else "not solved"
