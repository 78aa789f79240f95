"""Changes of an episode by name, so that datasets of other conventions can be mixed.

Each is a callable from `Episode` to `Episode`. What is not listed here is called by
`module:attribute` or by an entry point of the group `robocache.transforms`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.core.episode import Episode
from robocache.core.errors import ConfigError, ShapeError, TimesError, unknown_name
from robocache.core.plugins import resolve
from robocache.core.stream import Stream
from robocache.datasets.action_space import ActionConversion, RotationConversion
from robocache.datasets.rlds.standard import GRIPPERS, Floats
from robocache.datasets.views import ROUNDING_S

GRIPPER_KINDS: Mapping[str, Callable[[Floats], Floats]] = {
    **GRIPPERS,
    "closed_minus_one": lambda values: (values.clip(-1, 1) + 1) / 2,
}
"""What stored numbers mean -> how 1 = open, 0 = closed is made of them: those of RLDS, and
`closed_minus_one`: -1 closed, +1 open."""


@dataclass(frozen=True)
class GripperConversion:
    """Makes 1 = open, 0 = closed of a gripper column.

    Attributes:
        kind: what the numbers mean, a name in `GRIPPER_KINDS`.
        column: of the gripper; negative ones count from the end.
        stream: with the gripper in it.
    """

    kind: str
    column: int = -1
    stream: str = "action"

    def __post_init__(self) -> None:
        if self.kind not in GRIPPER_KINDS:
            raise unknown_name("meaning of a gripper", self.kind, GRIPPER_KINDS)

    def __call__(self, episode: Episode) -> Episode:
        values = _vectors(episode, self.stream, (self.column,)).copy()
        values[:, self.column] = GRIPPER_KINDS[self.kind](values[:, self.column])
        return _with_values(episode, self.stream, values)


@dataclass(frozen=True)
class Scaling:
    """Multiplies columns: millimetres to metres, degrees to radians, a controller's units to both.

    Attributes:
        factor: what they are multiplied by.
        columns: which; none: all.
        stream: with the columns in it.
    """

    factor: float
    columns: tuple[int, ...] = ()
    stream: str = "action"

    def __call__(self, episode: Episode) -> Episode:
        values = _vectors(episode, self.stream, self.columns).copy()
        values[:, list(self.columns) or slice(None)] *= self.factor
        return _with_values(episode, self.stream, values)


@dataclass(frozen=True)
class KeptColumns:
    """Keeps columns of a stream, in the order given.

    Attributes:
        columns: which.
        stream: with the columns in it.
    """

    columns: tuple[int, ...]
    stream: str = "action"

    def __post_init__(self) -> None:
        if not self.columns:
            raise ConfigError(f"name the columns of {self.stream!r} to keep")

    def __call__(self, episode: Episode) -> Episode:
        values = _vectors(episode, self.stream, self.columns)
        return _with_values(episode, self.stream, values[:, list(self.columns)])


@dataclass(frozen=True)
class JoinedStreams:
    """Adds one stream made of several that were sampled at the same times.

    Attributes:
        streams: whose numbers follow one another.
        to: name of the new stream.
    """

    streams: tuple[str, ...]
    to: str

    def __post_init__(self) -> None:
        if not self.streams:
            raise ConfigError(f"name the streams that {self.to!r} is made of")

    def __call__(self, episode: Episode) -> Episode:
        if self.to in episode.streams and self.to not in self.streams:
            raise ConfigError(f"episode {episode.key} has a stream {self.to!r} already")
        parts = [episode.stream(name) for name in self.streams]
        first = parts[0]
        for name, part in zip(self.streams, parts, strict=True):
            same = len(part) == len(first)
            if not same or (np.abs(part.times_s - first.times_s) > ROUNDING_S).any():
                raise TimesError(
                    f"was not sampled when {self.streams[0]!r} was: only streams of the same times "
                    f"can be joined",
                    episode=episode.key,
                    stream=name,
                )
        numbers = [np.asarray(part.values).reshape(len(part), -1) for part in parts]
        values = np.concatenate(numbers, axis=1)
        spec = replace(
            first.spec,
            shape=values.shape[1:],
            dtype=str(values.dtype),
            unit="",
            privileged=any(part.spec.privileged for part in parts),
        )
        late = any(part.available_s is not None for part in parts)
        available = np.max([part.usable_s() for part in parts], axis=0) if late else None
        joined = Stream(values, first.times_s, spec, available)
        return replace(episode, streams={**episode.streams, self.to: joined})


@dataclass(frozen=True)
class Instruction:
    """Gives the episodes without an instruction one.

    Attributes:
        text: what to do, in words.
    """

    text: str

    def __call__(self, episode: Episode) -> Episode:
        return episode if episode.instruction else replace(episode, instruction=self.text)


TRANSFORMS: Mapping[str, type] = {
    "actions": ActionConversion,
    "columns": KeptColumns,
    "gripper": GripperConversion,
    "instruction": Instruction,
    "join": JoinedStreams,
    "rotation": RotationConversion,
    "scale": Scaling,
}
"""Name -> what makes the transform of its arguments."""


def find_transform(name: str) -> Any:
    """What makes the transform called `name` of its arguments.

    Raises:
        ConfigError: nothing is called so (names the nearest).
    """
    return resolve("transform", "robocache.transforms", name, TRANSFORMS)


def _vectors(episode: Episode, stream: str, columns: tuple[int, ...]) -> NDArray[Any]:
    """(T, D) floating-point samples of a stream that has these columns."""
    found = episode.stream(stream)
    shape, dtype = found.spec.shape, found.spec.dtype
    if len(shape) != 1 or not all(-shape[0] <= column < shape[0] for column in columns):
        raise ShapeError(
            f"samples of shape {shape} do not have the columns {list(columns)}",
            episode=episode.key,
            stream=stream,
        )
    values = np.asarray(found.values)
    return values if dtype.startswith("float") else values.astype(np.float32)


def _with_values(episode: Episode, name: str, values: NDArray[Any]) -> Episode:
    stream = episode.stream(name)
    spec = replace(stream.spec, shape=values.shape[1:], dtype=str(values.dtype))
    changed = replace(stream, values=values, spec=spec)
    return replace(episode, streams={**episode.streams, name: changed})
