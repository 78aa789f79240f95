"""features.json: what the records of a dataset hold.

Names are paths joined by "/". They are followed from the top of the description downwards, because
a single name may hold a "/" itself.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from robocache.core.errors import ConfigError, CorruptFileError

Encoding = Literal["none", "bytes", "zlib"]
LeafKind = Literal["tensor", "image", "text"]
STEPS = "steps"
LARGEST_SHAPE = 2**40  # values of one step
DEEPEST = 32  # levels of nesting that are followed
DEFAULT_SHAPE: Mapping[str, tuple[int, ...]] = {"image": (-1, -1, 3), "text": ()}
ENCODINGS: Mapping[str, Encoding] = {"none": "none", "bytes": "bytes", "zlib": "zlib"}


@dataclass(frozen=True)
class Leaf:
    """One value of every step, or of the episode.

    Attributes:
        key: its key in the record, e.g. "steps/observation/image".
        name: the key without "steps/".
        path: the parts of the name; one part may hold a "/" itself.
        kind: tensor, image or text.
        shape: shape of one value; -1 where it is not known.
        dtype: numpy dtype name; "string" for text and bytes, "bfloat16" as declared.
        encoding: how a tensor is stored.
        levels: sequences it lies in, the steps among them.
    """

    key: str
    name: str
    path: tuple[str, ...]
    kind: LeafKind
    shape: tuple[int, ...]
    dtype: str
    encoding: Encoding
    levels: int

    @property
    def known_shape(self) -> bool:
        return -1 not in self.shape


@dataclass(frozen=True)
class Features:
    """What an episode holds.

    Attributes:
        steps: name -> Leaf of what every step has.
        episode: name -> Leaf of what the episode has once.
        unread: name -> why it is not read.
    """

    steps: Mapping[str, Leaf]
    episode: Mapping[str, Leaf]
    unread: Mapping[str, str] = field(default_factory=dict)


def read_features(path: Path) -> Features:
    """The description in a features.json.

    Raises:
        CorruptFileError: unreadable, or not such a description.
        ConfigError: it has no `steps`, so it is not RLDS.
    """
    try:
        root = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CorruptFileError(f"not readable as JSON ({error})", file=path) from error
    unread: dict[str, str] = {}
    steps: dict[str, Leaf] = {}
    episode: dict[str, Leaf] = {}
    try:
        for inside, leaf in _leaves(root, (), 0, unread):
            (steps if inside else episode)[leaf.name] = leaf
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CorruptFileError(f"not a TFDS feature description ({error!r})", file=path) from error
    if not steps:
        raise ConfigError(f"{path} has no sequence {STEPS!r}: not an RLDS dataset")
    return Features(steps, episode, unread)


def _leaves(
    node: Mapping[str, Any], path: tuple[str, ...], levels: int, unread: dict[str, str]
) -> Iterator[tuple[bool, Leaf]]:
    """Whether it belongs to the steps, and the leaf, for every leaf below a node."""
    if len(path) > DEEPEST or levels > DEEPEST:
        raise ValueError(f"nested more than {DEEPEST} levels deep")
    if "featuresDict" in node:
        for name, child in (node["featuresDict"].get("features") or {}).items():
            yield from _leaves(child, (*path, name), levels, unread)
    elif "sequence" in node:
        yield from _leaves(node["sequence"]["feature"], path, levels + 1, unread)
    else:
        inside = path[:1] == (STEPS,) and levels > 0
        place = path[1:] if inside else path
        try:
            yield inside, _leaf(node, "/".join(path), place, levels)
        except NotImplementedError as error:
            unread["/".join(place)] = str(error)


def _leaf(node: Mapping[str, Any], key: str, path: tuple[str, ...], levels: int) -> Leaf:
    kinds = ("tensor", "image", "text", "scalar", "classLabel")
    kind = next((kind for kind in kinds if kind in node), None)
    if kind is None:
        python_class = str(node.get("pythonClassName", "")).rsplit(".", 1)[-1]
        raise NotImplementedError(f"features of class {python_class or 'unknown'} are not read")
    described = node[kind] or {}
    name = "/".join(path)
    shape = _shape(described.get("shape"), DEFAULT_SHAPE.get(kind, ()))
    if kind == "text":
        return Leaf(key, name, path, "text", (), "string", "none", levels)
    default = {"image": "uint8", "classLabel": "int64"}.get(kind, "float32")
    dtype = _dtype(str(described.get("dtype") or default))
    if kind == "image":
        if len(shape) != 3:
            raise NotImplementedError(f"pictures of shape {shape} are not read")
        return Leaf(key, name, path, "image", shape, dtype, "none", levels)
    encoding = ENCODINGS.get(str(described.get("encoding") or "none").lower())
    if encoding is None or (dtype == "string" and encoding != "none"):
        raise NotImplementedError(f"{dtype} tensors of encoding {encoding} are not read")
    return Leaf(key, name, path, "tensor", shape, dtype, encoding, levels)


def _shape(described: Mapping[str, Any] | None, default: tuple[int, ...]) -> tuple[int, ...]:
    if described is None:
        return default
    shape = tuple(int(size) for size in described.get("dimensions") or ())
    known = math.prod(size for size in shape if size > 0)
    if any(size < -1 for size in shape) or len(shape) > 16 or known > LARGEST_SHAPE:
        raise ValueError(f"shape {shape}")
    return shape


def _dtype(name: str) -> str:
    """The numpy name of a declared dtype."""
    name = {"object": "string", "str": "string", "bytes": "string"}.get(name, name)
    if name in ("string", "bfloat16"):
        return name
    try:
        dtype = np.dtype(name)
    except TypeError as error:
        raise NotImplementedError(f"values of dtype {name!r} are not read") from error
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise NotImplementedError(f"values of dtype {name!r} are not read")
    return dtype.name
