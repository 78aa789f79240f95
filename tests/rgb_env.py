"""The point environment seen by a colour camera."""

from __future__ import annotations

import dataclasses

import numpy as np

from camera_env import CameraEnv
from robocache.core import Samples, Step, StreamSpec


class RgbEnv(CameraEnv):
    """Streams `point` and `goal`, and `camera`: (24, 24, 3) uint8 on middle grey."""

    def __init__(self, max_steps: int = 40) -> None:
        super().__init__(max_steps)
        camera = StreamSpec((24, 24, 3), "uint8", rate_hz=10)
        self.spec = dataclasses.replace(self.spec, streams={**self.spec.streams, "camera": camera})

    def _filmed(self, step: Step) -> Step:
        step = super()._filmed(step)
        grey = step.samples["camera"].values
        frame = np.repeat(np.where(grey == 0, 128, grey)[..., None], 3, axis=3).astype(np.uint8)
        camera = Samples(frame, step.samples["camera"].times_s)
        return dataclasses.replace(step, samples={**step.samples, "camera": camera})
