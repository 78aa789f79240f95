"""An RLDS episode as RLDS users think of it: steps with observation, action and flags.

Everything a record holds can be reached here, values of varying length and the episode's metadata
included, as it is stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, overload

import numpy as np

from robocache.core.errors import CorruptFileError, DataError, MissingStreamError
from robocache.datasets.rlds.conventions import Convention
from robocache.datasets.rlds.example import Record, parse_example
from robocache.datasets.rlds.features import Features, Leaf
from robocache.datasets.rlds.pictures import (
    PictureDecoder,
    RecordPictures,
    Shard,
    StoredPictures,
)
from robocache.datasets.rlds.values import (
    Pictures,
    Ragged,
    Values,
    count_steps,
    episode_value,
    step_values,
)


class RLDSEpisode:
    """One record of a dataset, taken apart when it is asked.

    Args:
        key: name of the episode in its dataset.
        shard: file it lies in.
        number: which record of the file.
        features: what it should hold.
        convention: where its language and outcome are.

    Raises:
        CorruptFileError: damaged, or not a tf.train.Example.
    """

    def __init__(
        self, key: str, shard: Shard, number: int, features: Features, convention: Convention
    ) -> None:
        self.key, self.shard, self.number = key, shard, number
        self.features, self.convention = features, convention
        self._values: dict[str, Values] = {}
        try:
            data = shard.read(number)
            self.record = Record(data, parse_example(data))
            self._steps = count_steps(self.record, list(features.steps.values()))
        except DataError as error:
            raise self.located(error) from error

    def __len__(self) -> int:
        return self._steps

    def located(self, error: DataError, stream: str | None = None) -> DataError:
        """An error that names this episode and its file."""
        return error.located(file=self.shard.path, episode=self.key, stream=stream)

    @property
    def steps(self) -> Steps:
        """The steps, made when they are asked for."""
        return Steps(self)

    def values(self, name: str) -> Values:
        """What every step has under a name such as "observation/state".

        Raises:
            MissingStreamError: no such name, or not in this record.
            CorruptFileError, ShapeError: damaged, or not as features.json declares.
        """
        if name not in self._values:
            leaf = self.features.steps.get(name)
            if leaf is None:
                have = ", ".join(sorted(self.features.steps))
                missing = MissingStreamError(f"not among the steps' features ({have})")
                raise self.located(missing, name)
            try:
                self._values[name] = step_values(self.record, leaf, len(self))
            except DataError as error:
                raise self.located(error, name) from error
        return self._values[name]

    def pictures(self, name: str, *, in_memory: bool = False) -> StoredPictures | RecordPictures:
        """The encoded pictures of a name, which stay in the file, or in the memory of this record.

        From memory is faster where all are looked at.
        """
        found = self.values(name)
        spans = found.spans if isinstance(found, Pictures) else []
        if in_memory:
            return RecordPictures(self.record.data, spans)
        return StoredPictures(self.shard, self.number, spans)

    def value(self, name: str) -> Any:
        """What the episode has once under a name such as "episode_metadata/file_path".

        Raises:
            MissingStreamError: no such name, or not in this record.
            CorruptFileError, ShapeError: damaged, or not as features.json declares.
        """
        leaf = self.features.episode.get(name)
        if leaf is None:
            have = ", ".join(sorted(self.features.episode))
            raise self.located(MissingStreamError(f"not among the episode's features ({have})"))
        try:
            found = episode_value(self.record, leaf)
        except DataError as error:
            raise self.located(error, name) from error
        return _decoded(found, leaf)

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """Everything outside the steps, nested as it is declared."""
        nested: dict[str, Any] = {}
        for name, leaf in self.features.episode.items():
            inner = nested
            for part in leaf.path[:-1]:
                inner = inner.setdefault(part, {})
            inner[leaf.path[-1]] = self.value(name)
        return nested

    @cached_property
    def instruction(self) -> str:
        """The first instruction that is not empty, as the dataset's convention names them."""
        for name in self.convention.language:
            if name in self.features.steps and len(self):
                found = self.words(name, 0)
            elif name in self.features.episode:
                found = _words(self.value(name), self, name)
            else:
                continue
            if found:
                return found
        return ""

    def words(self, name: str, step: int) -> str:
        """A text of one step, whether stored as text, bytes or code points."""
        values = self.values(name)
        rows = values.rows if isinstance(values, Ragged) else values
        return "" if isinstance(rows, Pictures) else _words(rows[step], self, name)

    @cached_property
    def success(self) -> bool | None:
        """Whether the task was solved; None where the dataset does not say."""
        told = self.convention.success
        if "path" in told and told["path"] in self.features.episode:
            path = _words(self.value(told["path"]), self, told["path"])
            if told["success"] in path or told["failure"] in path:
                return told["success"] in path
        if "flag" in told and {told["flag"], told["valid"]} <= set(self.features.episode):
            return bool(self.value(told["flag"])) if self.value(told["valid"]) else None
        return None

    def content_hash(self) -> str:
        """sha256 of everything the steps hold; the same steps elsewhere have the same hash."""
        digest = hashlib.sha256()
        for key in sorted(key for key in self.record.features if key.startswith("steps/")):
            digest.update(f"\n{key} {self.record.features[key].kind}".encode())
            for start, end in self.record.features[key].spans:
                digest.update(f" {end - start} ".encode())
                digest.update(self.record.data[start:end])
        return digest.hexdigest()


class Steps(Sequence["RLDSStep"]):
    """The steps of an episode."""

    def __init__(self, episode: RLDSEpisode) -> None:
        self._episode = episode

    def __len__(self) -> int:
        return len(self._episode)

    @overload
    def __getitem__(self, index: int) -> RLDSStep: ...
    @overload
    def __getitem__(self, index: slice) -> list[RLDSStep]: ...
    def __getitem__(self, index: int | slice) -> RLDSStep | list[RLDSStep]:
        numbers = range(len(self))[index]
        if isinstance(numbers, range):
            return [RLDSStep(self._episode, number) for number in numbers]
        return RLDSStep(self._episode, numbers)


class Branch(Mapping[str, Any]):
    """Part of a step: names to values or further branches; pictures are decoded when asked for."""

    def __init__(self, episode: RLDSEpisode, number: int, path: tuple[str, ...] = ()) -> None:
        self._episode, self._number, self._path = episode, number, path

    def __getitem__(self, name: str) -> Any:
        path = (*self._path, name)
        leaf = self._episode.features.steps.get("/".join(path))
        if leaf is not None:
            return self._value(leaf)
        if any(other.path[: len(path)] == path for other in self._episode.features.steps.values()):
            return Branch(self._episode, self._number, path)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        depth = len(self._path)
        paths = [leaf.path for leaf in self._episode.features.steps.values()]
        return iter(dict.fromkeys(p[depth] for p in paths if p[:depth] == self._path))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _value(self, leaf: Leaf) -> Any:
        values = self._episode.values(leaf.name)
        if isinstance(values, Pictures):
            start, end = values.spans[self._number]
            found: Any = self._episode.record.data[start:end]
        else:
            rows = values.rows if isinstance(values, Ragged) else values
            found = rows[self._number]
        try:
            return _decoded(found, leaf)
        except DataError as error:
            raise self._episode.located(error, leaf.name) from error


class RLDSStep(Branch):
    """One step. `step["observation"]["state"]` and `step.observation["state"]` are the same."""

    @property
    def number(self) -> int:
        """Which step of the episode, from 0."""
        return self._number

    @property
    def observation(self) -> Any:
        return self["observation"]

    @property
    def action(self) -> Any:
        """One array, or a branch where the dataset names the parts of its action."""
        return self["action"]

    @property
    def reward(self) -> float | None:
        return float(self["reward"]) if "reward" in self else None

    @property
    def is_first(self) -> bool:
        return bool(self["is_first"]) if "is_first" in self else self._number == 0

    @property
    def is_last(self) -> bool:
        last = self._number == len(self._episode) - 1
        return bool(self["is_last"]) if "is_last" in self else last

    @property
    def is_terminal(self) -> bool | None:
        return bool(self["is_terminal"]) if "is_terminal" in self else None

    @property
    def language_instruction(self) -> str:
        """What is asked at this step, wherever the dataset keeps it; "" when nothing is."""
        for name in self._episode.convention.language:
            if name in self._episode.features.steps:
                found = self._episode.words(name, self._number)
                if found:
                    return found
        return self._episode.instruction


def _decoded(found: Any, leaf: Leaf) -> Any:
    """A value with its pictures decoded, at whatever depth they lie."""
    if leaf.kind != "image":
        return found
    if isinstance(found, bytes):
        return PictureDecoder(leaf)(found)
    return [_decoded(part, leaf) for part in found]


def _words(found: Any, episode: RLDSEpisode, name: str) -> str:
    """Text stored as text, UTF-8 bytes, or code points that a zero ends."""
    try:
        if isinstance(found, str):
            return found
        if isinstance(found, bytes):
            return found.decode()
        if isinstance(found, np.ndarray) and found.dtype.kind in "iu":
            points = found.ravel().tolist()
            return "".join(map(chr, points[: points.index(0)] if 0 in points else points))
    except (UnicodeDecodeError, ValueError, OverflowError) as error:
        raise episode.located(CorruptFileError(f"not text ({error})"), name) from error
    return ""
