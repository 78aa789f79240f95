"""What the files of a dataset do not say: its control rate, its gripper, its language, its quirks.

The table is `conventions.json`. Rates follow the Open X-Embodiment sheet. A dataset that is not in
it is read with the defaults: no rate is known, and nothing is changed by "standard".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, Literal

from robocache.core.errors import unknown_name
from robocache.datasets.dimensions import Dimension

Mode = Literal["as_stored", "standard"]
MODES: tuple[Mode, ...] = ("as_stored", "standard")


@dataclass(frozen=True)
class Gripper:
    """Where a gripper command or position lies, and what its numbers mean.

    Attributes:
        stream: name of the stream.
        kind: a name in `standard.GRIPPERS`.
        index: column of the stream; None: the whole stream.
    """

    stream: str
    kind: str
    index: int | None = None


@dataclass(frozen=True)
class MotionPart:
    """Columns of an action that become differences of columns of the state."""

    stream: str
    columns: tuple[int, int]
    state_columns: tuple[int, int]


@dataclass(frozen=True)
class Motion:
    """Actions replaced by what the robot then did: `state[t + 1] - state[t]`."""

    state: str
    parts: tuple[MotionPart, ...]


@dataclass(frozen=True)
class Convention:
    """One entry of the table.

    Attributes:
        name: the entry; "" for a dataset that has none.
        rate_hz: control rate; None when it is not known.
        language: features that may hold the instruction, the first that is not empty counts.
        action: what the actions mean, in words.
        grippers: every stream that holds a gripper.
        drop_first: steps at the start that "standard" leaves out.
        drop_last: steps at the end that "standard" leaves out.
        motion: actions that "standard" takes from the states; None: as they are.
        success: where the outcome is told: `flag` and `valid` (names of booleans), or `path` (name
            of a text) with what it contains after `success` and `failure`.
        dimensions: stream -> (name, unit) of each of its numbers.
        cameras: picture stream -> flag of the episode that says whether the camera was there.
        quirks: what a user should know.
    """

    name: str = ""
    rate_hz: float | None = None
    language: tuple[str, ...] = ()
    action: str = ""
    grippers: tuple[Gripper, ...] = ()
    drop_first: int = 0
    drop_last: int = 0
    motion: Motion | None = None
    success: Mapping[str, str] = field(default_factory=dict)
    dimensions: Mapping[str, tuple[Dimension, ...]] = field(default_factory=dict, repr=False)
    cameras: Mapping[str, str] = field(default_factory=dict)
    quirks: tuple[str, ...] = ()


def convention_of(dataset: str) -> Convention:
    """The entry of a dataset by its name or an alias; the default where there is none."""
    table, aliases = _table()
    return table.get(aliases.get(dataset, dataset), table[""])


def convention_named(entry: str) -> Convention:
    """The entry called `entry`.

    Raises:
        ConfigError: there is none.
    """
    table, aliases = _table()
    if not entry or aliases.get(entry, entry) not in table:
        raise unknown_name("RLDS convention", entry, (set(table) | set(aliases)) - {""})
    return table[aliases.get(entry, entry)]


@cache
def _table() -> tuple[dict[str, Convention], dict[str, str]]:
    """Entries by name ("" is the default), and alias -> name."""
    text = resources.files("robocache.datasets.rlds").joinpath("conventions.json").read_text()
    stored = json.loads(text)
    default = stored["default"]
    table = {"": _entry("", default)}
    aliases: dict[str, str] = {}
    for name, described in stored["datasets"].items():
        table[name] = _entry(name, {**default, **described})
        aliases |= dict.fromkeys(described.get("aliases", ()), name)
    return table, aliases


def _entry(name: str, described: Mapping[str, Any]) -> Convention:
    kept = {key: value for key, value in described.items() if key != "aliases"}
    motion = kept.pop("motion", None)
    dimensions = kept.pop("dimensions", {})
    return Convention(
        name=name,
        language=tuple(kept.pop("language")),
        grippers=tuple(Gripper(**gripper) for gripper in kept.pop("grippers", ())),
        quirks=tuple(kept.pop("quirks", ())),
        dimensions={k: tuple(Dimension(*pair) for pair in dimensions[k]) for k in dimensions},
        motion=None
        if motion is None
        else Motion(motion["state"], tuple(_part(part) for part in motion["parts"])),
        **kept,
    )


def _part(part: Mapping[str, Any]) -> MotionPart:
    return MotionPart(part["stream"], tuple(part["columns"]), tuple(part["state_columns"]))
