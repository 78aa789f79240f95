"""Observations of the wire, checked against what a policy reads.

Letters: B batch, T times, D dimensions, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import ObservationError, unknown_name

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Expected:
    """One array that a policy reads.

    Attributes:
        shape: of one row, (T, H, W, 3) or (T, D); None where any size will do.
        dtypes: names of those that are taken.
    """

    shape: Shape
    dtypes: tuple[str, ...]

    def __str__(self) -> str:
        sizes = ", ".join("any" if size is None else str(size) for size in self.shape)
        return f"{' or '.join(self.dtypes)} (B, {sizes})"


@dataclass(frozen=True)
class Reads:
    """All that a policy reads.

    Attributes:
        video, state: name -> array.
        language: keys, each with one text per row.
        reader: who reads, for messages: a kind of policy, an embodiment.
    """

    video: Mapping[str, Expected]
    state: Mapping[str, Expected]
    language: Sequence[str]
    reader: str

    def example(self) -> dict[str, dict[str, Any]]:
        """A valid observation of zeros, B = 1; sizes that are free are 64."""
        arrays = {
            modality: {
                name: np.zeros((1, *(size or 64 for size in want.shape)), want.dtypes[0])
                for name, want in wanted.items()
            }
            for modality, wanted in (("video", self.video), ("state", self.state))
        }
        return {**arrays, "language": {key: [[""]] for key in self.language}}


@dataclass(frozen=True)
class Seen:
    """An observation that fits.

    Attributes:
        video, state: name -> (B, T, ...).
        language: key -> B texts.
        rows: B.
        flat: whether it came with flat keys, and is to be answered so.
    """

    video: Mapping[str, NDArray[Any]]
    state: Mapping[str, NDArray[Any]]
    language: Mapping[str, list[str]]
    rows: int
    flat: bool


def read_observation(observation: Any, reads: Reads) -> Seen:
    """The part of an observation that a policy reads; what it does not read is ignored.

    Raises:
        ObservationError: a key is missing, or an array of the wrong shape, dtype, or not finite.
    """
    if not isinstance(observation, Mapping):
        raise ObservationError(f"an observation is a map, got {type(observation).__name__}")
    flat = not any(isinstance(observation.get(name), Mapping) for name in _MODALITIES)
    nested = _nested(observation, reads) if flat else observation
    video = dict(_arrays(nested, "video", reads.video, reads.reader))
    state = dict(_arrays(nested, "state", reads.state, reads.reader))
    texts = _modality(nested, "language") if reads.language else {}
    language = {key: _texts(texts, key, reads) for key in reads.language}
    rows = {
        **{f"video {name!r}": len(array) for name, array in video.items()},
        **{f"state {name!r}": len(array) for name, array in state.items()},
        **{f"language {key!r}": len(texts) for key, texts in language.items()},
    }
    if len(set(rows.values())) > 1 or 0 in rows.values():
        listed = ", ".join(f"{key} {count}" for key, count in rows.items())
        raise ObservationError(f"rows must be as many everywhere, and some; got {listed}")
    return Seen(video, state, language, next(iter(rows.values()), 1), flat)


_MODALITIES = ("video", "state", "language")


def _nested(observation: Mapping[str, Any], reads: Reads) -> dict[str, dict[str, Any]]:
    """The nested form of flat keys."""
    return {
        "video": _with_prefix(observation, "video."),
        "state": _with_prefix(observation, "state."),
        "language": {key: observation[key] for key in reads.language if key in observation},
    }


def _with_prefix(observation: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {
        key.removeprefix(prefix): value
        for key, value in observation.items()
        if isinstance(key, str) and key.startswith(prefix)
    }


def _modality(observation: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = observation.get(name)
    if not isinstance(found, Mapping):
        sent = ", ".join(sorted(map(str, observation))) or "nothing"
        raise ObservationError(f"{name} must be a map of names; the observation has {sent}")
    return found


def _arrays(
    observation: Mapping[str, Any], modality: str, wanted: Mapping[str, Expected], reader: str
) -> Iterator[tuple[str, NDArray[Any]]]:
    found = _modality(observation, modality) if wanted else {}
    for name, want in wanted.items():
        array = _named(found, name, modality, reader)
        key = f"{modality} {name!r}"
        if not isinstance(array, np.ndarray):
            raise ObservationError(f"{key}: expected {want}, got {type(array).__name__}")
        fits = array.ndim == len(want.shape) + 1 and all(
            size in (None, got) for size, got in zip(want.shape, array.shape[1:], strict=True)
        )
        if not fits or array.dtype.name not in want.dtypes or 0 in array.shape:
            raise ObservationError(
                f"{key}: {reader} expects {want}, got {array.dtype} {array.shape}"
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ObservationError(f"{key}: NaN or infinity; a number is expected")
        yield name, array


def _named(found: Mapping[str, Any], name: str, modality: str, reader: str) -> Any:
    if name in found:
        return found[name]
    hint = unknown_name("", name, map(str, found)) if found else "none were sent"
    raise ObservationError(
        f"{modality} {name!r}, which {reader} reads, is missing ({str(hint).strip()})"
    )


def _texts(found: Mapping[str, Any], key: str, reads: Reads) -> list[str]:
    """One text per row, from B texts or B lists of one."""
    rows = _named(found, key, "language", reads.reader)
    rows = [rows] if isinstance(rows, str) else rows
    texts = []
    for row in rows if isinstance(rows, list | tuple) else [None]:
        text = row[0] if isinstance(row, list | tuple) and len(row) == 1 else row
        if not isinstance(text, str):
            raise ObservationError(
                f"language {key!r}: expected one text per row, as B lists of one text"
            )
        texts.append(text)
    return texts
