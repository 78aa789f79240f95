"""Two robots that differ in everything, recorded at random, and a tiny GR00T policy for both.

Arm: 10 Hz, state of 3, actions of 2, one camera of 24 x 20. Hand: 5 Hz, state of 4 (one unused),
actions of 5 (two unused), two cameras of 16 x 16, other names of streams.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.core import Episode, Statistics, Stream, StreamInput, StreamSpec
from robocache.datasets import Mixture, Source, WindowTable, compute_statistics
from robocache.policies.groot_n16.beginning import begin
from robocache.policies.groot_n16.policy import GrootPolicy
from robocache.policies.groot_n16.settings import (
    ActionGroup,
    EmbodimentSettings,
    GrootSettings,
    StateGroup,
)
from robocache.policies.groot_n16.streams import RobotStreams
from robocache.policies.groot_n16.tiny import write_tiny

ARM = EmbodimentSettings(
    video={"front": "camera"},
    state={"joints": StateGroup("state")},
    action={"joints": ActionGroup()},
    horizon=4,
    projector=1,
)
HAND = EmbodimentSettings(
    video={"left": "hand.left", "right": "hand.right"},
    state={"fingers": StateGroup("hand.state", (0, 3))},
    action={
        "fingers": ActionGroup((0, 2), rep="RELATIVE", state="palm"),
        "thumb": ActionGroup((4, 5)),
    },
    horizon=3,
    inputs=(StreamInput("hand.left"), StreamInput("hand.right"), StreamInput("hand.state")),
    action_stream="hand.action",
    rate_hz=5.0,
    projector=2,
)
HAND = replace(HAND, state={**HAND.state, "palm": StateGroup("hand.state", (1, 3))})
INPUTS = (StreamInput("camera"), StreamInput("state"))
TEXTS = ("pick it up", "put it down on the table")

FROZEN: dict[str, Any] = {"tune_top_llm_layers": 0, "augment": False}
"""Nothing of the backbone trains, and pictures are as they are."""


def arm_episode(number: int, steps: int = 9) -> Episode:
    random = np.random.default_rng([1, number])
    return _episode(
        f"arm-{number}",
        10.0,
        {
            "camera": _pictures(random, steps, (24, 20)),
            "state": _walk(random, steps, 3),
            "action": _walk(random, steps, 2) + 5,
        },
    )


def hand_episode(number: int, steps: int = 8) -> Episode:
    random = np.random.default_rng([2, number])
    return _episode(
        f"hand-{number}",
        5.0,
        {
            "hand.left": _pictures(random, steps, (16, 16)),
            "hand.right": _pictures(random, steps, (16, 16)),
            "hand.state": 100 * _walk(random, steps, 4),
            "hand.action": 100 * _walk(random, steps, 5),
        },
    )


def settings(base: Path, **changes: Any) -> GrootSettings:
    """Of a policy for both."""
    given = {"tune_top_llm_layers": 1, "dtype": "float32", "execute_steps": 2, **changes}
    return GrootSettings(str(base), {"arm": ARM, "hand": HAND}, **given)


def tables(of: GrootSettings) -> dict[str, WindowTable]:
    """Windows of two datasets of the arm and one of the hand."""
    windows = of.windows(INPUTS, "action", 10.0)
    return {
        "arm": WindowTable([arm_episode(0), arm_episode(1)], windows["arm"]),
        "hand": WindowTable([hand_episode(0), hand_episode(1)], windows["hand"]),
        "more": WindowTable([arm_episode(2, 5)], windows["arm"]),
    }


def mixture(parts: Mapping[str, WindowTable]) -> Mixture:
    """All of them; `more` counts three times as much as either of the others."""
    tags = {"arm": "arm", "hand": "hand", "more": "arm"}
    weights = {"arm": 1.0, "hand": 1.0, "more": 3.0}
    sources = {name: Source(parts[name], weights[name], tags[name]) for name in parts}
    return Mixture(sources, alike=False)


def policy(base: Path, **changes: Any) -> tuple[GrootPolicy, Mixture]:
    """A policy for both robots, and what it is to learn; the base is written if it is not there."""
    if not base.exists():
        write_tiny(base, state_size=16, action_size=16)
    wanted = settings(base, **changes)
    parts = tables(wanted)
    arm, hand = _streams(parts["arm"], arm_episode(0)), _streams(parts["hand"], hand_episode(0))
    made, _ = begin(
        wanted,
        inputs=arm.inputs,
        specs=arm.specs,
        action=arm.action,
        rate_hz=arm.rate_hz,
        statistics=arm.statistics,
        data={"arm": [(parts["arm"], 0.2), (parts["more"], 0.6)], "hand": [(parts["hand"], 0.2)]},
        own={"hand": hand},
    )
    return made, mixture(parts)


def _streams(table: WindowTable, episode: Episode) -> RobotStreams:
    window = table.window
    statistics: Statistics = compute_statistics([episode], [window.action], "data")
    return RobotStreams.of(window.inputs, window.action, window.rate_hz, table.specs, statistics)


def _walk(random: np.random.Generator, steps: int, width: int) -> NDArray[np.float32]:
    return random.normal(size=(steps, width)).cumsum(axis=0).astype(np.float32)


def _pictures(random: np.random.Generator, steps: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    return random.integers(0, 255, (steps, *size, 3), np.uint8)


def _episode(key: str, rate_hz: float, values: Mapping[str, NDArray[Any]]) -> Episode:
    streams = {
        name: Stream(
            array, np.arange(len(array)) / rate_hz, StreamSpec(array.shape[1:], array.dtype.name)
        )
        for name, array in values.items()
    }
    return Episode(key, streams, TEXTS[int(key[-1]) % len(TEXTS)])
