"""The point environment, but once, in the middle of an episode, it sends a signal.

ROBOCACHE_TROUBLE=<signal number>:<self or parent>:<marker file>; the marker makes it happen once.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
from examples.point_env import PointEnv

from robocache.core import Step

VARIABLE = "ROBOCACHE_TROUBLE"
_episodes = 0


class TroubledEnv(PointEnv):
    """Trouble comes in the fifth episode of a process."""

    def reset(self, seed: int) -> Step:
        global _episodes
        _episodes += 1
        return super().reset(seed)

    def step(self, action: np.ndarray) -> Step:
        if self._tick == 3 and _episodes >= 5:
            cause_trouble()
        return super().step(action)


def trouble(number: signal.Signals, whom: str, marker: Path) -> dict[str, str]:
    """Environment variables that bring it about."""
    return {VARIABLE: f"{int(number)}:{whom}:{marker}"}


def cause_trouble() -> None:
    """Send the signal, unless it was sent before."""
    if VARIABLE not in os.environ:
        return
    number, whom, marker = os.environ[VARIABLE].split(":", 2)
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getpid() if whom == "self" else os.getppid(), int(number))
