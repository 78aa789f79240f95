"""Meta-World tasks as environments with sensors on their own clocks."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from robocache.core.env import EnvSpec, Samples, Step
from robocache.core.errors import ConfigError, EnvError, unknown_name
from robocache.core.seeding import generator
from robocache.core.stream import StreamSpec
from robocache.envs.metaworld.cameras import CAMERA_STREAMS, Camera, kinds_by_camera
from robocache.envs.metaworld.instructions import Split, phrases
from robocache.envs.metaworld.sampling import Sampler, Sensor
from robocache.envs.metaworld.scenes import SceneSimulation
from robocache.envs.metaworld.simulation import (
    PHYSICS_RATE_HZ,
    TICKS_PER_STEP,
    Simulation,
)
from robocache.envs.metaworld.tasks import ALL_TASKS, GOALS, SCENES

STATE_SENSORS = ("joints", "end_effector", "object_pose")


@dataclass(frozen=True, kw_only=True)
class MetaWorldConfig:
    """Which task, and what is recorded of it.

    Attributes:
        task: a name in `ALL_TASKS` or `SCENES`.
        max_steps: control steps (1/80 s) until truncation.
        phrases: instructions used in training, or others that mean the same.
        sensors: names in `STATE_SENSORS`, and `<camera>_depth`, `<camera>_segmentation` or
            `<camera>_rgb` for a camera in `CAMERAS`. The stream `goal` needs no sensor.
        clock_jitter_s: standard deviation of each sensor's firing times in seconds.
        image_height, image_width: size of camera images in pixels.
        camera_geoms: what depth and segmentation see: `collision` shapes (fast, without the
            arm's links) or `visual` ones.

    Raises:
        ConfigError: unknown task, sensor or option, or a number out of range.
    """

    task: str
    max_steps: int = 300
    phrases: Split = "train"
    sensors: tuple[str, ...] = STATE_SENSORS
    clock_jitter_s: float = 0.0
    image_height: int = 84
    image_width: int = 84
    camera_geoms: Literal["collision", "visual"] = "collision"

    def __post_init__(self) -> None:
        if self.task not in ALL_TASKS and self.task not in SCENES:
            raise unknown_name("Meta-World task", self.task, [*ALL_TASKS, *SCENES])
        if self.phrases not in ("train", "held_out"):
            raise unknown_name("set of phrases", self.phrases, ["train", "held_out"])
        if self.camera_geoms not in ("collision", "visual"):
            raise unknown_name("camera_geoms", self.camera_geoms, ["collision", "visual"])
        for sensor in self.sensors:
            if sensor not in STATE_SENSORS and sensor not in CAMERA_STREAMS:
                raise unknown_name("sensor", sensor, [*STATE_SENSORS, *CAMERA_STREAMS])
        if len(set(self.sensors)) < len(self.sensors):
            raise ConfigError(f"a sensor is named twice in {self.sensors}")
        if self.max_steps < 1:
            raise ConfigError(f"max_steps must be at least 1, got {self.max_steps}")
        if not 0 <= self.clock_jitter_s < 1:
            raise ConfigError(
                f"clock_jitter_s must be seconds in [0, 1), got {self.clock_jitter_s}"
            )


class MetaWorldEnv:
    """A Meta-World task: an `Env` and an `Expert`.

    Physics runs at 400 Hz, control at 80 Hz. Every sensor fires on a clock of its own, its first
    sample at time 0, and stamps samples with the physics time of the capture:

    | stream                         | sample                                    | rate   |
    |--------------------------------|-------------------------------------------|--------|
    | joints                         | (14,) float32: 7 angles, 7 velocities     | 200 Hz |
    | end_effector                   | (4,) float32: hand position, gripper 0..1 | 100 Hz |
    | object_pose (privileged)       | (2, 7) float32: as Meta-World observes    | 50 Hz  |
    | goal                           | (3,) float32, part of what is asked       | once   |
    | <camera>_depth                 | (H, W) uint16 millimetres                 | 20 Hz  |
    | <camera>_segmentation (priv.)  | (H, W) uint8 class                        | 20 Hz  |
    | <camera>_rgb                   | (H, W, 3) uint8, needs OpenGL             | 20 Hz  |

    `goal` has no sample in tasks that are not in `GOALS`: nothing but the words and the scene tells
    what is asked there.

    Actions are (4,): hand velocity along x, y, z and gripper effort, clipped to [-1, 1].

    Raises:
        MissingDependencyError: metaworld or mujoco is not installed.
        EnvError: a colour camera was asked for and OpenGL could not be started.
    """

    def __init__(self, config: MetaWorldConfig) -> None:
        self.config = config
        task, max_steps = config.task, config.max_steps
        scene = SCENES.get(task)
        self._simulation = (
            Simulation(task, max_steps) if scene is None else SceneSimulation(scene, max_steps)
        )
        self._cameras: list[Camera] = []
        sensors = [*self._state_sensors(), *self._camera_sensors()]
        self._sampler = Sampler(
            sensors,
            max_steps * TICKS_PER_STEP,
            config.clock_jitter_s,
            self._simulation.update_positions,
        )
        self._simulation.next_stop = self._sampler.next_tick
        self._simulation.on_stop = self._sampler.sample
        self._spec = self._make_spec(sensors)
        self._instruction: str | None = None
        self._steps = 0

    @property
    def spec(self) -> EnvSpec:
        return self._spec

    @property
    def instruction(self) -> str:
        if self._instruction is None:
            raise EnvError("the instruction is known after reset(seed)")
        return self._instruction

    def reset(self, seed: int) -> Step:
        choices = phrases(self.config.task, self.config.phrases)
        chosen = generator(seed, "instruction").integers(len(choices))
        self._instruction = choices[int(chosen)]
        self._steps = 0
        self._simulation.reset(seed)
        self._sampler.reset(seed)
        samples = self._sampler.report()
        if self.config.task in GOALS:
            samples["goal"] = Samples(self._simulation.goal()[None], np.zeros(1))
        return Step(now_s=0.0, samples=samples)

    def step(self, action: NDArray[np.float32]) -> Step:
        """Apply `action` (4,), clipped to [-1, 1], for 1/80 s.

        Raises:
            EnvError: the action has the wrong shape or is not finite, the episode is not
                running, or the simulation became unstable.
        """
        judgement = self._simulation.step(self._checked(action))
        self._steps += 1
        return Step(
            now_s=self._simulation.tick / PHYSICS_RATE_HZ,
            samples=self._sampler.report(),
            reward=judgement.reward,
            truncated=self._steps == self.config.max_steps,
            success=judgement.success,
            details=judgement.details,
        )

    def expert_action(self) -> NDArray[np.float32]:
        if self._instruction is None:
            raise EnvError("call reset(seed) before expert_action()")
        return self._simulation.expert_action()

    def close(self) -> None:
        for camera in self._cameras:
            camera.close()
        self._cameras = []

    def _checked(self, action: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._instruction is None or self._steps >= self.config.max_steps:
            raise EnvError("no episode is running: call reset(seed) before step(action)")
        action = np.asarray(action, dtype=np.float32)
        if action.shape != (4,) or not np.isfinite(action).all():
            raise EnvError(f"an action must be (4,) finite numbers, got {action!r}")
        return np.clip(action, -1.0, 1.0)

    def _state_sensors(self) -> list[Sensor]:
        simulation = self._simulation
        joints = StreamSpec((14,), rate_hz=200.0, unit="rad, rad/s")
        hand = StreamSpec((4,), rate_hz=100.0, unit="m, share open")
        objects = StreamSpec((2, 7), rate_hz=50.0, unit="m, quaternion wxyz", privileged=True)
        known = (
            Sensor(
                "joints", 200.0, {"joints": joints}, simulation.read_joints, needs_positions=False
            ),
            Sensor("end_effector", 100.0, {"end_effector": hand}, simulation.read_hand),
            Sensor("object_pose", 50.0, {"object_pose": objects}, simulation.read_objects),
        )
        return [sensor for sensor in known if sensor.name in self.config.sensors]

    def _camera_sensors(self) -> list[Sensor]:
        config = self.config
        wanted = [name for name in config.sensors if name not in STATE_SENSORS]
        for camera, kinds in kinds_by_camera(wanted).items():
            self._cameras.append(
                Camera(
                    self._simulation,
                    camera,
                    kinds,
                    config.image_height,
                    config.image_width,
                    config.camera_geoms,
                )
            )
        return [camera.sensor for camera in self._cameras]

    def _make_spec(self, sensors: list[Sensor]) -> EnvSpec:
        streams = {name: spec for sensor in sensors for name, spec in sensor.streams.items()}
        streams["goal"] = StreamSpec((3,), unit="m")
        return EnvSpec(
            name=f"metaworld/{self.config.task}",
            version=f"metaworld {version('metaworld')}, mujoco {version('mujoco')}",
            control_rate_hz=PHYSICS_RATE_HZ / TICKS_PER_STEP,
            action_low=np.full(4, -1.0, np.float32),
            action_high=np.full(4, 1.0, np.float32),
            streams=streams,
            max_steps=self.config.max_steps,
        )
