"""What a policy sees and predicts: input streams at times before now, actions at times ahead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import ConfigError
from robocache.core.stream import AlignmentPolicy, StreamSpec


@dataclass(frozen=True)
class StreamInput:
    """One stream as a policy reads it.

    Attributes:
        stream: name of the stream.
        offsets_s: times relative to now in seconds, none after now, e.g. (-0.05, 0.0).
        alignment: overrides the alignment declared by the stream; None keeps it.
        size: (height, width) that pictures are brought to; None leaves them as they are.
    """

    stream: str
    offsets_s: tuple[float, ...] = (0.0,)
    alignment: AlignmentPolicy | None = None
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if not self.offsets_s or max(self.offsets_s) > 0:
            raise ValueError(
                f"offsets_s of input {self.stream!r} must be one or more times <= 0, "
                f"got {self.offsets_s}"
            )
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise ValueError(
                f"size of input {self.stream!r} must be a height and a width, got {self.size}"
            )

    def seen(self, spec: StreamSpec) -> StreamSpec:
        """The declaration of the stream as this input reads it, at its size.

        Raises:
            ConfigError: a size is given, and the stream holds no pictures.
        """
        if self.size is None:
            return spec
        if len(spec.shape) not in (2, 3) or (len(spec.shape) == 3 and spec.dtype != "uint8"):
            raise ConfigError(
                f"input {self.stream!r} asks for the size {self.size}, but its samples are "
                f"{spec.dtype} {spec.shape}: only (H, W) and uint8 (H, W, 3) can be resized"
            )
        return replace(spec, shape=(*self.size, *spec.shape[2:]))

    def to_json(self) -> dict[str, Any]:
        plain = {
            "stream": self.stream,
            "offsets_s": list(self.offsets_s),
            "alignment": _plain(self.alignment),
        }
        return plain if self.size is None else {**plain, "size": list(self.size)}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> StreamInput:
        policy = data.get("alignment")
        return StreamInput(
            stream=data["stream"],
            offsets_s=tuple(data["offsets_s"]),
            alignment=None if policy is None else AlignmentPolicy(**policy),
            size=None if data.get("size") is None else tuple(data["size"]),
        )


def _plain(policy: AlignmentPolicy | None) -> dict[str, Any] | None:
    return None if policy is None else {"method": policy.method, "max_gap_s": policy.max_gap_s}


@dataclass(frozen=True)
class Window:
    """What one training sample sees.

    Attributes:
        inputs: streams read at times up to now.
        action: name of the stream with the actions to predict.
        rate_hz: rate of the action clock; action k is due at now + k / rate_hz.
        horizon: number of actions predicted, H.
        action_alignment: how actions are brought to that clock; None: the nearest recorded action
            within half a period, so that nothing is invented past the end of an episode.
    """

    inputs: tuple[StreamInput, ...]
    action: str
    rate_hz: float
    horizon: int
    action_alignment: AlignmentPolicy | None = None

    def action_offsets_s(self) -> NDArray[np.float64]:
        """(H,) times of the predicted actions relative to now, in seconds."""
        return np.arange(self.horizon, dtype=np.float64) / self.rate_hz

    def to_json(self) -> dict[str, Any]:
        return {
            "inputs": [view.to_json() for view in self.inputs],
            "action": self.action,
            "rate_hz": self.rate_hz,
            "horizon": self.horizon,
            "action_alignment": _plain(self.action_alignment),
        }


@dataclass(frozen=True)
class Observation:
    """What a policy is given at one moment.

    Attributes:
        values: stream name -> (O, ...) aligned samples, one per offset; zeros where invalid.
        valid: stream name -> (O,) bool.
        age_s: stream name -> (O,) float64, offset time minus capture time of the sample used.
        instruction: what to do, in words.
        now_s: seconds on the episode's clock.
    """

    values: Mapping[str, NDArray[Any]]
    valid: Mapping[str, NDArray[np.bool_]]
    age_s: Mapping[str, NDArray[np.float64]]
    instruction: str
    now_s: float


@dataclass(frozen=True)
class ActionChunk:
    """A plan of actions.

    Attributes:
        actions: (H, A) float32, in the environment's units.
        times_s: (H,) float64, when each action is due on the episode's clock.
    """

    actions: NDArray[np.float32]
    times_s: NDArray[np.float64]
