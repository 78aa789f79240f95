"""Where an RLDS dataset does not hold what it promises."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from robocache.core.errors import CorruptFileError, DataError, NonFiniteError, TimesError
from robocache.core.stream import Stream
from robocache.datasets.frames import EncodedFrames
from robocache.datasets.rlds.episode import RLDSEpisode
from robocache.datasets.rlds.info import INFO

if TYPE_CHECKING:
    from robocache.datasets.rlds.dataset import RLDSDataset

MARKS = {"is_first": 0, "is_last": -1}


class Tally:
    """Faults that many episodes share, told once with their number."""

    def __init__(self) -> None:
        self._episodes: dict[tuple[str | None, str], list[str]] = defaultdict(list)

    def add(self, text: str, episode: str, stream: str | None = None) -> None:
        self._episodes[stream, text].append(episode)

    def problems(self, file: object) -> Iterator[DataError]:
        """One problem for each fault; it names the first episode."""
        for (stream, text), keys in self._episodes.items():
            many = f" (so in {len(keys)} episodes, this is the first)" if len(keys) > 1 else ""
            yield CorruptFileError(text + many, file=file, episode=keys[0], stream=stream)


NAMED = 50
"""Pairs of equal episodes that a problem names."""


def all_problems(dataset: RLDSDataset) -> Iterator[DataError]:
    """Everything wrong; every record is read, every picture decoded."""
    yield from dataset.info.problems
    yield from _shard_problems(dataset)
    tally = Tally()
    by_content: dict[str, list[str]] = defaultdict(list)
    keys = dataset.keys()
    for key in keys:
        try:
            rlds = dataset.rlds_episode(key)
            by_content[rlds.content_hash()].append(key)
            yield from _episode_problems(dataset, rlds, tally)
        except DataError as error:
            yield error.located(episode=key)
    yield from tally.problems(dataset.path)
    yield from _overlaps(dataset, list(by_content.values()))


def _shard_problems(dataset: RLDSDataset) -> Iterator[DataError]:
    """Shards that are missing, damaged, or hold another number of episodes than promised."""
    for split in dataset.splits:
        files = dataset.info.splits[split].files
        for file, shard in zip(files, dataset.shards[split], strict=True):
            if not file.path.is_file():
                yield CorruptFileError(f"missing; {file.declared} episodes", file=file.path)
                continue
            if shard.trouble is not None:
                yield shard.trouble
            if file.declared is not None and len(shard) != file.declared:
                yield CorruptFileError(
                    f"{INFO} promises {file.declared} episodes, {len(shard)} are there",
                    file=file.path,
                )


def _episode_problems(dataset: RLDSDataset, rlds: RLDSEpisode, tally: Tally) -> Iterator[DataError]:
    found = dataset.found(rlds)
    yield from found.wrong
    yield from _metadata_problems(rlds)
    if not len(rlds):
        yield rlds.located(TimesError("has no steps"))
        return
    for name, stream in found.episode.streams.items():
        try:
            _check(stream)
            if isinstance(stream.values, EncodedFrames):
                _see_camera(rlds, name, _constant(stream.values), tally)
        except DataError as error:
            yield rlds.located(error, name)
    yield from _mark_problems(rlds, tally)
    if not found.episode.instruction and _has_language(rlds):
        tally.add("the instruction is empty", rlds.key)


def _check(stream: Stream) -> None:
    """Times and shapes; numbers finite. Pictures are checked where they are looked at."""
    stream.check(finite=False)
    values = stream.values
    if isinstance(values, np.ndarray) and values.dtype.kind == "f":
        finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
        if not finite.all():
            raise NonFiniteError(f"step {int(np.argmin(finite))} is NaN or infinite")


def _see_camera(rlds: RLDSEpisode, name: str, constant: bool, tally: Tally) -> None:
    """Count a camera whose flag and pictures say different things."""
    flag = rlds.convention.cameras.get(name, "")
    told = bool(rlds.value(flag)) if flag in rlds.features.episode else None
    if constant and told is not False:
        claim = f", although {flag} says that the camera was there" if told else ""
        tally.add(f"every picture is of one colour{claim}", rlds.key, name)
    elif told is False and not constant:
        text = f"{flag} says that the camera was not there, its pictures show otherwise"
        tally.add(text, rlds.key, name)


def _constant(frames: EncodedFrames) -> bool:
    """Whether all pixels of all pictures are the same; decodes every picture."""
    colours = set()
    for number in range(len(frames)):
        picture = frames[number]
        colours.add((picture.min().item(), picture.max().item()) if picture.size else (0, 0))
    return len(colours) <= 1 and all(low == high for low, high in colours)


def _metadata_problems(rlds: RLDSEpisode) -> Iterator[DataError]:
    for name in rlds.features.episode:
        try:
            rlds.value(name)
        except DataError as error:
            yield error


def _mark_problems(rlds: RLDSEpisode, tally: Tally) -> Iterator[DataError]:
    """is_first and is_last that stand at other steps than the first and the last."""
    for name, place in MARKS.items():
        if name not in rlds.features.steps:
            continue
        try:
            marks = np.flatnonzero(np.asarray(rlds.values(name))).tolist()
        except DataError:
            continue  # told with the stream
        if not marks:
            tally.add("true at no step: the episode may have been cut", rlds.key, name)
        elif marks != [place % len(rlds)]:
            yield rlds.located(
                TimesError(f"is true at steps {marks[:8]}, expected only {place % len(rlds)}"), name
            )


def _has_language(rlds: RLDSEpisode) -> bool:
    names = {*rlds.features.steps, *rlds.features.episode}
    return any(name in names for name in rlds.convention.language)


def _overlaps(dataset: RLDSDataset, same: list[list[str]]) -> Iterator[DataError]:
    """Episodes with the same content, counted by the splits they lie in."""
    pairs: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for keys in same:
        first = keys[0]
        for other in keys[1:]:
            pairs[first.rsplit("/", 1)[0], other.rsplit("/", 1)[0]].append((first, other))
    for (split, other_split), found in pairs.items():
        named = ", ".join(f"{a} and {b}" for a, b in found[:NAMED])
        more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
        where = (
            f"splits {split} and {other_split} hold {len(found)} episodes with the same content"
            if split != other_split
            else f"split {split} holds {len(found)} episodes twice"
        )
        yield CorruptFileError(f"{where}: {named}{more}", file=dataset.path)
