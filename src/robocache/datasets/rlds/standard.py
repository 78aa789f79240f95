"""From a dataset's own convention to one: gripper 1 = open and 0 = closed, motion as it happened.

`standard` applies an entry of the table to the values of one episode. The rules are those that
OpenVLA and Octo train with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import MissingStreamError, ShapeError
from robocache.core.stream import FrameArray
from robocache.datasets.rlds.conventions import Convention, Gripper, Motion

Floats = NDArray[np.floating[Any]]


def open_from_relative_closing(moves: Floats) -> Floats:
    """(T,) +1 closes, -1 opens, 0 keeps -> (T,) 1 open, 0 closed.

    Before the first move the gripper was in the other state; without any move it was open.
    """
    moved = np.where(moves < -0.1, 1, np.where(moves > 0.1, -1, 0))
    at = np.flatnonzero(moved)
    start = -moved[at[0]] if len(at) else 1
    latest = np.maximum.accumulate(np.where(moved != 0, np.arange(len(moved)), -1))
    state = np.where(latest < 0, start, moved[latest])
    return (state + 1).astype(moves.dtype) / 2


def binarized_backwards(opening: Floats) -> Floats:
    """(T,) 1 open, 0 closed, between them on the way -> (T,) 0 or 1.

    A value on the way (0.05 to 0.95) becomes the state it leads to; those at the end, which lead
    nowhere, become the last value as it is.
    """
    settled = (opening > 0.95) | (opening < 0.05)
    numbers = np.where(settled, np.arange(len(opening)), len(opening))
    reached = np.minimum.accumulate(numbers[::-1])[::-1]
    ends = np.append((opening > 0.95).astype(opening.dtype), opening[-1:])
    return ends[reached]


GRIPPERS: Mapping[str, Callable[[Floats], Floats]] = {
    "open": lambda values: values,
    "open_clipped": lambda values: values.clip(0, 1),
    "open_or_closed": binarized_backwards,
    "closed": lambda values: 1 - values.clip(0, 1),
    "open_minus_one": lambda values: (1 - values.clip(-1, 1)) / 2,
    "relative_closing": open_from_relative_closing,
}
"""What stored numbers mean -> how 1 = open, 0 = closed is made of them.

`open`: 1 open, 0 closed. `open_clipped`: the same with values outside. `open_or_closed`: the same
with values on the way. `closed`: 1 closed, 0 open. `open_minus_one`: -1 open, +1 closed.
`relative_closing`: +1 closes, -1 opens, 0 keeps.
"""


def kept_steps(convention: Convention, steps: int) -> slice:
    """The steps of an episode that count in the common convention."""
    first = min(convention.drop_first, steps)
    return slice(first, max(steps - convention.drop_last, first))


def standard(convention: Convention, values: Mapping[str, FrameArray]) -> dict[str, FrameArray]:
    """The streams of an episode in the common convention, all steps still there.

    Raises:
        MissingStreamError, ShapeError: the table needs a stream that is not there, or not so.
    """
    changed = dict(values)
    for gripper in convention.grippers:
        changed[gripper.stream] = _gripper(gripper, changed)
    if convention.motion is not None:
        changed |= _motion(convention.motion, changed)
    return changed


def _gripper(gripper: Gripper, values: Mapping[str, FrameArray]) -> FrameArray:
    array = _floating(values, gripper.stream)
    rule = GRIPPERS[gripper.kind]
    if gripper.index is None:
        flat = array.reshape(len(array), -1)
        for column in range(flat.shape[1]):
            flat[:, column] = rule(flat[:, column])
        return flat.reshape(array.shape)
    if array.ndim != 2 or not -array.shape[1] <= gripper.index < array.shape[1]:
        raise ShapeError(
            f"the gripper should be column {gripper.index}, the samples are {array.shape[1:]}",
            stream=gripper.stream,
        )
    array[:, gripper.index] = rule(array[:, gripper.index])
    return array


def _motion(motion: Motion, values: Mapping[str, FrameArray]) -> dict[str, FrameArray]:
    """Actions with differences of the state in their place; the last step keeps its own."""
    state = _floating(values, motion.state)
    changed: dict[str, FrameArray] = {}
    for part in motion.parts:
        array = _floating({**values, **changed}, part.stream)
        if array.ndim != 2 or state.ndim != 2 or state.shape[1] < part.state_columns[1]:
            raise ShapeError(
                f"should be vectors like those of {motion.state}, the samples are "
                f"{array.shape[1:]} and {state.shape[1:]}",
                stream=part.stream,
            )
        array[:-1, slice(*part.columns)] = np.diff(state[:, slice(*part.state_columns)], axis=0)
        changed[part.stream] = array
    return changed


def _floating(values: Mapping[str, FrameArray], name: str) -> Floats:
    """A copy of a stream's samples as floating-point numbers."""
    if name not in values:
        raise MissingStreamError(
            "the conventions of this dataset need it, the episode does not have it; open it with "
            'conventions="as_stored"',
            stream=name,
        )
    array = np.asarray(values[name][:])
    return np.array(array, array.dtype if array.dtype.kind == "f" else np.float32)
