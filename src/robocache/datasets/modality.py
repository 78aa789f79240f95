"""GR00T's `meta/modality.json`: named parts of a LeRobot dataset's vectors, videos and labels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robocache.core.errors import CorruptFileError

# Where a part is taken from when it has no `original_key`; {name} is the name of the part.
DEFAULT_SOURCES = {
    "state": "observation.state",
    "action": "action",
    "video": "observation.images.{name}",
    "annotation": "annotation.{name}",
}


@dataclass(frozen=True)
class Part:
    """One named part.

    Attributes:
        name: name of its stream, e.g. "state.left_arm".
        kind: "state", "action", "video" or "annotation".
        source: feature or column it is taken from.
        start, end: range on the last axis, for states and actions; None: all of it.
    """

    name: str
    kind: str
    source: str
    start: int | None = None
    end: int | None = None


def read_modality(path: Path) -> list[Part]:
    """The parts that `path` names; none when there is no such file.

    Raises:
        CorruptFileError: not JSON, or a part without a valid range.
    """
    if not path.is_file():
        return []
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise CorruptFileError(f"not a JSON file ({error})", file=path) from error
    try:
        return [
            _part(kind, name, entry or {})
            for kind in DEFAULT_SOURCES
            for name, entry in data.get(kind, {}).items()
        ]
    except (AttributeError, TypeError, KeyError, ValueError, OverflowError) as error:
        raise CorruptFileError(f"unexpected content ({error})", file=path) from error


def _part(kind: str, name: str, entry: Mapping[str, Any]) -> Part:
    source = entry.get("original_key") or DEFAULT_SOURCES[kind].format(name=name)
    if not isinstance(source, str):
        raise TypeError(f"{kind}.{name} is taken from {source!r}")
    if kind not in ("state", "action"):
        return Part(f"{kind}.{name}", kind, source)
    start, end = int(entry["start"]), int(entry["end"])
    if not 0 <= start < end:
        raise ValueError(f"{kind}.{name} has the range {start}..{end}")
    return Part(f"{kind}.{name}", kind, source, start, end)
