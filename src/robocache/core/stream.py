"""Stream: what one sensor measured, each sample with its own capture time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import NonFiniteError, ShapeError, TimesError

Method = Literal["previous", "nearest", "linear", "slerp"]
Clock = Literal["measured", "synthetic"]
METHODS: tuple[Method, ...] = ("previous", "nearest", "linear", "slerp")


class FrameArray(Protocol):
    """What `Stream.values` must offer: a numpy array, or frames decoded when indexed."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: Any, /) -> Any: ...


class SelectedFrames:
    """Some frames of others, which are decoded when these are asked for.

    Args:
        frames: the others.
        numbers: (T,) which of them, in this order.
    """

    def __init__(self, frames: FrameArray, numbers: NDArray[np.int64]) -> None:
        self._frames, self._numbers = frames, numbers
        self.shape: tuple[int, ...] = (len(numbers), *frames.shape[1:])
        self.dtype: np.dtype[Any] = frames.dtype

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: Any, /) -> NDArray[Any]:
        return np.asarray(self._frames[self._numbers[index]])


@dataclass(frozen=True)
class AlignmentPolicy:
    """How a stream is brought to other times.

    Attributes:
        method: `previous` (latest sample at or before, causal), `nearest`, `linear`, or `slerp`
            (unit quaternions; last axis of length 4, either component order).
        max_gap_s: seconds. `previous` and `nearest` are invalid when the sample is further away
            than this; `linear` and `slerp` when their two samples are. None: no limit.
    """

    method: Method = "previous"
    max_gap_s: float | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"alignment method {self.method!r} is not one of {METHODS}")
        if self.max_gap_s is not None and not self.max_gap_s > 0:
            raise ValueError(f"max_gap_s must be positive or None, got {self.max_gap_s}")


@dataclass(frozen=True)
class StreamSpec:
    """What a stream holds, known before any sample is taken.

    Attributes:
        shape: shape of one sample.
        dtype: numpy dtype name of the values.
        rate_hz: nominal rate; None for a stream that is not periodic (a goal given once).
        unit: unit of the values as text, e.g. "m" or "rad".
        clock: `measured` when every sample carries its own time, `synthetic` when times are made
            from a rate.
        privileged: known only in simulation; a policy for a real robot must not read it.
        alignment: how the stream is brought to other times unless the reader says otherwise.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    rate_hz: float | None = None
    unit: str = ""
    clock: Clock = "measured"
    privileged: bool = False
    alignment: AlignmentPolicy = field(default_factory=AlignmentPolicy)

    def to_json(self) -> dict[str, Any]:
        return {
            "shape": list(self.shape),
            "dtype": self.dtype,
            "rate_hz": self.rate_hz,
            "unit": self.unit,
            "clock": self.clock,
            "privileged": self.privileged,
            "alignment": {
                "method": self.alignment.method,
                "max_gap_s": self.alignment.max_gap_s,
            },
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> StreamSpec:
        fields = dict(data)
        fields["shape"] = tuple(fields["shape"])
        fields["alignment"] = AlignmentPolicy(**fields["alignment"])
        return StreamSpec(**fields)


@dataclass(frozen=True, eq=False)
class Stream:
    """Samples of one sensor.

    Attributes:
        values: (T, ...) samples, numpy or any `FrameArray` (video frames decoded on demand).
        times_s: (T,) float64 capture times in seconds on the episode's clock, strictly increasing.
        spec: shape, unit, clock, privilege and alignment of the stream.
        available_s: (T,) float64, when each sample could first be used (never before its capture);
            None when every sample was usable the moment it was captured.
    """

    values: FrameArray
    times_s: NDArray[np.float64]
    spec: StreamSpec
    available_s: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.times_s)

    def usable_s(self) -> NDArray[np.float64]:
        """(T,) when each sample could first be used."""
        return self.times_s if self.available_s is None else self.available_s

    def check(self, *, finite: bool = True) -> None:
        """Raise the first thing wrong with this stream.

        Args:
            finite: also require floating-point values to be finite (decodes lazy frames).

        Raises:
            TimesError, ShapeError, NonFiniteError: with the sample index in the message.
        """
        times = np.asarray(self.times_s)
        if times.ndim != 1 or times.dtype != np.float64:
            raise TimesError(f"times_s must be (T,) float64, got {times.shape} {times.dtype}")
        if len(self.values) != len(times):
            raise TimesError(f"{len(self.values)} samples but {len(times)} times")
        if not np.isfinite(times).all():
            raise TimesError(f"time of sample {int(np.argmin(np.isfinite(times)))} is not finite")
        steps = np.diff(times)
        if (steps <= 0).any():
            at = int(np.argmax(steps <= 0))
            raise TimesError(
                f"times must increase strictly: sample {at} at {times[at]!r} s is followed by "
                f"{times[at + 1]!r} s"
            )
        if self.available_s is not None:
            available = np.asarray(self.available_s)
            if available.shape != times.shape or available.dtype != np.float64:
                raise TimesError(
                    f"available_s must be {times.shape} float64, "
                    f"got {available.shape} {available.dtype}"
                )
            early = ~(available >= times)
            if early.any():
                at = int(np.argmax(early))
                raise TimesError(
                    f"sample {at} is available at {available[at]} s, before its capture at "
                    f"{times[at]} s"
                )
        if tuple(self.values.shape[1:]) != self.spec.shape:
            raise ShapeError(
                f"expected samples of shape {self.spec.shape}, got {tuple(self.values.shape[1:])}"
            )
        if np.dtype(self.values.dtype) != np.dtype(self.spec.dtype):
            raise ShapeError(f"expected dtype {self.spec.dtype}, got {self.values.dtype}")
        if finite and len(times) and np.dtype(self.spec.dtype).kind == "f":
            values = np.asarray(self.values[:])
            bad = ~np.isfinite(values.reshape(len(values), -1)).all(axis=1)
            if bad.any():
                raise NonFiniteError(f"sample {int(np.argmax(bad))} is NaN or infinite")
