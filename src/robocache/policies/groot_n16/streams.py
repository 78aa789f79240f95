"""What a robot is recorded as: the streams that a policy reads and predicts, and at which rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robocache.core.errors import ConfigError
from robocache.core.statistics import Statistics
from robocache.core.stream import StreamSpec
from robocache.core.window import StreamInput, Window
from robocache.policies.groot_n16.robot import Robot
from robocache.policies.groot_n16.settings import EmbodimentSettings


@dataclass(frozen=True)
class RobotStreams:
    """The streams of a robot.

    Attributes:
        inputs: those that are read.
        action: name of the action stream.
        rate_hz: rate of the action clock.
        specs: declaration of these streams.
        statistics: of the action stream.
    """

    inputs: tuple[StreamInput, ...]
    action: str
    rate_hz: float
    specs: Mapping[str, StreamSpec]
    statistics: Statistics

    @staticmethod
    def of(
        inputs: Sequence[StreamInput],
        action: str,
        rate_hz: float,
        specs: Mapping[str, StreamSpec],
        statistics: Statistics,
    ) -> RobotStreams:
        """The same without the declarations of other streams."""
        names = [*(view.stream for view in inputs), action]
        kept = {name: specs[name] for name in names}
        return RobotStreams(tuple(inputs), action, rate_hz, kept, statistics)

    def robot(self, tag: str, settings: EmbodimentSettings) -> Robot:
        """The robot with these streams.

        Raises:
            ConfigError: its views and groups do not fit them.
        """
        made = Robot(tag, settings, int(np.prod(self.specs[self.action].shape)))
        made.check({view.stream: view.seen(self.specs[view.stream]) for view in self.inputs})
        return made

    def window(self, horizon: int) -> Window:
        """What a training sample sees and predicts."""
        return Window(self.inputs, self.action, self.rate_hz, horizon)

    def to_json(self) -> dict[str, Any]:
        return {
            "inputs": [view.to_json() for view in self.inputs],
            "specs": {name: spec.to_json() for name, spec in self.specs.items()},
            "action": self.action,
            "rate_hz": self.rate_hz,
            "statistics": self.statistics.to_json(),
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> RobotStreams:
        return RobotStreams.of(
            [StreamInput.from_json(view) for view in data["inputs"]],
            data["action"],
            data["rate_hz"],
            {name: StreamSpec.from_json(spec) for name, spec in data["specs"].items()},
            Statistics.from_json(data["statistics"]),
        )


def steps_before(inputs: Sequence[StreamInput], rate_hz: float) -> tuple[int, ...]:
    """At which steps of the action clock inputs are seen, e.g. (-2, 0).

    Raises:
        ConfigError: inputs are seen at unlike times, or not at steps.
    """
    steps = {tuple(offset * rate_hz for offset in view.offsets_s) for view in inputs}
    if len(steps) != 1:
        raise ConfigError("all inputs of GR00T must have the same offsets_s")
    (exact,) = steps
    rounded = tuple(round(step) for step in exact)
    if any(abs(step - whole) > 0.01 for step, whole in zip(exact, rounded, strict=True)):
        raise ConfigError(f"offsets_s of GR00T's inputs must be multiples of 1 / {rate_hz} s")
    return rounded
