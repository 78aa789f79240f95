"""Where a split of CALVIN does not hold what it promises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

import numpy as np

from robocache.core.errors import (
    CorruptFileError,
    DataError,
    MissingStreamError,
    NonFiniteError,
    TimesError,
)
from robocache.datasets.calvin.arrays import frame_checksums, read_frame, read_npy
from robocache.datasets.calvin.frames import check_alike
from robocache.datasets.calvin.split import IDS_FILE, WORDS_FILE, Segment, Split


def all_problems(split: Split) -> Iterator[DataError]:
    """Everything wrong with a split; reads every frame of its play episodes."""
    yield from split.wrong
    yield from _wrong_lengths(split)
    yield from _wrong_ranges(split)
    yield from _wrong_windows(split)
    yield from _wrong_scenes(split)
    if "static" not in split.cameras:
        yield MissingStreamError(
            "the static camera is not described, so its depth gives no points",
            file=split.folder / ".hydra" / "merged_config.yaml",
        )
    for segment in split.play:
        yield from _wrong_frames(split, segment)


def _wrong_lengths(split: Split) -> Iterator[DataError]:
    """ep_lens.npy that does not agree with ep_start_end_ids.npy."""
    path = split.folder / "ep_lens.npy"
    if not path.is_file():
        return
    try:
        told = read_npy(path)
    except DataError as error:
        yield error
        return
    lengths = [len(segment) for segment in split.play]
    if not isinstance(told, np.ndarray) or told.ravel().tolist() != lengths:
        yield TimesError(f"does not agree with {IDS_FILE}, whose ends are inclusive", file=path)


def _wrong_ranges(split: Split) -> Iterator[DataError]:
    """Play episodes that overlap, and frames in none of them."""
    path = split.folder / IDS_FILE
    if not split.play:
        yield MissingStreamError("names no episodes", file=path)
    ordered = sorted(split.play, key=lambda segment: segment.first)
    for one, two in pairwise(ordered):
        if two.first <= one.last:
            yield TimesError(f"episodes {_words(one)} and {_words(two)} share frames", file=path)
    used = np.zeros(len(split.frames), bool)
    for segment in split.play:
        used |= (split.frames >= segment.first) & (split.frames <= segment.last)
    if not used.all():
        spare = split.frames[~used]
        yield CorruptFileError(
            f"{len(spare)} frames are in no episode and are not read, first {spare[0]}",
            file=split.folder,
        )


def _wrong_windows(split: Split) -> Iterator[DataError]:
    """Annotated windows outside the play episodes."""
    for number, window in enumerate(split.language or ()):
        inside = any(s.first <= window.first and window.last <= s.last for s in split.play)
        if not inside:
            yield TimesError(
                f"annotation {number} ({window.words!r}) is about frames {_words(window)}, which "
                f"are not in one episode",
                file=split.folder / WORDS_FILE,
            )


def _wrong_scenes(split: Split) -> Iterator[DataError]:
    """Scenes that share frames, or that leave frames of episodes without a scene."""
    path = split.folder / "scene_info.npy"
    scenes = sorted(split.scenes.items(), key=lambda scene: scene[1])
    for (one, range_one), (two, range_two) in pairwise(scenes):
        if range_two[0] <= range_one[1]:
            yield CorruptFileError(f"scenes {one!r} and {two!r} share frames", file=path)
    for segment in split.play if scenes else ():
        held = any(a <= segment.first and segment.last <= b for _, (a, b) in scenes)
        if not held:
            yield CorruptFileError(f"episode {_words(segment)} is in no one scene", file=path)


def _wrong_frames(split: Split, segment: Segment) -> Iterator[DataError]:
    """Frames of a play episode that are missing, damaged, unlike the first or repeated."""
    there = np.searchsorted(split.frames, [segment.first, segment.last + 1])
    numbers = split.frames[there[0] : there[1]]
    missing = len(segment) - len(numbers)
    if missing:
        steps = np.diff([segment.first - 1, *numbers, segment.last + 2])
        gap = segment.first + int(np.argmax(steps != 1))
        yield CorruptFileError(
            f"{missing} of {len(segment)} frames of episode {_words(segment)} are missing",
            file=split.frame(gap),
        )
    like: dict[str, np.ndarray] = {}
    before: Mapping[str, int] = {}
    last = -1
    for number in numbers.tolist():
        path = split.frame(number)
        try:
            arrays = read_frame(path)
            sums = frame_checksums(path)
            for name, array in arrays.items():
                first = like.setdefault(name, array)
                check_alike(array, first.shape, first.dtype, path, name)
        except DataError as error:
            yield error
            continue
        absent = sorted(like.keys() - arrays.keys())
        if absent:
            yield MissingStreamError(f"has no {', '.join(absent)}", file=path)
        yield from _wrong_values(arrays, path)
        if number == last + 1 and sums == before:
            yield CorruptFileError(f"the same as frame {last}", file=path)
        last, before = number, sums


def _wrong_values(arrays: Mapping[str, np.ndarray], path: object) -> Iterator[DataError]:
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            yield NonFiniteError("is NaN or infinite", file=path, stream=name)
        if name.startswith("rgb_") and "tactile" not in name and not array.any():
            yield CorruptFileError("the picture is black", file=path, stream=name)


def _words(segment: Segment) -> str:
    return f"{segment.first}..{segment.last}"
