"""From the steps of an RLDS episode to streams at the dataset's control rate.

RLDS stores no times: they are made from the rate, and the streams say so (clock "synthetic").
An action, and the reward and discount it brings, is known one step after its observation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from robocache.core.episode import Episode, Outcome, Provenance
from robocache.core.errors import DataError
from robocache.core.stream import FrameArray, Stream, StreamSpec
from robocache.datasets.frames import EncodedFrames
from robocache.datasets.rlds.conventions import Convention, Mode
from robocache.datasets.rlds.episode import RLDSEpisode
from robocache.datasets.rlds.pictures import frames_of
from robocache.datasets.rlds.standard import kept_steps, standard
from robocache.datasets.rlds.values import Pictures, Ragged, rectangular

KNOWN_LATER = ("action", "reward", "discount")  # streams known a step later begin with these


@dataclass(frozen=True)
class Clock:
    """Times of the steps.

    Attributes:
        rate_hz: steps a second.
        source: where the rate comes from, in words.
    """

    rate_hz: float
    source: str


@dataclass(frozen=True)
class Found:
    """An episode, what is wrong with it, and what cannot be a stream.

    Attributes:
        episode: with the streams that could be read.
        wrong: one error for each that could not.
        not_read: name -> why it is not a stream.
    """

    episode: Episode
    wrong: list[DataError]
    not_read: dict[str, str]


def to_episode(
    rlds: RLDSEpisode,
    dataset: str,
    source: str,
    clock: Clock,
    mode: Mode,
    index: int,
    *,
    in_memory: bool = False,
) -> Found:
    """The streams of an episode, as stored or in the common convention.

    Args:
        rlds: as it is stored.
        dataset, source, index: told as where it is from.
        clock: times of its steps.
        mode: which of both.
        in_memory: whether its encoded pictures stay in memory.

    Raises:
        DataError: in "standard", a stream that the conventions need is absent or not so.
    """
    steps = kept_steps(rlds.convention, len(rlds)) if mode == "standard" else slice(0, len(rlds))
    values: dict[str, FrameArray] = {}
    wrong: list[DataError] = []
    not_read: dict[str, str] = {}
    for name in rlds.features.steps:
        try:
            found = _array(rlds, name, steps, in_memory)
        except DataError as error:
            wrong.append(rlds.located(error, name))
            continue
        if isinstance(found, str):
            not_read[name] = found
        else:
            values[name] = found
    if mode == "standard" and not wrong:
        try:
            values = standard(rlds.convention, values)
        except DataError as error:
            raise rlds.located(error) from error
    values = {
        name: array if isinstance(array, EncodedFrames) else array[steps]
        for name, array in values.items()
    }
    units = _gripper_units(rlds.convention) if mode == "standard" else {}
    steps_s = np.arange(steps.stop - steps.start + 1) / clock.rate_hz
    streams = {
        name: _stream(array, clock, steps_s, name, units.get(name, ""))
        for name, array in values.items()
    }
    try:
        instruction, success = rlds.instruction, rlds.success
    except DataError as error:
        wrong.append(rlds.located(error))
        instruction, success = "", None
    episode = Episode(
        key=rlds.key,
        streams=streams,
        instruction=instruction,
        outcome=_outcome(values, steps.stop - steps.start, success),
        provenance=Provenance(dataset=dataset, source=source, task=instruction, index=index),
    )
    return Found(episode, wrong, not_read)


def _array(rlds: RLDSEpisode, name: str, steps: slice, in_memory: bool) -> FrameArray | str:
    """All samples of a name (pictures: those of `steps`), or why they are none."""
    values = rlds.values(name)
    leaf = rlds.features.steps[name]
    if isinstance(values, Pictures):
        place = partial(_step_of, rlds.key, str(rlds.shard.path), name, steps.start)
        frames = frames_of(leaf, rlds.pictures(name, in_memory=in_memory)[steps], place)
        return "pictures of different sizes" if frames is None else frames
    if isinstance(values, Ragged):
        array = rectangular(values)
        return "of another length in each step" if array is None else array
    if isinstance(values, list):
        return "text"
    return values


def _step_of(
    key: str, file: str, name: str, first: int, error: DataError, number: int
) -> DataError:
    """An error in a picture, with the step of the episode it belongs to."""
    problem = f"step {first + number}: {error.problem}"
    return type(error)(problem, file=file, episode=key, stream=name)


def _stream(
    array: FrameArray, clock: Clock, steps_s: NDArray[np.float64], name: str, unit: str
) -> Stream:
    """A stream of T samples; `steps_s` (T + 1,) are the times of the steps and of the next."""
    return Stream(
        values=array,
        times_s=steps_s[:-1],
        spec=StreamSpec(
            shape=tuple(array.shape[1:]),
            dtype=np.dtype(array.dtype).name,
            rate_hz=clock.rate_hz,
            unit=unit,
            clock="synthetic",
        ),
        available_s=steps_s[1:] if name.startswith(KNOWN_LATER) else None,
    )


def _gripper_units(convention: Convention) -> dict[str, str]:
    return {g.stream: "1 = open" for g in convention.grippers if g.index is None}


def _outcome(values: dict[str, FrameArray], steps: int, success: bool | None) -> Outcome:
    def any_of(name: str) -> bool:
        return name in values and bool(np.any(values[name][:]))

    terminated = any_of("is_terminal")
    return Outcome(
        success=success,
        terminated=terminated,
        truncated=any_of("is_last") and "is_terminal" in values and not terminated,
        steps=steps,
        reward=float(np.sum(values["reward"][:])) if "reward" in values else None,
    )
