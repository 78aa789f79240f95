"""Recordings of a small arm with a camera: what is done follows from state and instruction."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from robocache.core import Episode, Outcome, Provenance, Stream, StreamSpec
from robocache.datasets import write_shard

RATE_HZ = 10.0
WORDS = ("open the hand", "close the hand")


def episode(number: int, steps: int = 20, *, side: int = 32) -> Episode:
    """State and action (4): three joints that move on, and a hand that does what it is told."""
    random = np.random.default_rng(number)
    times = np.arange(steps) / RATE_HZ
    phase, speed = random.uniform(-2, 2, (2, 3))
    joints = np.sin(phase + 0.3 * speed * np.arange(steps + 1)[:, None])
    hand = np.full((steps + 1, 1), 1.0 if number % 2 == 0 else -1.0)
    state = np.concatenate([joints, 0.5 * hand], axis=1).astype(np.float32)
    action = np.concatenate([joints[1:], hand[1:]], axis=1).astype(np.float32)
    pictures = np.full((steps, side, side, 3), 40 * (number % 6), np.uint8)
    pictures[:, : side // 2] += np.arange(steps, dtype=np.uint8)[:, None, None, None]
    after = times + 1 / RATE_HZ

    def stream(values: np.ndarray, available: np.ndarray | None = None) -> Stream:
        spec = StreamSpec(values.shape[1:], str(values.dtype), RATE_HZ)
        return Stream(values, times, spec, available_s=available)

    return Episode(
        key=f"arm-{number}",
        streams={
            "state": stream(state[:-1]),
            "camera": stream(pictures),
            "action": stream(action, after),
        },
        instruction=WORDS[number % 2],
        outcome=Outcome(success=True, steps=steps),
        provenance=Provenance(dataset="arm", source=f"arm-{number}"),
    )


def write(folder: Path, count: int = 6, steps: int = 20) -> Path:
    """A dataset of them."""
    write_shard(folder / "a.episodes.parquet", [episode(n, steps) for n in range(count)])
    return folder
