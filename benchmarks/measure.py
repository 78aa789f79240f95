"""What every measurement here has in common: interleaved rounds, medians, and where it ran.

A result keeps the raw seconds of every round, so that `robocache bench compare` can judge two.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import robocache
from robocache.runs.machine import (
    git_state,
    memory_bytes,
    package_versions,
    processor,
    thread_variables,
)
from robocache.runs.plain import plain, utc_now

NO_SETTINGS = ("rounds", "out")


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


def publish(
    args: argparse.Namespace,
    figures: Mapping[str, Any],
    *,
    seconds: Mapping[str, Sequence[float]],
    peers: Mapping[str, str],
) -> None:
    """Print a result with the machine it was measured on; also write it to `args.out`.

    Args:
        args: what the script was asked for; all but rounds and output are the settings, in which
            two results must agree to be compared.
        figures: what was measured, for people.
        seconds: side -> seconds of each round.
        peers: side -> the side it is held against, round by round.
    """
    settings = {key: value for key, value in vars(args).items() if key not in NO_SETTINGS}
    whole = {
        "benchmark": Path(sys.argv[0]).stem,
        "measured": utc_now(),
        "settings": plain(settings),
        "rounds": args.rounds,
        **figures,
        "medians_s": {side: round(statistics.median(s), 6) for side, s in seconds.items()},
        "seconds": seconds,
        "peers": peers,
        "code": code(),
        "machine": {
            "cpu": processor(),
            "memory_bytes": memory_bytes(),
            "load_average": [round(value, 2) for value in os.getloadavg()],
            "threads": thread_variables(),
        },
        "python": sys.version.split()[0],
        "versions": versions(),
    }
    print(json.dumps(whole, indent=2))
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(whole, indent=2) + "\n")


def code() -> dict[str, Any]:
    """Commit of the package that was measured, and the sha256 of changes that are not in it."""
    state = git_state(Path(robocache.__file__).parent) or {}
    return {"commit": state.get("commit"), "changes_sha256": state.get("diff_sha256")}


def versions() -> dict[str, str]:
    """Versions of the packages that this one asks for."""
    asked = {re.split(r"[^\w.-]", text)[0].lower() for text in requires("robocache") or ()}
    return {name: of for name, of in package_versions().items() if name.lower() in asked}
