"""Two robots' recordings in two formats and two conventions, and the settings that mix them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from robocache.core import Episode, Outcome, Stream, StreamSpec
from robocache.datasets import write_shard
from robocache.datasets.lerobot import write_lerobot

MIX = (
    "mixture={arm: {dataset: arm, weight: 3, embodiment: left arm}, "
    "hand: {dataset: hand, embodiment: hand, "
    "rename: {observation.state: state, observation.images.front: camera}, transforms: ["
    "{scale: {factor: 0.001, columns: [0, 1]}}, {gripper: {kind: closed}}, "
    "{columns: {stream: state, columns: [1, 0]}}]}}"
)
"""Hand: another name of the state and its columns the other way round; millimetres; 1 = closed."""

SETTINGS = (
    "policy.inputs=[{stream: state}]",
    "policy.action=action",
    "policy.rate_hz=10",
    "policy.network.differences=[]",
    "policy.network.hidden=8",
    "policy.network.blocks=1",
    "policy.network.text_buckets=16",
    "policy.network.text_features=4",
    "policy.network.horizon=2",
    "policy.network.execute_steps=1",
    "trainer.threads=1",
    "trainer.batch_size=8",
    "trainer.steps=12",
    "trainer.checkpoint_every=4",
    "trainer.log_every=1",
)


def numbers(seed: int, steps: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """(T, 2) states and (T, 3) actions, in metres, the last column 1 = open."""
    random = np.random.default_rng(seed)
    action = random.normal(size=(steps, 3))
    action[:, 2] = action[:, 2] > 0
    return random.normal(size=(steps, 2)), action


def arm_episode(seed: int) -> Episode:
    """In the convention that policies are trained in."""
    state, action = numbers(seed)
    return _episode(f"arm-{seed}", {"state": state, "camera": pictures(seed), "action": action})


def hand_episode(seed: int) -> Episode:
    """In its own convention."""
    state, action = numbers(seed)
    action = np.concatenate([action[:, :2] * 1000, 1 - action[:, 2:]], axis=1)
    values = {
        "observation.state": np.float32(state[:, ::-1]),
        "observation.images.front": pictures(seed),
        "action": np.float32(action),
    }
    return _episode(f"hand-{seed}", values)


def pictures(seed: int, steps: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (steps, 16, 16, 3), np.uint8)


def write_arm(folder: Path, seeds: range) -> Path:
    folder.mkdir()
    write_shard(folder / "0.episodes.parquet", [arm_episode(seed) for seed in seeds])
    return folder


def write_hand(folder: Path, seeds: range) -> Path:
    write_lerobot([hand_episode(seed) for seed in seeds], folder, fps=10, cameras="image")
    return folder


def _episode(key: str, values: dict[str, np.ndarray]) -> Episode:
    times = np.arange(12) / 10
    streams = {
        name: Stream(v, times, StreamSpec(v.shape[1:], v.dtype.name, 10.0))
        for name, v in values.items()
    }
    return Episode(key, streams, f"do {key[:3]}", Outcome(steps=12))
