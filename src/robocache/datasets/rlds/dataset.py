"""RLDS and Open X-Embodiment datasets, read as they lie on disk, without TensorFlow.

An episode is one record of a TFRecord or ArrayRecord file; features.json tells what is in it.
Opening reads two JSON files and the sizes of the shards; a shard is opened for its own episodes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from robocache.core.episode import Episode
from robocache.core.errors import ConfigError, CorruptFileError, DataError, unknown_name
from robocache.datasets.dimensions import Dimension
from robocache.datasets.episode_files import EpisodeFiles
from robocache.datasets.rlds.array_record import ArrayRecordShard
from robocache.datasets.rlds.conventions import MODES, Mode, convention_named, convention_of
from robocache.datasets.rlds.episode import RLDSEpisode
from robocache.datasets.rlds.features import read_features
from robocache.datasets.rlds.info import FEATURES, Split, find_folder, read_info
from robocache.datasets.rlds.pictures import Shard
from robocache.datasets.rlds.problems import all_problems
from robocache.datasets.rlds.records import FOOTER_BYTES, HEADER_BYTES, TFRecordShard
from robocache.datasets.rlds.streams import Clock, Found, to_episode

ASSUMED_HZ = 1.0


@dataclass(frozen=True)
class Place:
    """Where an episode lies: its split, its shard in the split, the record, its place in order."""

    split: str
    shard: int
    number: int
    index: int


class RLDSDataset:
    """Episodes of one dataset; keys are "<split>/<number>", e.g. "train/000012".

    Streams are the steps' features by their path ("observation/image_0", "action", "reward"), all
    at the control rate, which RLDS does not store: it is given, or taken from the table of
    conventions, or assumed to be 1 Hz, and `report()` says which. Text and values of varying
    length are no streams; `rlds_episode` gives them.

    Args:
        path: folder with features.json, or one above it that holds a single dataset.
        name: name of the dataset; the stored one when not given.
        split: splits to read, e.g. "train"; None: all.
        rate_hz: control rate, in place of the table's.
        conventions: "as_stored", or "standard" (gripper 1 = open, motion as it happened, steps
            that do not count left out; see `standard`).
        known_as: entry of the table of conventions; by default found by the dataset's name.

    Raises:
        ConfigError: not an RLDS dataset, or an unknown split, entry or mode.
        CorruptFileError: features.json or dataset_info.json cannot be used.
    """

    def __init__(
        self,
        path: str | Path,
        name: str | None = None,
        *,
        split: str | Sequence[str] | None = None,
        rate_hz: float | None = None,
        conventions: Mode = "as_stored",
        known_as: str | None = None,
    ) -> None:
        if conventions not in MODES:
            raise unknown_name("conventions", conventions, MODES)
        if rate_hz is not None and not 0 < rate_hz < float("inf"):
            raise ConfigError(f"rate_hz must be positive, got {rate_hz}")
        self.path = find_folder(Path(path))
        self.features = read_features(self.path / FEATURES)
        self.info = read_info(self.path)
        self.name = name or self.info.name or self.path.resolve().name
        stored_name = self.info.name or self.path.resolve().parent.name
        self.convention = convention_named(known_as) if known_as else convention_of(stored_name)
        self.mode = conventions
        self.clock = _clock(rate_hz, self.convention.rate_hz, self.convention.name)
        self.splits = _chosen(self.info.splits, split)
        container = ArrayRecordShard if self.info.file_format == "array_record" else TFRecordShard
        self.shards: dict[str, list[Shard]] = {
            chosen: [container(file.path) for file in self.info.splits[chosen].files]
            for chosen in self.splits
        }
        self._places: dict[str, Place] = {}
        for chosen in self.splits:
            self._places |= _places_of(self.info.splits[chosen], self.shards[chosen])

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the descriptions, every record's checksum, and how they are read."""
        digest = hashlib.sha256((self.path / FEATURES).read_bytes())
        digest.update(f"\n{self.mode} {self.convention.name} {self.clock.rate_hz}".encode())
        for split in self.splits:
            for shard in self.shards[split]:
                digest.update(f"\n{split} {shard.checksums()}".encode())
        return digest.hexdigest()

    def episode_files(self, key: str) -> EpisodeFiles:
        """Its shard, and the description of its features."""
        place = self._places[key]
        shard = self.shards[place.split][place.shard].path
        return EpisodeFiles(
            reading=f"{place.number} {self.mode} {self.clock.rate_hz} {self.convention}",
            files=(shard, self.path / FEATURES),
        )

    def dimensions(self, stream: str) -> tuple[Dimension, ...]:
        """Names and units of a stream's numbers, where the table of conventions has them."""
        return self.convention.dimensions.get(stream, ())

    @property
    def tells_success(self) -> bool:
        """Whether the dataset's convention says which episodes succeeded."""
        return bool(self.convention.success)

    def keys(self) -> list[str]:
        """Keys of the episodes that are there, split by split in their order."""
        return list(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Episode]:
        return (self[key] for key in self._places)

    def __getitem__(self, key: int | str) -> Episode:
        return self.read(key, in_memory=False)

    def read(self, key: int | str, *, in_memory: bool) -> Episode:
        """An episode, whose encoded pictures stay in the file or, all read at once, in memory."""
        found = self.found(self.rlds_episode(key), in_memory=in_memory)
        for problem in found.wrong:
            raise problem
        return found.episode

    def found(self, rlds: RLDSEpisode, *, in_memory: bool = False) -> Found:
        """The streams of an episode, what is wrong with it, and what cannot be a stream."""
        index, source = self._places[rlds.key].index, rlds.shard.path.name
        return to_episode(
            rlds, self.name, source, self.clock, self.mode, index, in_memory=in_memory
        )

    def rlds_episode(self, key: int | str) -> RLDSEpisode:
        """An episode as it is stored: steps, texts, values of varying length, metadata.

        Raises:
            ConfigError: no such key.
            CorruptFileError: its record is damaged or not there.
        """
        if isinstance(key, int):
            key = self.keys()[key]
        if key not in self._places:
            raise unknown_name(f"episode of {self.name}", key, self._places)
        place = self._places[key]
        shard = self.shards[place.split][place.shard]
        if place.number >= len(shard):
            raise shard.trouble or CorruptFileError(
                f"holds {len(shard)} episodes, dataset_info.json says more",
                file=shard.path,
                episode=key,
            )
        return RLDSEpisode(key, shard, place.number, self.features, self.convention)

    def problems(self) -> Iterator[DataError]:
        """Everything wrong with the dataset; reads every record and decodes every picture."""
        return all_problems(self)

    def lost(self) -> Iterator[DataError]:
        """Episodes that dataset_info.json promises and that are in no shard."""
        for split in self.splits:
            index = 0
            for file, shard in zip(self.info.splits[split].files, self.shards[split], strict=True):
                declared = 0 if file.declared is None else file.declared
                absent = (_key(split, index + number) for number in range(declared))
                for key in (key for key in absent if key not in self._places):
                    missing = CorruptFileError("promised, but not there", file=file.path)
                    yield (shard.trouble or missing).located(episode=key)
                if file.declared is None and shard.trouble is not None:
                    yield shard.trouble
                index += len(shard) if file.declared is None else declared

    def report(self) -> dict[str, Any]:
        """What the dataset holds. Streams are those of the first episode that can be read."""
        first = self._first_readable()
        convention = self.convention
        return {
            "format": f"rlds ({self.info.file_format})",
            "version": self.info.version,
            "episodes": len(self),
            "splits": {
                split: sum(place.split == split for place in self._places.values())
                for split in self.splits
            },
            "rate_hz": self.clock.rate_hz,
            "rate_source": self.clock.source,
            "clock": "synthetic: RLDS stores no times",
            "conventions": self.mode,
            "known_as": convention.name or "not in the table of conventions",
            "action": convention.action,
            "grippers": [vars(gripper) for gripper in convention.grippers],
            "quirks": list(convention.quirks),
            "instruction": first.episode.instruction if first else "",
            "streams": {
                name: stream.spec.to_json() for name, stream in first.episode.streams.items()
            }
            if first
            else {},
            "episode_features": sorted(self.features.episode),
            "not_read": {**self.features.unread, **(first.not_read if first else {})},
        }

    def _first_readable(self) -> Found | None:
        for key in self._places:
            try:
                return self.found(self.rlds_episode(key))
            except DataError:
                continue
        return None


def _clock(given_hz: float | None, known_hz: float | None, entry: str) -> Clock:
    if given_hz is not None:
        return Clock(given_hz, "given")
    if known_hz is not None:
        return Clock(known_hz, f"table of conventions ({entry})")
    return Clock(ASSUMED_HZ, f"rate unknown, {ASSUMED_HZ:g} Hz assumed; give rate_hz")


def _chosen(splits: Any, wanted: str | Sequence[str] | None) -> list[str]:
    names = [wanted] if isinstance(wanted, str) else list(splits if wanted is None else wanted)
    for name in names:
        if name not in splits:
            raise unknown_name("split", name, splits)
    return list(dict.fromkeys(names))


def _key(split: str, index: int) -> str:
    return f"{split}/{index:06d}"


def _places_of(split: Split, shards: Sequence[Shard]) -> dict[str, Place]:
    """Key -> Place of the episodes that are there.

    Episodes are numbered by the declared lengths, so a shard that is missing changes no other key.
    """
    places: dict[str, Place] = {}
    whole = _has_the_declared_size(split, shards)
    index = 0
    for number, (file, shard) in enumerate(zip(split.files, shards, strict=True)):
        there = file.declared if whole and file.declared is not None else len(shard)
        declared = there if file.declared is None else file.declared
        for record in range(min(there, declared)):
            key = _key(split.name, index + record)
            places[key] = Place(split.name, number, record, index + record)
        index += declared
    return places


def _has_the_declared_size(split: Split, shards: Sequence[Shard]) -> bool:
    """Whether the files have exactly the bytes that dataset_info.json promises.

    Then no shard is truncated and none has to be opened to count its episodes.
    """
    if split.bytes is None or not all(isinstance(shard, TFRecordShard) for shard in shards):
        return False
    sizes = [file.path.stat().st_size for file in split.files if file.path.is_file()]
    framing = (HEADER_BYTES + FOOTER_BYTES) * sum(file.declared or 0 for file in split.files)
    return len(sizes) == len(split.files) and sum(sizes) == split.bytes + framing
