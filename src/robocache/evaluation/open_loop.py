"""Open loop: predicted against recorded actions, in the units of the robot.

Letters: W windows, H horizon, A action dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import ConfigError, DataError
from robocache.core.policy import Policy
from robocache.core.seeding import derive_seed
from robocache.datasets import WindowTable


@dataclass(frozen=True)
class OpenLoopConfig:
    """What is compared.

    Attributes:
        dataset: path or name.
        episodes: keys; empty: all.
        samples: chunks drawn per window and averaged.
        stride: every how many windows one is judged.
        seed: root seed of the draws.
    """

    dataset: str
    episodes: tuple[str, ...] = ()
    samples: int = 16
    stride: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.samples < 1 or self.stride < 1:
            raise ConfigError("samples and stride must be at least 1")


@dataclass(frozen=True, eq=False)
class OpenLoopResult:
    """Mean absolute errors, (H, A), in the action's units.

    Attributes:
        policy: of the mean of the policy's samples.
        hold: of repeating the last action given before now.
        mean: of the mean action of the training data.
        windows: how many windows were judged at each horizon step, (H,).
    """

    policy: NDArray[np.float64]
    hold: NDArray[np.float64]
    mean: NDArray[np.float64]
    windows: NDArray[np.int64]

    def per_step(self) -> dict[str, NDArray[np.float64]]:
        """(H,) errors averaged over dimensions, by predictor."""
        return {name: getattr(self, name).mean(axis=1) for name in ("policy", "hold", "mean")}

    def overall(self) -> dict[str, float]:
        """Errors averaged over dimensions and judged actions, by predictor."""
        weights = self.windows / self.windows.sum()
        return {name: float(curve @ weights) for name, curve in self.per_step().items()}

    def to_json(self) -> dict[str, Any]:
        return {
            "overall": self.overall(),
            "windows": self.windows.tolist(),
            **{name: getattr(self, name).tolist() for name in ("policy", "hold", "mean")},
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> OpenLoopResult:
        errors = {name: np.array(data[name], np.float64) for name in ("policy", "hold", "mean")}
        return OpenLoopResult(**errors, windows=np.array(data["windows"], np.int64))


def evaluate_open_loop(
    policy: Policy,
    table: WindowTable,
    mean_action: NDArray[np.float64],
    config: OpenLoopConfig,
) -> OpenLoopResult:
    """Ask the policy at recorded moments and compare with what was done.

    The first window of each episode is left out, because nothing was done before it that could be
    held.

    Args:
        policy: who predicts.
        table: windows of the recorded episodes, with the policy's inputs and horizon.
        mean_action: (A,) mean action of the data the policy was trained on.
        config: how many samples, which windows.

    Raises:
        DataError: there is no window to judge.
    """
    rows = np.flatnonzero(np.diff(table.episode_of, prepend=-1) == 0)[:: config.stride]
    if not len(rows):
        raise DataError("every episode has only one action: there is none to be held before it")
    size = len(mean_action)
    sums = np.zeros((3, table.window.horizon, size))
    counts = np.zeros(table.window.horizon, np.int64)
    for part in np.array_split(rows, max(1, len(rows) // 64)):
        batch = table.batch(part)
        done = batch.actions.double().numpy().reshape(len(part), -1, size)
        valid = batch.action_valid.numpy()
        held = table.batch(part - 1).actions.double().numpy().reshape(len(part), -1, size)[:, :1]
        predicted = _mean_of_samples(policy, table, part, config)
        for number, guess in enumerate((predicted, held, mean_action[None, None])):
            sums[number] += (np.abs(done - guess) * valid[..., None]).sum(axis=0)
        counts += valid.sum(axis=0)
    errors = sums / np.maximum(counts, 1)[:, None]
    return OpenLoopResult(errors[0], errors[1], errors[2], counts)


def _mean_of_samples(
    policy: Policy, table: WindowTable, rows: NDArray[np.int64], config: OpenLoopConfig
) -> NDArray[np.float64]:
    observations = [table.observation(int(row)) for row in rows]
    asked = [view for view in observations for _ in range(config.samples)]
    seeds = [
        derive_seed(config.seed, "open-loop", int(row), sample)
        for row in rows
        for sample in range(config.samples)
    ]
    actions = np.stack([chunk.actions for chunk in policy.act(asked, seeds)])
    grouped = actions.reshape(len(observations), config.samples, *actions.shape[1:])
    mean: NDArray[np.float64] = grouped.mean(axis=1, dtype=np.float64)
    return mean
