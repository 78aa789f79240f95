"""Actions of one meaning as actions of another: absolute, delta, or relative to a state.

A pose is a position (any number of columns, so joints will do) and perhaps a rotation. The
difference of two poses is, in frame `world`, p - p0 and R R0^T; in frame `body`, that of the pose
it starts from, R0^T (p - p0) and R0^T R. Other columns, such as a gripper, stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from robocache.core.episode import Episode
from robocache.core.errors import ConfigError, DataError, ShapeError, TimesError, unknown_name
from robocache.core.stream import AlignmentPolicy, Stream
from robocache.core.window import StreamInput
from robocache.datasets.alignment import plan_input
from robocache.datasets.rotations import (
    RotationFormat,
    check_columns,
    from_matrix,
    require_format,
    to_matrix,
)

Frame = Literal["world", "body"]
Meaning = Literal["absolute", "delta", "relative_to_first", "relative_to_state"]
"""`absolute`: the pose itself. `delta`: from the pose commanded before, at first from the first
state. `relative_to_first`: from the first state of the episode. `relative_to_state`: from the
latest state that was available when the action was given."""


@dataclass(frozen=True)
class PoseColumns:
    """Where a pose is in a vector.

    Attributes:
        position: columns of the position; with a rotation in frame `body`, three.
        rotation: columns of the rotation; none: there is none.
        format: of the rotation.
    """

    position: tuple[int, ...]
    rotation: tuple[int, ...] = ()
    format: RotationFormat = "euler_xyz"

    def __post_init__(self) -> None:
        check_columns(self.rotation, self.format)
        taken = (*self.position, *self.rotation)
        if not taken or len(set(taken)) != len(taken) or min(taken) < 0:
            raise ConfigError(f"a pose needs columns, each once and none negative; got {taken}")


@dataclass(frozen=True)
class Poses:
    """T poses.

    Attributes:
        position: (T, P) float64.
        rotation: (T, 3, 3) float64; None: there is none.
    """

    position: NDArray[np.float64]
    rotation: NDArray[np.float64] | None

    def __getitem__(self, index: Any) -> Poses:
        rotation = None if self.rotation is None else self.rotation[index]
        return Poses(self.position[index], rotation)

    def __len__(self) -> int:
        return len(self.position)


def difference(poses: Poses, start: Poses, frame: Frame = "world") -> Poses:
    """From each `start` (T poses, or 1 for all) to each pose; undone by `moved`."""
    position = poses.position - start.position
    if poses.rotation is None or start.rotation is None:
        return Poses(position, None)
    back = np.swapaxes(start.rotation, -1, -2)
    if frame == "world":
        return Poses(position, poses.rotation @ back)
    return Poses(_turned(back, position), back @ poses.rotation)


def moved(start: Poses, step: Poses, frame: Frame = "world") -> Poses:
    """The poses that lie `step` from `start`; the inverse of `difference`."""
    if step.rotation is None or start.rotation is None:
        return Poses(start.position + step.position, None)
    if frame == "world":
        return Poses(start.position + step.position, step.rotation @ start.rotation)
    position = start.position + _turned(start.rotation, step.position)
    return Poses(position, start.rotation @ step.rotation)


def to_deltas(poses: Poses, start: Poses, frame: Frame = "world") -> Poses:
    """Each pose from the one before, the first from `start` (one pose); undone by `from_deltas`."""
    return difference(poses, _joined([start, poses[:-1]]), frame)


def from_deltas(deltas: Poses, start: Poses, frame: Frame = "world") -> Poses:
    """The poses reached from `start` (one pose) step by step."""
    reached, here = [start[:0]], start
    for k in range(len(deltas)):
        here = moved(here, deltas[k : k + 1], frame)
        reached.append(here)
    return _joined(reached)


def read_poses(values: NDArray[Any], columns: PoseColumns) -> Poses:
    """The poses in (T, D) values.

    Raises:
        ShapeError: there are no such columns.
    """
    if values.ndim != 2 or max(*columns.position, *columns.rotation, 0) >= values.shape[1]:
        raise ShapeError(f"values of shape {values.shape} do not have the columns of {columns}")
    numbers = values.astype(np.float64)
    position = numbers[:, list(columns.position)]
    if not columns.rotation:
        return Poses(position, None)
    return Poses(position, to_matrix(numbers[:, list(columns.rotation)], columns.format))


def write_poses(
    poses: Poses, values: NDArray[Any], columns: PoseColumns, to: RotationFormat
) -> NDArray[Any]:
    """(T, D') values with these poses: position, rotation, then the other columns of `values`."""
    taken = (*columns.position, *columns.rotation)
    others = [c for c in range(values.shape[1]) if c not in taken]
    parts = [poses.position, values[:, others]]
    if poses.rotation is not None:
        parts.insert(1, from_matrix(poses.rotation, to))
    return np.concatenate(parts, axis=1).astype(values.dtype)


@dataclass(frozen=True)
class ActionConversion:
    """Makes an episode whose actions mean something else; a transform of a `Source`.

    The new actions are position, rotation, then the other columns in their order.

    Attributes:
        columns: where the pose is in an action.
        meaning: what actions are.
        to: what they become.
        state: stream of the poses that actions start from; not needed if `meaning` is `to`.
        state_columns: where the pose is in a state.
        action: stream of the actions.
        rotation: format of the rotations made; None: as they are.
        frame: of differences, given and made.
    """

    columns: PoseColumns
    meaning: Meaning
    to: Meaning
    state: str = ""
    state_columns: PoseColumns | None = None
    action: str = "action"
    rotation: RotationFormat | None = None
    frame: Frame = "world"

    def __post_init__(self) -> None:
        for name in (self.meaning, self.to):
            if name not in get_args(Meaning):
                raise unknown_name("meaning of actions", name, get_args(Meaning))
        if self.frame not in get_args(Frame):
            raise unknown_name("frame", self.frame, get_args(Frame))
        require_format(self.rotation or self.columns.format)
        if self.meaning == self.to:
            return
        state = self.state_columns
        if not self.state or state is None:
            raise ConfigError(f"{self.meaning} to {self.to} needs state and state_columns")
        same = len(state.position) == len(self.columns.position)
        if not same or bool(state.rotation) != bool(self.columns.rotation):
            raise ConfigError(f"poses of another kind: actions {self.columns}, states {state}")
        if self.frame == "body" and self.columns.rotation and len(self.columns.position) != 3:
            raise ConfigError("frame body needs positions of three columns")

    def __call__(self, episode: Episode) -> Episode:
        stream = episode.stream(self.action)
        try:
            values = self._converted(episode, stream)
        except DataError as error:
            raise error.located(episode=episode.key, stream=self.action) from None
        spec = replace(stream.spec, shape=values.shape[1:])
        changed = replace(stream, values=values, spec=spec)
        return replace(episode, streams={**episode.streams, self.action: changed})

    def _converted(self, episode: Episode, stream: Stream) -> NDArray[Any]:
        values = np.asarray(stream.values)
        poses = read_poses(values, self.columns)
        if self.meaning != self.to and len(poses):
            first, latest = self._starts(episode, stream)
            poses = self._made(self._absolute(poses, first, latest), first, latest)
        return write_poses(poses, values, self.columns, self.rotation or self.columns.format)

    def _starts(self, episode: Episode, stream: Stream) -> tuple[Poses, Poses]:
        """The first state, and the latest one available to each action."""
        states = episode.stream(self.state)
        view = StreamInput(self.state, alignment=AlignmentPolicy("previous"))
        plan = plan_input(view, states.spec, states.times_s, states.usable_s(), stream.times_s)
        if not len(states) or not (self._never_latest() or bool(plan.valid.all())):
            at = int(np.argmin(plan.valid[:, 0].numpy()))
            raise TimesError(f"action {at} was given before a sample of {self.state} was available")
        assert self.state_columns is not None
        poses = read_poses(np.asarray(states.values), self.state_columns)
        return poses[:1], poses[plan.left[:, 0].numpy()]

    def _never_latest(self) -> bool:
        return "relative_to_state" not in (self.meaning, self.to)

    def _absolute(self, poses: Poses, first: Poses, latest: Poses) -> Poses:
        if self.meaning == "absolute":
            return poses
        if self.meaning == "delta":
            return from_deltas(poses, first, self.frame)
        return moved(first if self.meaning == "relative_to_first" else latest, poses, self.frame)

    def _made(self, poses: Poses, first: Poses, latest: Poses) -> Poses:
        if self.to == "absolute":
            return poses
        if self.to == "delta":
            return to_deltas(poses, first, self.frame)
        return difference(poses, first if self.to == "relative_to_first" else latest, self.frame)


@dataclass(frozen=True)
class RotationConversion:
    """Makes an episode with a pose stream in another rotation format; a transform of a `Source`.

    The new values are position, rotation, then the other columns in their order.

    Attributes:
        stream: e.g. a state.
        columns: where the pose is.
        to: format of the rotations made.
    """

    stream: str
    columns: PoseColumns
    to: RotationFormat

    def __call__(self, episode: Episode) -> Episode:
        convert = ActionConversion(
            self.columns, "absolute", "absolute", action=self.stream, rotation=self.to
        )
        return convert(episode)


def _turned(rotation: NDArray[np.float64], vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((rotation @ vectors[..., None])[..., 0])


def _joined(parts: list[Poses]) -> Poses:
    rotations = [part.rotation for part in parts if part.rotation is not None]
    rotation = np.concatenate(rotations) if rotations else None
    return Poses(np.concatenate([part.position for part in parts]), rotation)
