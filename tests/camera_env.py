"""The point environment seen by a camera, and a policy that has nothing but its images."""

from __future__ import annotations

import dataclasses

import numpy as np
from examples.point_env import PointEnv

from robocache.core import ActionChunk, Observation, Samples, Step, StreamInput, StreamSpec

PIXELS = 24
POINT, GOAL = 100, 200


class CameraEnv(PointEnv):
    """Streams `point` and `goal`, and `camera`: (24, 24) uint8, both as a pixel each."""

    def __init__(self, max_steps: int = 40) -> None:
        super().__init__(max_steps)
        camera = StreamSpec((PIXELS, PIXELS), "uint8", rate_hz=10)
        self.spec = dataclasses.replace(self.spec, streams={**self.spec.streams, "camera": camera})

    def reset(self, seed: int) -> Step:
        return self._filmed(super().reset(seed))

    def step(self, action: np.ndarray) -> Step:
        return self._filmed(super().step(action))

    def _filmed(self, step: Step) -> Step:
        image = np.zeros((PIXELS, PIXELS), np.uint8)
        for place, value in ((self._goal, GOAL), (self._point, POINT)):
            row, column = np.clip((place + 1.2) * 10, 0, PIXELS - 1).astype(int)
            image[row, column] = value
        frame = Samples(image[None], np.array([step.now_s]))
        return dataclasses.replace(step, samples={**step.samples, "camera": frame})


class Gaze:
    """Goes from the one pixel to the other."""

    inputs = (StreamInput("camera"),)
    execute_steps = 1

    def act(self, observations: list[Observation], seeds: list[int]) -> list[ActionChunk]:
        return [ActionChunk(self._towards(o), np.array([o.now_s])) for o in observations]

    def _towards(self, seen: Observation) -> np.ndarray:
        image = seen.values["camera"][0]
        found = [np.argwhere(image == value) for value in (POINT, GOAL)]
        if not all(len(place) for place in found):
            return np.zeros((1, 2), np.float32)
        return np.clip((found[1][:1] - found[0][:1]) / 2, -1, 1).astype(np.float32)
