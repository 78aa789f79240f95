"""What a storage file of a bag offers, whether it is MCAP or SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import pyarrow as pa

from robocache.core.errors import CorruptFileError, DataError

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ZSTD_LARGEST_RATIO = 32768
"""No Zstandard data unpack to more: a block of 128 KiB takes at least 4 bytes."""
LARGEST_UNPACKED = 2**30
"""A chunk or message that says it unpacks to more bytes is refused before it is unpacked."""
LATEST_NS = 2**62
"""Times at or after this (the year 2116) are damage, and their differences could overflow."""

Where = tuple[int, int, int]


@dataclass(frozen=True)
class Topic:
    """A topic as a storage file declares it.

    Attributes:
        name: e.g. "/joint_states".
        type: e.g. "sensor_msgs/msg/JointState".
        definition: text of the type with all types it is made of; "" where the file has none.
        definition_format: "ros2msg", "ros2idl", or "" where the file has no definition.
        encoding: how messages are serialised; ROS 2 writes "cdr".
    """

    name: str
    type: str
    definition: str = ""
    definition_format: str = ""
    encoding: str = "cdr"


class Message(NamedTuple):
    """One message of a topic.

    Attributes:
        topic: what it belongs to.
        log_ns: when the recorder received it, in nanoseconds since the epoch.
        publish_ns: when it was published; equal to log_ns where the file does not say.
        data: the serialised message.
        where: what `Storage.read` finds it by.
    """

    topic: Topic
    log_ns: int
    publish_ns: int
    data: bytes | memoryview
    where: Where


@dataclass
class Findings:
    """What came to light while a file was read.

    Attributes:
        topics: every topic that is declared, also those without a message.
        damage: what makes the content unreliable; the bag is refused.
        notices: what is wrong, but leaves sound messages, such as a recording that was cut off.
    """

    topics: list[Topic] = field(default_factory=list)
    damage: list[DataError] = field(default_factory=list)
    notices: list[DataError] = field(default_factory=list)


class Storage(Protocol):
    """One storage file."""

    path: Path

    def messages(self, found: Findings) -> Iterator[Message]:
        """Every message in the order of the file; what is wrong goes to `found`, none raises."""
        ...

    def read(self, where: Where) -> bytes:
        """The data of one message.

        Raises:
            CorruptFileError: the file changed since `messages` gave this place.
        """
        ...


def unpacked(data: bytes | memoryview) -> bytes | memoryview:
    """A message as it was serialised; bags compressed message by message hold Zstandard frames.

    Raises:
        CorruptFileError: a damaged frame, or one above `LARGEST_UNPACKED`.
    """
    if bytes(data[:4]) != ZSTD_MAGIC:
        return data
    limit = min(LARGEST_UNPACKED, len(data) * ZSTD_LARGEST_RATIO)
    try:
        with pa.input_stream(pa.BufferReader(data), compression="zstd") as stream:
            whole: bytes = stream.read(limit + 1)
    except (OSError, pa.ArrowException) as error:
        raise CorruptFileError(f"a compressed message cannot be unpacked ({error})") from error
    if len(whole) > limit:
        raise CorruptFileError(f"a compressed message unpacks to more than {limit} bytes")
    return whole
