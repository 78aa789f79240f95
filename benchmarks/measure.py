"""What every measurement here has in common: interleaved rounds, medians, and where it ran."""

from __future__ import annotations

import argparse
import json
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from robocache.runs.machine import memory_bytes, package_versions, processor, thread_variables


def arguments(doc: str, *, rounds: int) -> argparse.ArgumentParser:
    """A parser with the options that every script has."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--out", type=Path, help="also write the JSON to this file")
    return parser


def interleave(sides: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each side in each round.

    Sides take turns in one process, in the opposite order every other round, so that a change of
    the machine's speed hits all of them. A round before the first warms up and is not counted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name in sides if number % 2 else reversed(sides):
            spent = sides[name]()
            if number:
                seconds[name].append(spent)
    return seconds


def rates(seconds: Mapping[str, Sequence[float]], count: int) -> dict[str, float]:
    """Median rate of each side, when a round has `count` of something."""
    return {name: round(count / statistics.median(values), 2) for name, values in seconds.items()}


def ratio(faster: Sequence[float], slower: Sequence[float]) -> dict[str, Any]:
    """Seconds of one side over those of the other, round by round: median and range."""
    values = [one / two for one, two in zip(faster, slower, strict=True)]
    return {
        "median": round(statistics.median(values), 4),
        "range": [round(min(values), 4), round(max(values), 4)],
    }


def publish(result: Mapping[str, Any], out: Path | None) -> None:
    """Print a result with the machine it was measured on; also write it to `out`."""
    whole = {
        **result,
        "machine": {
            "cpu": processor(),
            "memory_bytes": memory_bytes(),
            "load_average": [round(value, 2) for value in os.getloadavg()],
            "threads": thread_variables(),
        },
        "versions": package_versions(),
    }
    text = json.dumps(whole, indent=2)
    print(text)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n")
