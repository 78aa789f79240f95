"""How large and how deep a msgpack message is, found out before any of it is built.

A few bytes of msgpack can ask for gigabytes of Python objects. The scan walks over the headers,
skips the contents, and allocates nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from robocache.core.errors import ProtocolError

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """What a message may be.

    Attributes:
        message_bytes: size of the whole message.
        items: values in it, keys of maps among them.
        depth: maps and lists within each other.
    """

    message_bytes: int = 64 * MEBIBYTE
    items: int = 20_000
    depth: int = 16


_PAYLOAD = {
    **{0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8},
    **{0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8},
}
"""First byte -> bytes that follow, for values of a fixed size."""
_SIZED = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
"""First byte -> bytes of the length, for text and bytes."""
_CONTAINERS = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}
"""First byte -> bytes of the count, and values for each, for lists and maps."""


def require_bounded(message: memoryview, limits: Limits) -> None:
    """Raise unless `message` is one whole msgpack value within the limits.

    Raises:
        ProtocolError: too large, too deep, truncated, followed by more, or of a type that the
            protocol does not have (extensions).
    """
    if len(message) > limits.message_bytes:
        raise ProtocolError(
            f"a message of {len(message)} bytes; at most {limits.message_bytes} are taken"
        )
    position, seen, open_containers = 0, 0, [1]
    try:
        while open_containers:
            if open_containers[-1] == 0:
                open_containers.pop()
                continue
            open_containers[-1] -= 1
            first = message[position]
            if first >= 0xE0 or first < 0x80:
                position, count = position + 1, 0
            elif 0xA0 <= first < 0xC0:
                position, count = position + 1 + (first & 0x1F), 0
            else:
                position, count = _step(message, position + 1, first)
            seen += 1
            if count:
                open_containers.append(count)
            if seen + count > limits.items:
                raise ProtocolError(f"more than {limits.items} values in a message")
            if len(open_containers) > limits.depth + 1:
                raise ProtocolError(f"maps and lists more than {limits.depth} deep")
    except IndexError:
        raise ProtocolError("the message is not whole msgpack: it ends too early") from None
    if position > len(message):
        raise ProtocolError("the message is not whole msgpack: it ends too early")
    if position < len(message):
        raise ProtocolError(f"{len(message) - position} bytes after the end of the message")


def _step(message: memoryview, position: int, first: int) -> tuple[int, int]:
    """Where a value with this first byte ends, or its content begins, and how many values that is.

    Args:
        position: after the first byte.
    """
    if first < 0x90:
        return position, 2 * (first & 0x0F)
    if first < 0xA0:
        return position, first & 0x0F
    if first in _PAYLOAD:
        return position + _PAYLOAD[first], 0
    if first in _SIZED:
        size = _SIZED[first]
        return position + size + _number(message, position, size), 0
    if first in _CONTAINERS:
        size, each = _CONTAINERS[first]
        return position + size, each * _number(message, position, size)
    raise ProtocolError(f"type 0x{first:02x} of msgpack is not part of the protocol")


def _number(message: memoryview, position: int, size: int) -> int:
    if position + size > len(message):
        raise IndexError(position)
    return int.from_bytes(message[position : position + size], "big")
