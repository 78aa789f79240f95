"""Samples out of messages: what every kind of message becomes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from robocache.datasets.ros.cdr import Bytes, Fields, MessageType

STAMPED = {"header.stamp.sec": "int32", "header.stamp.nanosec": "uint32"}


@dataclass(frozen=True)
class PictureKind:
    """How the pictures of a topic are decoded.

    Attributes:
        decode: bytes to pixels.
        unit: unit of the pixels, "" for colours.
        text: encoding or format, for people.
    """

    decode: Callable[[bytes], NDArray[Any]]
    unit: str
    text: str


@dataclass(frozen=True)
class Output:
    """One stream that a topic becomes.

    Attributes:
        suffix: what its name adds to the topic's.
        dtype: of the numbers; None for pictures.
        unit: as text.
        fields: names of the numbers in order, where they are known.
        picture: how pictures are decoded.
    """

    suffix: str
    dtype: np.dtype[Any] | None
    unit: str = ""
    fields: tuple[str, ...] = ()
    picture: PictureKind | None = None


class Sample(NamedTuple):
    """One sample out of a message: numbers, or from where to where a picture lies in it."""

    output: Output
    stamp_ns: int
    values: Any


class Interpreter(Protocol):
    """Makes samples of the messages of one topic.

    Attributes:
        left_out: fields of which no stream is made.
    """

    left_out: list[str]

    def samples(self, fields: Fields, data: Bytes) -> Iterator[Sample]:
        """The samples in a message.

        Raises:
            DataError: the message does not agree with those before it, or is not read.
        """
        ...


def has_fields(kind: MessageType, needs: Mapping[str, str]) -> bool:
    """Whether a type has these fields (path -> type)."""
    return all(kind.layout.get(path) == declared for path, declared in needs.items())


def stamp_reader(kind: MessageType) -> Callable[[Fields], int]:
    """What gives the header's stamp in nanoseconds; 0 for types without a header."""
    return _header_stamp_ns if has_fields(kind, STAMPED) else lambda fields: 0


def _header_stamp_ns(fields: Fields) -> int:
    seconds: int = fields["header.stamp.sec"]
    nanoseconds: int = fields["header.stamp.nanosec"]
    return seconds * 10**9 + nanoseconds
