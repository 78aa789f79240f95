"""The episode store: a folder of immutable Parquet shards, read by key."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from robocache.core.episode import Episode
from robocache.core.errors import CorruptFileError, DataError, unknown_name
from robocache.datasets.episode_files import EpisodeFiles
from robocache.datasets.shard_records import ShardRecords, read_shard_records
from robocache.datasets.shards import SUFFIX, read_episode
from robocache.runs.files import sha256_lines


class Place(NamedTuple):
    """Where an episode lies, and what its shard tells of it."""

    shard: Path
    row: int
    sha256: str
    records: ShardRecords

    @property
    def record(self) -> dict[str, Any]:
        return self.records[self.row]


class EpisodeStore:
    """Reader of this project's own shards.

    The same episode in two shards (an attempt that was killed before it was committed, and the one
    that replaced it) counts once; two different episodes under one key are an error.

    Args:
        path: folder with `*.episodes.parquet` shards.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.name = self.path.name
        self.broken: list[DataError] = []
        self._places: dict[str, Place] = {}
        shards = sorted(self.path.glob(f"*{SUFFIX}"))
        for shard, records in read_shard_records(self.path, shards):
            if isinstance(records, CorruptFileError):
                self.broken.append(records)
            else:
                self._take(shard, records)
        self._keys = sorted(self._places)

    def _take(self, shard: Path, records: ShardRecords) -> None:
        for row, (key, sha256) in enumerate(zip(records.keys, records.hashes, strict=True)):
            known = self._places.setdefault(key, Place(shard, row, sha256, records))
            if known.sha256 != sha256:
                self.broken.append(
                    CorruptFileError(
                        f"the same key has other content in {known.shard.name}",
                        file=shard,
                        episode=key,
                    )
                )

    @property
    def fingerprint(self) -> str:
        """sha256 over (key, content hash) in key order, as `Ledger.fingerprint` has it; shard
        layout does not enter."""
        self.require_whole()
        return self.fingerprint_of(self._keys)

    def fingerprint_of(self, keys: Sequence[str]) -> str:
        """What `fingerprint` would be of these episodes alone, given in the order of `keys()`."""
        return sha256_lines(f"{k}\x00{self._places[k].sha256}\n" for k in keys)

    def lost(self) -> Iterator[DataError]:
        """Shards that cannot be opened, and keys under which two episodes are kept."""
        yield from self.broken

    def require_whole(self) -> None:
        """Raise the first unreadable shard, so that nobody trains on what is left by accident."""
        if self.broken:
            raise self.broken[0]

    def keys(self) -> list[str]:
        return list(self._keys)

    def record(self, key: str) -> dict[str, Any]:
        """Words, outcome and provenance of an episode, without reading its samples."""
        return self._place(key).record

    def episode_files(self, key: str) -> EpisodeFiles:
        """The hashes of its streams, which are checked whenever they are read."""
        return EpisodeFiles(json.dumps(self.record(key)["streams"], sort_keys=True))

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, key: int | str) -> Episode:
        place = self._place(key if isinstance(key, str) else self._keys[key])
        return read_episode(place.shard, place.row)

    def __iter__(self) -> Iterator[Episode]:
        return (self[key] for key in self._keys)

    def problems(self) -> Iterator[DataError]:
        yield from self.broken
        for key in self._keys:
            try:
                episode = self[key]
            except DataError as error:
                yield error
                continue
            for problem in episode.problems():
                yield problem.located(file=self._places[key].shard)

    def report(self) -> dict[str, Any]:
        records = [place.record for place in self._places.values()]
        tasks: dict[str, Counter[str]] = {}
        streams: dict[str, Any] = {}
        for record in records:
            outcome = {True: "success", False: "failure", None: "unjudged"}
            task = record["provenance"]["task"]
            tasks.setdefault(task, Counter())[outcome[record["outcome"]["success"]]] += 1
            streams.update(record["specs"])
        return {
            "format": "episodes",
            "episodes": len(records),
            "shards": len({place.shard for place in self._places.values()}),
            "steps": sum(record["outcome"]["steps"] for record in records),
            "tasks": {task: dict(counts) for task, counts in sorted(tasks.items())},
            "streams": dict(sorted(streams.items())),
        }

    def _place(self, key: str) -> Place:
        if key not in self._places:
            raise unknown_name(f"episode of {self.name}", key, self._keys)
        return self._places[key]
