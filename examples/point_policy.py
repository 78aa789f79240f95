"""A policy from outside the package: its name is `examples.point_policy:Steer`."""

import numpy as np

from robocache.core import ActionChunk, Observation, StreamInput


class Steer:
    inputs = (StreamInput("point"), StreamInput("goal"))
    execute_steps = 1

    def act(self, observations: list[Observation], seeds: list[int]) -> list[ActionChunk]:
        chunks = []
        for seen in observations:
            action = np.clip(10 * (seen.values["goal"] - seen.values["point"]), -1, 1)
            chunks.append(ActionChunk(action.astype(np.float32), np.array([seen.now_s])))
        return chunks
