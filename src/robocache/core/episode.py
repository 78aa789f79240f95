"""Episode: named streams, what was asked, what came of it, and where it is from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from robocache.core.errors import DataError, MissingStreamError
from robocache.core.stream import Stream


@dataclass(frozen=True)
class Outcome:
    """How an episode ended.

    Attributes:
        success: whether the task was solved at any step; None when nobody judged it.
        terminated: the task itself ended the episode.
        truncated: a time limit ended it.
        steps: number of actions executed.
        reward: sum of rewards; None when there were none.
        details: further numbers, e.g. `opposite_success` of a two-sided scene.
    """

    success: bool | None = None
    terminated: bool = False
    truncated: bool = False
    steps: int = 0
    reward: float | None = None
    details: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Provenance:
    """Where an episode comes from.

    Attributes:
        dataset: name of the dataset or collection.
        source: file it was read from, or environment it was made in.
        task: task name, if there is one.
        seed: root seed, for simulated episodes.
        index: number of the episode under that seed.
        simulator: simulator and versions, e.g. "metaworld 3.1.1, mujoco 3.3.0".
        actor: who acted: "expert", a checkpoint hash, "human".
    """

    dataset: str = ""
    source: str = ""
    task: str = ""
    seed: int | None = None
    index: int = 0
    simulator: str = ""
    actor: str = ""


@dataclass(frozen=True, eq=False)
class Episode:
    """One recording.

    Attributes:
        key: unique name of the episode within its dataset.
        streams: stream name -> Stream; all times are seconds since `start_ns`.
        instruction: what was asked, in words ("" when nothing was).
        outcome: how it ended.
        provenance: where it comes from.
        start_ns: absolute start as nanoseconds since the Unix epoch; 0 in simulation.
    """

    key: str
    streams: Mapping[str, Stream]
    instruction: str = ""
    outcome: Outcome = field(default_factory=Outcome)
    provenance: Provenance = field(default_factory=Provenance)
    start_ns: int = 0

    def stream(self, name: str) -> Stream:
        """The stream called `name`.

        Raises:
            MissingStreamError: it is not there; the message lists what is.
        """
        try:
            return self.streams[name]
        except KeyError:
            have = ", ".join(sorted(self.streams)) or "none"
            raise MissingStreamError(
                f"not recorded (streams: {have})", episode=self.key, stream=name
            ) from None

    def problems(self, *, finite: bool = True) -> list[DataError]:
        """Everything wrong with the streams, at most one problem per stream."""
        found = []
        for name, stream in sorted(self.streams.items()):
            try:
                stream.check(finite=finite)
            except DataError as error:
                found.append(error.located(episode=self.key, stream=name))
        return found

    def check(self, *, finite: bool = True) -> None:
        """Raise the first of `problems`."""
        for problem in self.problems(finite=finite):
            raise problem


def stream_hash(stream: Stream) -> str:
    """sha256 of a stream's content: specification, values, capture and availability times."""
    digest = hashlib.sha256()
    digest.update(json.dumps(stream.spec.to_json(), sort_keys=True).encode())
    for array in (stream.values[:], stream.times_s, stream.usable_s()):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def episode_hash(episode: Episode, stream_hashes: Mapping[str, str] | None = None) -> str:
    """sha256 of an episode's content: key, words, outcome, and the hash of every stream.

    Leaves out wall time, host and attempt, so the same episode made twice has the same hash.
    """
    hashes = stream_hashes or {name: stream_hash(s) for name, s in episode.streams.items()}
    record: dict[str, Any] = {
        "key": episode.key,
        "instruction": episode.instruction,
        "outcome": asdict(episode.outcome),
        "streams": dict(sorted(hashes.items())),
    }
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
