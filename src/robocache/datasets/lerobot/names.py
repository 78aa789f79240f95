"""Names of the numbers of a vector: from info.json, or from the parts that modality.json names."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from robocache.datasets.dimensions import Dimension
from robocache.datasets.lerobot.info import Info
from robocache.datasets.modality import Part


def vector_dimensions(info: Info, parts: Sequence[Part], stream: str) -> tuple[Dimension, ...]:
    """Of a feature or of a part of one; () where nothing names them.

    Names that only number, such as motor_0, motor_1, say less than the parts and come after them.
    """
    for part in parts:
        if part.name == stream and part.start is not None and part.end is not None:
            names = _declared(info, part.source)[part.start : part.end]
            size = part.end - part.start
            if len(names) != size or _only_number(names):
                names = _numbered(part, size)
            return tuple(Dimension(name) for name in names)
    names = _declared(info, stream)
    if not names or _only_number(names):
        names = _by_parts(info, parts, stream) or names
    return tuple(Dimension(name) for name in names)


def _declared(info: Info, feature: str) -> list[str]:
    """`names` of a feature: a list, a list in a list, or an object that holds a list or places."""
    if feature not in info.features:
        return []
    names: Any = info.raw["features"][feature].get("names")
    if isinstance(names, Mapping):
        lists = [value for value in names.values() if isinstance(value, list)]
        names = lists[0] if len(lists) == len(names) == 1 else list(names)
    if isinstance(names, list) and len(names) == 1 and isinstance(names[0], list):
        names = names[0]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return []
    return names if len(names) == math.prod(info.features[feature].shape) else []


def _only_number(names: Sequence[str]) -> bool:
    stems = {re.sub(r"\d+$", "", name) for name in names}
    return len(stems) == 1 and all(re.search(r"\d$", name) for name in names)


def _by_parts(info: Info, parts: Sequence[Part], feature: str) -> list[str]:
    """Names by the parts of a feature; numbers where no part is; [] where there are no parts."""
    if feature not in info.features:
        return []
    size = math.prod(info.features[feature].shape)
    names = [str(number) for number in range(size)]
    taken = [p for p in parts if p.source == feature and p.start is not None and p.end is not None]
    for part in taken:
        assert part.start is not None and part.end is not None
        names[part.start : part.end] = _numbered(part, part.end - part.start)
    return names if taken and len(names) == size else []


def _numbered(part: Part, size: int) -> list[str]:
    name = part.name.removeprefix(f"{part.kind}.")
    return [f"{name}[{number}]" for number in range(size)]
