"""Scenes in which two instructions are possible: the words alone say which is meant.

Drawer or window starts between open and closed. With the same seed, the task that opens and the
task that closes are the same bits in every stream; only the instruction differs (and what is
rewarded). A policy that ignores language succeeds in about half of the episodes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.envs.metaworld.simulation import Judgement, Simulation
from robocache.envs.metaworld.tasks import Scene

OPENING_AT_START = (0.35, 0.65)
HAND_OFFSET_M = np.array([0.08, 0.04, 0.04])


class SceneSimulation(Simulation):
    """A half-open drawer or window with one of two instructions.

    Args:
        scene: which scene, which direction.
        max_steps: control steps that an episode may take.

    Raises:
        MissingDependencyError: metaworld or mujoco is not installed.
    """

    def __init__(self, scene: Scene, max_steps: int) -> None:
        super().__init__(scene.base, max_steps)
        self._scene = scene
        self._expert = self._experts[f"{scene.expert}-v3"]()
        self._usual_hand = np.array(self._env.hand_init_pos, dtype=np.float64)
        joint = self.model.joint(scene.joint)
        self._qpos_at, self._qvel_at = int(joint.qposadr[0]), int(joint.dofadr[0])

    def _place(self, layout: np.random.Generator) -> None:
        low, high = OPENING_AT_START
        opening = layout.uniform(low, high)
        offset = layout.uniform(-HAND_OFFSET_M, HAND_OFFSET_M)
        self._env.hand_init_pos = self._usual_hand + offset
        super()._place(layout)
        scene = self._scene
        self.data.qpos[self._qpos_at] = scene.closed_m + opening * (scene.open_m - scene.closed_m)
        self.data.qvel[self._qvel_at] = 0.0

    def _judge(self, reward: float, info: dict[str, Any]) -> Judgement:
        """Reward 1 at the wanted end, 0 at the other, linear in between."""
        scene = self._scene
        wanted, other = scene.open_m, scene.closed_m
        if not scene.towards_open:
            wanted, other = other, wanted
        position = float(self.data.qpos[self._qpos_at])
        side = np.sign(other - wanted)
        to_wanted = max(float((position - wanted) * side), 0.0)
        to_other = max(float((other - position) * side), 0.0)
        travel = abs(other - wanted)
        details = {
            "obj_to_target": to_wanted,
            "opposite_success": float(to_other <= scene.tolerance_m),
        }
        return Judgement(
            max(1.0 - to_wanted / travel, 0.0), to_wanted <= scene.tolerance_m, details
        )

    def _expert_observation(self) -> NDArray[np.float64]:
        """The observation with the handle where this direction's expert expects it."""
        observation = self._observation.copy()
        if self._scene.expert == "drawer-open":
            # Comes down behind the handle: on top of it, it may push a half-open drawer shut.
            observation[5] += 0.016
        elif self._scene.expert == "window-close":
            observation[4:7] = self.data.site("handleCloseStart").xpos
        return observation
