"""One Meta-World scene whose episodes follow from their seed alone.

Meta-World ignores the seed given to `reset`, draws its layouts with replacement from a fixed set,
and keeps what earlier episodes moved in the model. Here the environment's class is built
directly, the model is put back before every episode, and the layout is drawn from the episode's
own generator. Rewards and success are Meta-World's, computed by its own `step`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import EnvError
from robocache.core.optional import require
from robocache.core.seeding import generator
from robocache.envs.metaworld.rotation import quaternion_xyzw
from robocache.envs.metaworld.tasks import OBJECT_ROTATIONS

PHYSICS_RATE_HZ = 400
TICKS_PER_STEP = 5
ARM_JOINTS = tuple(f"right_j{number}" for number in range(7))


class Judgement(NamedTuple):
    """What the task says about the present state."""

    reward: float
    success: bool
    details: dict[str, float]


class Simulation:
    """A Meta-World task stepped in physics ticks of 1/400 s.

    Args:
        task: Meta-World name without "-v3".
        max_steps: control steps that an episode may take.

    Raises:
        MissingDependencyError: metaworld or mujoco is not installed.
    """

    def __init__(self, task: str, max_steps: int) -> None:
        self._mujoco = require("mujoco", "sim")
        classes = require("metaworld.env_dict", "sim").ALL_V3_ENVIRONMENTS
        self._experts = require("metaworld.policies", "sim").ENV_POLICY_MAP
        env = classes[f"{task}-v3"]()
        env._partially_observable = False
        env._set_task_called = True
        env.seeded_rand_vec = True
        env.max_path_length = max_steps
        # Cached before the goal became observable, with bounds that clip the goal to zero.
        env.__dict__.pop("sawyer_observation_space", None)
        env._step_mujoco_simulation = self._advance
        self._env: Any = env
        self.model, self.data = env.model, env.data
        self._model_arrays = {
            name: getattr(self.model, name).copy() for name in ("body_pos", "site_pos")
        }
        self._expert = self._experts[f"{task}-v3"]()
        self._observation: NDArray[np.float64] = np.zeros(39)
        # Views of the simulator's own memory: always the present positions.
        self._hand, self._right_claw, self._left_claw = (
            self.data.body(name).xpos for name in ("hand", "rightclaw", "leftclaw")
        )
        frame = OBJECT_ROTATIONS.get(task)
        self._rotation = None if frame is None else getattr(self.data, frame[0])(frame[1]).xmat
        self._arm_angles = self._arm_slice(self.data.qpos, self.model.jnt_qposadr)
        self._arm_speeds = self._arm_slice(self.data.qvel, self.model.jnt_dofadr)
        self.tick = 0
        self.next_stop: Callable[[], int] | None = None
        self.on_stop: Callable[[int], None] | None = None

    def reset(self, seed: int) -> None:
        """Start the episode of `seed`; the physics tick is 0 afterwards."""
        recording, self.next_stop = self.next_stop, None
        self._clear()
        self._place(generator(seed, "layout"))
        self.next_stop = recording
        self.tick = 0
        self.update_positions()
        present = self._env._get_curr_obs_combined_no_goal()
        self._observation = np.hstack((present, present, self._env._get_pos_goal()))

    def _clear(self) -> None:
        """Undo everything that earlier episodes left in model, data and environment."""
        for name, values in self._model_arrays.items():
            getattr(self.model, name)[:] = values
        self._mujoco.mj_resetData(self.model, self.data)
        self._mujoco.mj_forward(self.model, self.data)
        self._env._did_see_sim_exception = False
        self._env._last_rand_vec = None

    def _place(self, layout: np.random.Generator) -> None:
        """Draw a layout, then set it up as Meta-World does for a given one.

        The first pass draws (with Meta-World's own rejection of objects that are too close); the
        arm need not move for that. The second repeats it with the layout frozen.
        """
        env = self._env
        env.np_random = layout
        env._freeze_rand_vec = False
        env._reset_hand = lambda steps=50: setattr(env, "init_tcp", env.tcp_center)
        env.reset_model()
        del env._reset_hand
        env._freeze_rand_vec = True
        env.reset()

    def step(self, action: NDArray[np.float32]) -> Judgement:
        """Apply `action` (4,) within [-1, 1] for five ticks.

        Raises:
            EnvError: the simulation became unstable.
        """
        observation, reward, _, _, info = self._env.step(action)
        self._observation = observation
        reward = float(reward)
        if not math.isfinite(reward) or not np.isfinite(observation).all():
            raise EnvError(
                f"the simulation became unstable at {self.tick / PHYSICS_RATE_HZ:.4f} s; "
                "drop this episode"
            )
        return self._judge(reward, info)

    def _judge(self, reward: float, info: dict[str, Any]) -> Judgement:
        details = {"obj_to_target": float(info["obj_to_target"])}
        return Judgement(reward, bool(info["success"]), details)

    def _advance(self, ctrl: Any, n_frames: int) -> None:
        """Replaces gymnasium's stepping: pauses at every tick that a sensor waits for.

        Contact forces on bodies, which gymnasium computes here, are read by no task.
        """
        self.data.ctrl[:] = ctrl
        if self.next_stop is None or self.on_stop is None:
            self._mujoco.mj_step(self.model, self.data, nstep=n_frames)
            return
        end = self.tick + n_frames
        while self.tick < end:
            stop = min(self.next_stop(), end)
            self._mujoco.mj_step(self.model, self.data, nstep=stop - self.tick)
            self.tick = stop
            self.on_stop(stop)

    def expert_action(self) -> NDArray[np.float32]:
        """(4,) float32 within [-1, 1]: what Meta-World's scripted expert does now."""
        with warnings.catch_warnings():
            # The experts ask for more than the bounds and say so each time.
            warnings.simplefilter("ignore", UserWarning)
            action = self._expert.get_action(self._expert_observation())
        return np.clip(np.asarray(action, dtype=np.float32), -1.0, 1.0)

    def _expert_observation(self) -> NDArray[np.float64]:
        return self._observation

    def update_positions(self) -> None:
        """Make body positions those of the present tick; `mj_step` leaves them one tick old.

        Positions follow from the joint state, so the trajectory is the same bits either way.
        """
        self._mujoco.mj_kinematics(self.model, self.data)

    def update_cameras(self) -> None:
        """Make camera and light poses those of the present body positions."""
        self._mujoco.mj_camlight(self.model, self.data)

    def _arm_slice(self, state: NDArray[np.float64], addresses: NDArray[np.int32]) -> Any:
        """The part of `state` that belongs to the arm, as a live view of (7,)."""
        first = int(addresses[self.model.joint(ARM_JOINTS[0]).id])
        last = int(addresses[self.model.joint(ARM_JOINTS[-1]).id])
        return state[first : last + 1]

    def read_joints(self, row: NDArray[np.float32]) -> None:
        """Write (14,): seven arm angles in rad, then their velocities in rad/s."""
        row[:7] = self._arm_angles
        row[7:] = self._arm_speeds

    def read_hand(self, row: NDArray[np.float32]) -> None:
        """Write (4,): hand position in metres and gripper opening (0 closed, 1 open)."""
        row[:3] = self._hand
        gap = self._right_claw - self._left_claw
        row[3] = min(math.sqrt(gap.dot(gap)) / 0.1, 1.0)

    def read_objects(self, row: NDArray[np.float32]) -> None:
        """Write (2, 7): position and quaternion (w, x, y, z) of two objects, zeros where unused.

        The numbers are those of Meta-World's observation, which has w last in some tasks.
        """
        positions = self._env._get_pos_objects()
        row[:] = 0.0
        row[0, :3] = positions[:3]
        if len(positions) > 3:
            row[1, :3] = positions[3:]
        if self._rotation is not None:
            x, y, z, w = quaternion_xyzw(self._rotation.tolist())
            row[0, 3:] = w, x, y, z
            return
        quaternions = self._env._get_quat_objects()
        row[0, 3:] = quaternions[:4]
        if len(quaternions) > 4:
            row[1, 3:] = quaternions[4:]

    def goal(self) -> NDArray[np.float32]:
        """(3,) float32, where the task wants the hand or the object, in metres."""
        return np.asarray(self._env._get_pos_goal(), dtype=np.float32).copy()
