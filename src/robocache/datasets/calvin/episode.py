"""One segment of CALVIN as an episode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.core.episode import Episode, Outcome, Provenance
from robocache.core.errors import DataError, NonFiniteError
from robocache.core.stream import FrameArray, Stream, StreamSpec
from robocache.datasets.calvin.frames import CalvinFrames, read_vectors, segment_headers
from robocache.datasets.calvin.split import Segment, Split

KNOWN_LATER = ("actions", "rel_actions")
PRIVILEGED = ("scene_obs",)


@dataclass(frozen=True)
class Place:
    """A segment and where it is.

    Attributes:
        key: of the episode.
        dataset: name of the dataset.
        split: the folder.
        prefix: the folder within the dataset, e.g. "training/"; "" when they are the same.
        segment: the frames.
        index: number of the segment among those of its kind in its split.
    """

    key: str
    dataset: str
    split: Split
    prefix: str
    segment: Segment
    index: int


def read_segment(place: Place) -> Episode:
    """The episode of a segment: vectors read, pictures left on disk.

    Raises:
        CorruptFileError: a frame is missing or damaged.
        ShapeError: a vector unlike that of the first frame.
        NonFiniteError: a vector with NaN or infinity.
    """
    split, segment = place.split, place.segment
    try:
        values: dict[str, FrameArray] = {**read_vectors(split, segment)}
        for name, header in segment_headers(split, segment).items():
            if name not in values:
                values[name] = CalvinFrames(split, segment, name, header.shape, header.kind)
        for name, array in values.items():
            if isinstance(array, np.ndarray):
                check_finite(array, split, segment, name)
    except DataError as error:
        raise error.located(file=split.folder, episode=place.key) from error
    times = np.arange(len(segment)) / split.rate_hz
    later = (np.arange(len(segment)) + 1) / split.rate_hz  # exactly the time of the next frame
    return Episode(
        key=place.key,
        streams={
            name: Stream(
                values=values[name],
                times_s=times,
                spec=stream_spec(name, values[name].shape[1:], values[name].dtype, split.rate_hz),
                available_s=later if name in KNOWN_LATER else None,
            )
            for name in sorted(values)
        },
        instruction=segment.words,
        outcome=Outcome(steps=len(segment)),
        provenance=Provenance(
            dataset=place.dataset,
            source=f"{place.prefix}{split.frame(segment.first).name}",
            task=segment.task,
            index=place.index,
        ),
    )


def check_finite(array: NDArray[Any], split: Split, segment: Segment, name: str) -> None:
    """Raise NonFiniteError with the first frame whose vector is NaN or infinite."""
    if array.dtype.kind == "f":
        finite = np.isfinite(array).reshape(len(array), -1).all(axis=1)
        if not finite.all():
            path = split.frame(segment.first + int(np.argmin(finite)))
            raise NonFiniteError("is NaN or infinite", file=path, stream=name)


def stream_spec(
    name: str, shape: tuple[int, ...], dtype: np.dtype[Any], rate_hz: float
) -> StreamSpec:
    """The declaration of an array of CALVIN's frames."""
    return StreamSpec(
        shape=tuple(shape),
        dtype=dtype.name,
        rate_hz=rate_hz,
        unit="m" if name in ("depth_static", "depth_gripper") else "",
        clock="synthetic",
        privileged=name in PRIVILEGED,
    )
