"""Errors along whole trajectories, chunk after chunk, as GR00T's public script counts them.

A policy is asked every so many steps, once, and its chunks are put together. MSE and MAE are means
over steps and action dimensions of one trajectory, in whatever units each dimension has, and then
over trajectories. Letters: Q queries, C steps of a chunk, N steps, A action dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import ConfigError
from robocache.core.policy import Policy
from robocache.core.seeding import derive_seed
from robocache.datasets import WindowTable
from robocache.evaluation.open_loop_config import OpenLoopConfig

DEFAULT_CHUNK = 16
AT_ONCE = 64
"""Observations that are held in memory together."""


@dataclass(frozen=True, eq=False)
class Trajectory:
    """What was done and predicted in one episode.

    Attributes:
        episode: its key.
        times_s: (N,) when each action was due.
        recorded, predicted: (N, A) float32.
        starts: (Q,) steps at which a chunk begins.
    """

    episode: str
    times_s: NDArray[np.float64]
    recorded: NDArray[np.float32]
    predicted: NDArray[np.float32]
    starts: NDArray[np.int64]

    def errors(self) -> NDArray[np.float64]:
        """(N, A) predicted minus recorded."""
        return self.predicted.astype(np.float64) - self.recorded

    def to_json(self) -> dict[str, Any]:
        return {
            "episode": self.episode,
            "times_s": self.times_s.tolist(),
            "starts": self.starts.tolist(),
            "recorded": _short(self.recorded),
            "predicted": _short(self.predicted),
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Trajectory:
        return Trajectory(
            data["episode"],
            np.array(data["times_s"], np.float64),
            np.array(data["recorded"], np.float32),
            np.array(data["predicted"], np.float32),
            np.array(data["starts"], np.int64),
        )


@dataclass(frozen=True)
class EpisodeErrors:
    """Of one trajectory: steps that were compared, and means over steps and dimensions."""

    episode: str
    steps: int
    mse: float
    mae: float


@dataclass(frozen=True, eq=False)
class TrajectoryErrors:
    """Errors of all trajectories.

    Attributes:
        chunk: steps from one query to the next.
        steps: most steps of a trajectory; 0: all.
        counted: (A,) bool, dimensions that MSE and MAE are means over.
        absolute, square: (A,) mean over steps and then trajectories, also of the other dimensions.
        episodes: of each trajectory.
    """

    chunk: int
    steps: int
    counted: NDArray[np.bool_]
    absolute: NDArray[np.float64]
    square: NDArray[np.float64]
    episodes: tuple[EpisodeErrors, ...]

    @property
    def mse(self) -> float:
        """Mean over trajectories."""
        return float(np.mean([one.mse for one in self.episodes]))

    @property
    def mae(self) -> float:
        """Mean over trajectories."""
        return float(np.mean([one.mae for one in self.episodes]))

    def to_json(self) -> dict[str, Any]:
        return {
            "mse": self.mse,
            "mae": self.mae,
            "chunk": self.chunk,
            "steps": self.steps,
            "counted": self.counted.tolist(),
            "absolute": self.absolute.tolist(),
            "square": self.square.tolist(),
            "episodes": [vars(one) for one in self.episodes],
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> TrajectoryErrors:
        return TrajectoryErrors(
            data["chunk"],
            data["steps"],
            np.array(data["counted"], bool),
            np.array(data["absolute"], np.float64),
            np.array(data["square"], np.float64),
            tuple(EpisodeErrors(**one) for one in data["episodes"]),
        )


def chunk_steps(config: OpenLoopConfig, horizon: int) -> int:
    """Steps from one query to the next.

    Raises:
        ConfigError: more than the policy predicts.
    """
    chunk = min(DEFAULT_CHUNK, horizon) if config.chunk is None else config.chunk
    if chunk > horizon:
        raise ConfigError(f"chunk={chunk}: the policy predicts {horizon} actions at a time")
    return chunk


def evaluate_trajectories(
    policy: Policy,
    table: WindowTable,
    config: OpenLoopConfig,
    counted: NDArray[np.bool_] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> tuple[TrajectoryErrors, list[Trajectory]]:
    """Ask the policy along each episode and compare with what was done.

    Args:
        policy: who predicts.
        table: windows of the recorded episodes, with the policy's inputs and horizon.
        config: `chunk`, `steps`, `seed`, and how many trajectories are given back (`plots`).
        counted: (A,) dimensions of which MSE and MAE are taken; None: all.
        progress: told the number of trajectories, of how many, and figures in words.

    Returns:
        The errors, and the first `config.plots` trajectories.

    Raises:
        ConfigError: the policy predicts fewer actions than `config.chunk`.
    """
    chunk = chunk_steps(config, table.window.horizon)
    absolute, square, episodes = [], [], []
    kept: list[Trajectory] = []
    for number in range(len(table.keys)):
        found = _trajectory(policy, table, number, chunk, config)
        absolute.append(np.abs(found.errors()).mean(axis=0))
        square.append((found.errors() ** 2).mean(axis=0))
        counted = np.ones(len(absolute[0]), bool) if counted is None else counted
        mse, mae = (float(one[counted].mean()) for one in (square[-1], absolute[-1]))
        episodes.append(EpisodeErrors(found.episode, len(found.times_s), mse, mae))
        kept += [found] if number < config.plots else []
        if progress is not None:
            progress(number + 1, len(table.keys), f"MSE {mse:.4g}")
    assert counted is not None
    errors = TrajectoryErrors(
        chunk,
        config.steps,
        counted,
        np.mean(absolute, axis=0),
        np.mean(square, axis=0),
        tuple(episodes),
    )
    return errors, kept


def _trajectory(
    policy: Policy, table: WindowTable, number: int, chunk: int, config: OpenLoopConfig
) -> Trajectory:
    rows, key = np.flatnonzero(table.episode_of == number), table.keys[number]
    rows = rows[_queries(table.now_s[rows], chunk / table.window.rate_hz)]
    if config.steps:
        rows = rows[: -(-config.steps // chunk)]
    recorded_QCA, valid_QC = (part.numpy()[:, :chunk] for part in table.actions(rows))
    recorded_QCA = recorded_QCA.reshape(len(rows), chunk, -1)
    step_QC = np.arange(valid_QC.size).reshape(valid_QC.shape)
    if config.steps:
        valid_QC = valid_QC & (step_QC < config.steps)
    predicted_QCA = np.concatenate(
        [_ask(policy, table, part, chunk, key, config) for part in _parts(rows)]
    )
    due_s = table.now_s[rows][:, None] + table.window.action_offsets_s()[:chunk]
    before = np.cumsum(valid_QC.sum(axis=1)) - valid_QC.sum(axis=1)
    starts = before[valid_QC.any(axis=1)]
    return Trajectory(key, due_s[valid_QC], recorded_QCA[valid_QC], predicted_QCA[valid_QC], starts)


def _queries(times_s: NDArray[np.float64], chunk_s: float) -> list[int]:
    """At which of the times of an episode's actions the policy is asked."""
    half_s = float(np.median(np.diff(times_s))) / 2 if len(times_s) > 1 else 0.0
    places = [0]
    while True:
        due_s = times_s[places[-1]] + chunk_s - half_s
        place = max(int(np.searchsorted(times_s, due_s)), places[-1] + 1)
        if place >= len(times_s):
            return places
        places.append(place)


def _parts(rows: NDArray[np.int64]) -> list[tuple[int, NDArray[np.int64]]]:
    """Number of the first query, and rows."""
    return [(first, rows[first : first + AT_ONCE]) for first in range(0, len(rows), AT_ONCE)]


def _ask(
    policy: Policy,
    table: WindowTable,
    part: tuple[int, NDArray[np.int64]],
    chunk: int,
    key: str,
    config: OpenLoopConfig,
) -> NDArray[np.float32]:
    """(Q, C, A) float32 actions, one sample a query."""
    first, rows = part
    seeds = [
        derive_seed(config.seed, f"open-loop trajectory {key}", step=first + number)
        for number in range(len(rows))
    ]
    chunks = policy.act([table.observation(int(row)) for row in rows], seeds)
    shortest = min(len(one.actions) for one in chunks)
    if shortest < chunk:
        raise ConfigError(f"chunk={chunk}: the policy predicts {shortest} actions at a time")
    return np.stack([one.actions[:chunk] for one in chunks]).astype(np.float32)


def _short(values: NDArray[np.float32]) -> list[list[float]]:
    """With no more digits than tell a float32 from its neighbours."""
    return [[float(str(value)) for value in row] for row in values]
