"""What `robocache doctor` says of one thing."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Finding(NamedTuple):
    """One thing looked at.

    Attributes:
        topic: what it belongs to, e.g. "disk".
        advice: the command, or else the words, that mend it.
    """

    level: Literal["ok", "note", "problem"]
    topic: str
    text: str
    advice: str = ""
