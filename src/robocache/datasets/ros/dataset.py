"""ROS 2 bags, MCAP or SQLite, as a dataset: every stream on the clock it was recorded with.

A sample's capture time is its header stamp where the messages have one, else the publisher's time,
else its arrival at the recorder; its availability is that arrival. See `ros.clocks`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from robocache.core.episode import Episode, Provenance
from robocache.core.errors import CorruptFileError, DataError, unknown_name
from robocache.datasets.dimensions import Dimension
from robocache.datasets.episode_files import EpisodeFiles
from robocache.datasets.ros.bag import SUFFIXES, Bag, find_bags
from robocache.datasets.ros.recording import Recording, read_recording


class RosDataset:
    """Bags of one path, one episode each.

    A stream is named after its topic, with a part behind it where a message holds several:
    `/joint_states/position`, `/imu/orientation`, `/tf/gripper`. Numbers keep the dtype of the
    message; quaternions are x, y, z, w. Pictures are decoded when they are asked for. A topic that
    cannot be read is left out; `report` says why.

    Opening looks for files only. An episode is one pass over its bag; the one read last is kept.
    A recording that was cut off is read as far as it goes (`problems` tells); one with damaged
    content is refused.

    Args:
        path: a .mcap or .db3 file (also .zstd), the folder of a bag, or a folder of bags.
        name: name of the dataset; the folder's or file's name when not given.
        instruction_topic: the std_msgs/String topic that holds the instruction; None: a topic
            named so (see `INSTRUCTION_NAMES`), if there is one.

    Raises:
        ConfigError: there is no bag.
    """

    def __init__(
        self,
        path: str | Path,
        name: str | None = None,
        *,
        instruction_topic: str | None = None,
    ) -> None:
        self.path = Path(path)
        self._bags = {bag.key: bag for bag in find_bags(self.path)}
        self.name = name or _name(self.path)
        self.instruction_topic = instruction_topic
        self._last: tuple[str, Recording] | None = None

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over names and content of all files."""
        digest = hashlib.sha256()
        for bag in self._bags.values():
            for file in [*bag.files, *([bag.metadata] if bag.metadata else [])]:
                try:
                    with file.open("rb") as content:
                        value = hashlib.file_digest(content, "sha256").hexdigest()
                except OSError as error:
                    raise CorruptFileError(f"cannot be read ({error})", file=file) from error
                digest.update(f"{file.name} {value}\n".encode())
        return digest.hexdigest()

    def episode_files(self, key: str) -> EpisodeFiles:
        """The files of its bag."""
        bag = self._bag(key)
        return EpisodeFiles("", (*bag.files, *([bag.metadata] if bag.metadata else [])))

    def dimensions(self, stream: str) -> tuple[Dimension, ...]:
        """Fields of a topic's messages, or its joints, in the first bag."""
        for bag in self._bags.values():
            fields = self._recording(bag).measured.get(stream, {}).get("fields", ())
            return tuple(Dimension(str(name)) for name in fields)
        return ()

    def keys(self) -> list[str]:
        """Keys of the bags: their paths below the dataset, without suffix."""
        return list(self._bags)

    def __len__(self) -> int:
        return len(self._bags)

    def __iter__(self) -> Iterator[Episode]:
        return (self[key] for key in self._bags)

    def __getitem__(self, key: int | str) -> Episode:
        if isinstance(key, int):
            key = self.keys()[key]
        bag = self._bag(key)
        recording = self._recording(bag)
        for problem in recording.damage:
            raise problem
        source = bag.folder if bag.metadata is not None or len(bag.files) > 1 else bag.files[0]
        return Episode(
            key=key,
            streams=recording.streams,
            instruction=recording.instruction,
            provenance=Provenance(
                dataset=self.name,
                source=source.relative_to(self.path).as_posix()
                if source != self.path and self.path.is_dir()
                else source.name,
                task=recording.instruction,
                index=self.keys().index(key),
            ),
            start_ns=recording.start_ns,
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_last": None}

    def problems(self) -> Iterator[DataError]:
        """Everything wrong with the bags; reads all messages, decodes no picture but the first.

        Damage, recordings that were cut off, counts that do not agree, topics that are empty or of
        unknown type, gaps, clock skew, stamps out of order, values that are not finite.
        """
        for bag in self._bags.values():
            recording = read_recording(bag, self.instruction_topic)
            yield from recording.damage
            yield from recording.notices
            episode = Episode(bag.key, recording.streams)
            if not recording.streams and not recording.damage:
                nothing = "holds no topic that could be read"
                yield DataError(nothing, file=bag.folder, episode=bag.key)
            for problem in _unsound(episode):
                yield problem.located(file=bag.folder)

    def report(self, key: str | None = None) -> dict[str, Any]:
        """What the dataset holds, with streams and topics of one bag.

        Args:
            key: the bag; None: the first that can be read.

        Returns:
            `streams`: declaration, topic, what gave the capture times (`capture`: "header",
            "publish" or "log"), measured rate, jitter, gaps and latency of each; `topics`: type,
            number of messages, and why something is not read; `cameras`: calibration by topic.
        """
        keys = self.keys() if key is None else [key]
        found: dict[str, Any] = {"format": "ros 2 bag", "episodes": len(self)}
        for one in keys:
            recording = self._recording(self._bag(one))
            if recording.damage and key is None:
                continue
            return found | {
                "episode": one,
                "instruction": recording.instruction,
                "start_ns": recording.start_ns,
                "streams": {
                    name: {**stream.spec.to_json(), **recording.measured[name]}
                    for name, stream in recording.streams.items()
                },
                "topics": recording.topics,
                "not_read": {
                    name: about["not_read"]
                    for name, about in recording.topics.items()
                    if "not_read" in about
                },
                "cameras": recording.cameras,
            }
        return found | {"streams": {}, "topics": {}, "not_read": {}, "cameras": {}}

    def _bag(self, key: str) -> Bag:
        if key not in self._bags:
            raise unknown_name(f"episode of {self.name}", key, self._bags)
        return self._bags[key]

    def _recording(self, bag: Bag) -> Recording:
        if self._last is None or self._last[0] != bag.key:
            self._last = (bag.key, read_recording(bag, self.instruction_topic))
        return self._last[1]


def _unsound(episode: Episode) -> Iterator[DataError]:
    for name, stream in sorted(episode.streams.items()):
        try:
            stream.check(finite=not hasattr(stream.values, "encoded"))
        except DataError as error:
            yield error.located(episode=episode.key, stream=name)


def _name(path: Path) -> str:
    name = path.resolve().name
    return next((name.removesuffix(s) for s in SUFFIXES[::-1] if name.endswith(s)), name)
