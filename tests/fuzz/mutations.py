"""Altered copies of bytes and of JSON; each follows from the state of `random` alone."""

from __future__ import annotations

import json
import random as randomness
from collections.abc import Callable
from typing import Any

import yaml

Random = randomness.Random
Alter = Callable[[bytes, Random], bytes]

EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
DEEPEST = 40
"""Nothing further inside is altered."""
OUTSIDE = (
    "../../outside",
    "/etc/passwd",
    "..",
    "a/../../../b",
    "~/x",
    "\\\\host\\share",
    "file:///etc/passwd",
    "x\0y",
)
"""Texts that lead out of a folder where they are taken for a path."""
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**31,
    2**63,
    2**64,
    10**30,
    -(10**18),
    1e308,
    float("nan"),
    float("inf"),
    0.5,
    "",
    "0",
    "-1",
    "many",
    "\ud800",
    "9" * 400,
    "{0.__class__}",
    "{0:999999999d}",
    "%s%n",
    [],
    {},
    [[]],
    [None],
    {"": None},
)


def altered(data: bytes, random: Random) -> bytes:
    """One to five of: bits and bytes changed, lengths set to extremes, pieces lost, doubled, moved.

    Most changes are near the beginning or the end, where files are described.
    """
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 3, 5))):
        at = _place(len(out), random)
        random.choice(_CHANGES)(out, at, random)
        if not out:
            break
    return bytes(out)


def _place(size: int, random: Random) -> int:
    near = min(size, 256)
    starts = (0, size - near, random.randrange(size))
    return min(random.choice(starts) + random.randrange(near), size - 1)


def _flip(out: bytearray, at: int, random: Random) -> None:
    out[at] ^= 1 << random.randrange(8)


def _byte(out: bytearray, at: int, random: Random) -> None:
    out[at] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))


def _run(out: bytearray, at: int, random: Random) -> None:
    size = min(random.randrange(1, 64), len(out) - at)
    out[at : at + size] = random.choice((bytes(size), b"\xff" * size, random.randbytes(size)))


def _length(out: bytearray, at: int, random: Random) -> None:
    """A number of 1 to 8 bytes becomes an extreme, or a little more or less than it was."""
    size = min(random.choice((1, 2, 4, 8)), len(out) - at)
    order: Any = random.choice(("little", "big"))
    before = int.from_bytes(out[at : at + size], order)
    number = random.choice((*EXTREMES, before + 1, before - 1, before * 2, len(out)))
    out[at : at + size] = (number % 256**size).to_bytes(size, order)


def _remove(out: bytearray, at: int, random: Random) -> None:
    del out[at : at + random.randrange(1, 40)]


def _double(out: bytearray, at: int, random: Random) -> None:
    out[at:at] = out[at : at + random.randrange(1, 200)]


def _insert(out: bytearray, at: int, random: Random) -> None:
    out[at:at] = random.randbytes(random.randrange(1, 16))


def _splice(out: bytearray, at: int, random: Random) -> None:
    start = random.randrange(len(out))
    piece = out[start : start + random.randrange(1, 400)]
    out[at : at + len(piece)] = piece


def _cut(out: bytearray, at: int, random: Random) -> None:
    if random.random() < 0.4:
        del out[at:]
    else:
        _flip(out, at, random)


_CHANGES = (_flip, _byte, _run, _length, _length, _remove, _double, _insert, _splice, _cut)


def altered_json(data: bytes, random: Random) -> bytes:
    """A JSON text whose content is altered, or (one time in four) its bytes."""
    if random.random() < 0.25:
        return altered(data, random)
    try:
        return json.dumps(altered_tree(json.loads(data), random)).encode()
    except (ValueError, RecursionError):  # altered before
        return altered(data, random) if data else b"{"


def altered_lines(data: bytes, random: Random) -> bytes:
    """JSON lines: one is altered, lost, doubled or cut off."""
    lines = data.splitlines(keepends=True)
    at = random.randrange(len(lines))
    match random.randrange(5):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, random.choice(lines))
        case 2:
            lines[at] = lines[at][: random.randrange(len(lines[at]))]
        case _:
            lines[at] = altered_json(lines[at], random) + b"\n"
    return b"".join(lines)


def altered_yaml(data: bytes, random: Random) -> bytes:
    """A YAML text whose content is altered, or (one time in four) its bytes."""
    if random.random() < 0.25:
        return altered(data, random)
    tree = altered_tree(yaml.safe_load(data), random)
    try:
        return yaml.safe_dump(tree).encode("utf-8", "replace")
    except RecursionError:  # JSON is YAML
        return json.dumps(tree).encode()


def altered_tree(tree: Any, random: Random) -> Any:
    """A copy of plain data with one to three places changed, whatever their type."""
    for _ in range(random.choice((1, 1, 2, 3))):
        places = list(_places(tree, ()))
        place = random.choice(places)
        tree = _changed(tree, place, random)
    return tree


def _places(tree: Any, above: tuple[Any, ...]) -> Any:
    yield above
    if len(above) == DEEPEST:
        return
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if _listed(tree) else ()
    for key, value in inner:
        yield from _places(value, (*above, key))


def _listed(tree: Any) -> bool:
    return isinstance(tree, list | tuple)


def _changed(tree: Any, place: tuple[Any, ...], random: Random) -> Any:
    if not place:
        return _other(tree, random)
    key, *rest = place
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    if rest:
        copy[key] = _changed(copy[key], tuple(rest), random)
        return copy
    match random.randrange(6):
        case 0:
            del copy[key]
        case 1 if isinstance(copy, dict):
            copy[random.choice((*OUTSIDE, "", "x" * 300))] = copy.pop(key)
        case 1:
            copy.insert(key, copy[key])
        case _:
            copy[key] = _other(copy[key], random)
    return copy


def _other(value: Any, random: Random) -> Any:
    """Another value: near to it, odd, leading elsewhere, or nested deeply."""
    near = random.random() < 0.3
    if near and isinstance(value, bool):
        return not value
    if near and isinstance(value, int | float):
        return random.choice((value + 1, value - 1, -value, value * 1000, str(value)))
    if near and isinstance(value, str) and value:
        at = random.randrange(len(value))
        piece = random.choice((*OUTSIDE, "", "{x}", "\n", "é", "\0"))
        return value[:at] + piece + value[at + 1 :]
    if random.random() < 0.2:
        return random.choice(OUTSIDE)
    if random.random() < 0.05:
        return _nested(random.choice((30, 700)))
    return random.choice((*ODD, [value], {"x": value}))


def _nested(depth: int) -> Any:
    tree: Any = 1
    for _ in range(depth):
        tree = [tree]
    return tree
