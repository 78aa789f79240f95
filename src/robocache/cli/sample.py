"""What the episodes of a dataset hold, in numbers and words: the first few, or all of them."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from robocache.core import Episode
from robocache.core.errors import DataError
from robocache.datasets import Reader
from robocache.datasets.parts import content_hash
from robocache.evaluation.stream_figures import Figures, stream_figures, together

EPISODES = 5
SECONDS = 10.0
"""No further episode is begun after so long."""
INSTRUCTIONS = 5


@dataclass
class Sample:
    """What was found in the episodes that were read.

    Attributes:
        asked, of: how many episodes were to be read, and how many the dataset has.
        read: how many could be.
        streams: name -> figures over all episodes.
        instructions: words -> number of episodes; "" among them.
        unreadable: why episodes could not be read.
        wrong: what is wrong with streams of those that could.
        keys_of: content hash -> keys, where it was asked for.
    """

    asked: int
    of: int
    read: int = 0
    streams: dict[str, Figures] = field(default_factory=dict)
    instructions: Counter[str] = field(default_factory=Counter)
    unreadable: list[DataError] = field(default_factory=list)
    wrong: list[DataError] = field(default_factory=list)
    keys_of: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    @property
    def equal(self) -> list[list[str]]:
        """Keys of episodes with the same content, together."""
        return [keys for keys in self.keys_of.values() if len(keys) > 1]

    def add(self, episode: Episode, *, hashed: bool) -> None:
        for name, stream in episode.streams.items():
            one = stream_figures(name, stream)
            known = self.streams.get(name)
            self.streams[name] = one if known is None else together(known, one)
        if hashed and episode.streams:
            self.keys_of[content_hash(episode)].append(episode.key)
        self.instructions[episode.instruction] += 1
        self.read += 1

    def to_json(self) -> dict[str, Any]:
        words = [text for text in self.instructions if text]
        return {
            "episodes": self.asked,
            "read": self.read,
            "instructions": words[:INSTRUCTIONS],
            "different_instructions": len(words),
            "empty_instructions": self.instructions[""],
            "streams": {name: self.streams[name].to_json() for name in sorted(self.streams)},
        }


def sample_first(
    dataset: Reader,
    look: Callable[[Episode], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Sample:
    """The first `EPISODES`, fewer where they are long; streams are checked, no picture decoded.

    Args:
        look: is shown every episode.
        clock: seconds, never going backwards.
    """
    began = clock()
    found = Sample(0, len(dataset))
    for key in dataset.keys()[:EPISODES]:
        if found.asked and clock() - began > SECONDS:
            break
        _read(dataset, key, found, hashed=False, look=look)
    return found


def sample_all(
    dataset: Reader,
    told: Callable[[int, int, str], None],
    look: Callable[[Episode], None] | None = None,
) -> Sample:
    """All episodes, with their hashes.

    Args:
        told: how many are done, of how many, and "".
        look: is shown the first `EPISODES`.
    """
    found, keys = Sample(0, len(dataset)), dataset.keys()
    for done, key in enumerate(keys, start=1):
        _read(dataset, key, found, hashed=True, look=look if done <= EPISODES else None)
        told(done, len(keys), "")
    return found


def _read(
    dataset: Reader,
    key: str,
    found: Sample,
    *,
    hashed: bool,
    look: Callable[[Episode], None] | None,
) -> None:
    found.asked += 1
    try:
        episode = dataset[key]
        found.add(episode, hashed=hashed)
        if look is not None:
            look(episode)
    except DataError as error:
        found.unreadable.append(error.located(episode=key))
        return
    for name, stream in sorted(episode.streams.items()):
        try:
            stream.check(finite=isinstance(stream.values, np.ndarray))
        except DataError as error:
            found.wrong.append(error.located(episode=key, stream=name))
