"""An environment from outside the package: its name is `examples.point_env:PointEnv`."""

import numpy as np

from robocache.core import EnvSpec, Samples, Step, StreamSpec


class PointEnv:
    instruction = "move the point to the goal"

    def __init__(self, max_steps: int = 40) -> None:
        bound = np.ones(2, np.float32)
        streams = {"point": StreamSpec((2,), rate_hz=10), "goal": StreamSpec((2,))}
        self.spec = EnvSpec("point", "point 1", 10.0, -bound, bound, streams, max_steps)

    def reset(self, seed: int) -> Step:
        self._tick = 0
        self._point, self._goal = np.random.default_rng(seed).uniform(-1, 1, (2, 2))
        return Step(0.0, {"point": self._sample(self._point), "goal": self._sample(self._goal)})

    def step(self, action: np.ndarray) -> Step:
        self._tick += 1
        self._point = self._point + 0.1 * np.clip(action, -1, 1)
        distance = float(np.linalg.norm(self._point - self._goal))
        late = self._tick >= self.spec.max_steps
        samples = {"point": self._sample(self._point)}
        return Step(self._tick / 10, samples, -distance, truncated=late, success=distance < 0.1)

    def expert_action(self) -> np.ndarray:
        return np.clip(10 * (self._goal - self._point), -1, 1).astype(np.float32)

    def close(self) -> None: ...

    def _sample(self, values: np.ndarray) -> Samples:
        return Samples(values[None].astype(np.float32), np.array([self._tick / 10]))
