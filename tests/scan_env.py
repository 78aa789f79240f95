"""The point environment seen by a LiDAR."""

from __future__ import annotations

import dataclasses

import numpy as np
from examples.point_env import PointEnv

from robocache.core import Samples, Step, StreamSpec

RAYS = 32


class ScanEnv(PointEnv):
    """Streams `point` and `goal`, and `scan`: (32, 3) float32, a wall at 2 m around the point."""

    def __init__(self, max_steps: int = 40) -> None:
        super().__init__(max_steps)
        scan = StreamSpec((RAYS, 3), "float32", rate_hz=10, unit="m")
        self.spec = dataclasses.replace(self.spec, streams={**self.spec.streams, "scan": scan})

    def reset(self, seed: int) -> Step:
        return self._scanned(super().reset(seed))

    def step(self, action: np.ndarray) -> Step:
        return self._scanned(super().step(action))

    def _scanned(self, step: Step) -> Step:
        turn = np.linspace(0, 2 * np.pi, RAYS, endpoint=False)
        points = 2 * np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1)
        scan = Samples(points[None].astype(np.float32), np.array([step.now_s]))
        return dataclasses.replace(step, samples={**step.samples, "scan": scan})
