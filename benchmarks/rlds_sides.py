"""What the comparisons of `rlds_tfds.py` have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from peer import Peer


class Spent(NamedTuple):
    """What one round of a side took."""

    seconds: float
    cpu_seconds: float
    steps: int


Measure = Callable[[], Spent]
"""Runs one round of a side."""


@dataclass(frozen=True)
class Compared:
    """One dataset on both sides, of which the output was compared.

    Attributes:
        count: steps of a round.
        about: what was found to be equal, and how far the rest is apart.
        here: name of a side of this project -> how it is measured.
        peers: way of TFDS -> how it is measured.
        best: the ways that count as best practice.
        judged: the side of this project that the targets are for.
    """

    count: int
    about: dict[str, Any]
    here: Mapping[str, Measure]
    peers: Mapping[str, Measure]
    best: tuple[str, ...]
    judged: str


def ask_timed(peer: Peer, **values: Any) -> Spent:
    """One round of TFDS."""
    answer = peer.ask("timed", **values)
    return Spent(answer["seconds"], answer["cpu_seconds"], answer["steps"])
