"""Configurations and figures as plain JSON values: made, hashed and compared."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

from robocache.core.errors import ConfigError

_ABSENT = object()
_NON_FINITE = ("nan", "inf", "-inf")


def plain(value: Any, where: str = "") -> Any:
    """`value` made of dict, list, str, int, float, bool and None only.

    Dataclasses become dicts, tuples lists, paths and enumerations their text; 0-d arrays of any
    library become numbers. Numbers that JSON has no word for become "nan", "inf" and "-inf".

    Args:
        where: key path of `value`, for the message.

    Raises:
        ConfigError: something else is in it; the message names the key.
    """
    if isinstance(value, Enum):
        return plain(value.value, where)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name), _join(where, f.name)) for f in _fields(value)}
    if isinstance(value, Mapping):
        return {_text(key, where): plain(item, _join(where, key)) for key, item in value.items()}
    if getattr(value, "ndim", None) == 0:
        return plain(value.item(), where)
    raise ConfigError(
        f"{where or 'the value'} is a {type(value).__name__}, which JSON cannot hold; "
        f"give a number, text, list or mapping"
    )


def numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    """`row` with "nan", "inf" and "-inf", as `plain` writes them, turned back into floats."""
    return {key: float(value) if value in _NON_FINITE else value for key, value in row.items()}


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def config_hash(config: Mapping[str, Any]) -> str:
    """Hex sha256 of a configuration; the order of its keys does not matter."""
    return hashlib.sha256(canonical_json(config).encode()).hexdigest()


def first_difference(old: Any, new: Any, where: str = "") -> tuple[str, Any, Any] | None:
    """Key path and both values at the first place where two plain values differ, or None.

    A key that only one side has is given as the word "nothing" for the other.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        pairs = [(_join(where, k), old.get(k, _ABSENT), new.get(k, _ABSENT)) for k in keys]
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = [(f"{where}[{i}]", a, b) for i, (a, b) in enumerate(zip(old, new, strict=True))]
    elif type(old) is type(new) and old == new:
        return None
    else:
        return where, _shown(old), _shown(new)
    found = (first_difference(left, right, place) for place, left, right in pairs)
    return next((difference for difference in found if difference), None)


def utc_now() -> str:
    """The time as ISO 8601 text in UTC with microseconds."""
    return iso_utc(datetime.now(UTC))


def iso_utc(moment: datetime) -> str:
    """A moment as this package writes it."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _shown(side: Any) -> Any:
    return "nothing" if side is _ABSENT else side


def _fields(value: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(value)


def _join(where: str, key: object) -> str:
    return f"{where}.{key}" if where else str(key)


def _text(key: object, where: str) -> str:
    if not isinstance(key, str):
        raise ConfigError(f"key {key!r} of {where or 'the mapping'} must be text")
    return key
