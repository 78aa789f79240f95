"""Open loop: predicted against recorded actions, in the units of the robot.

Letters: W windows, H horizon, A action dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import ConfigError, DataError
from robocache.core.policy import Policy
from robocache.core.seeding import derive_seed
from robocache.datasets import WindowTable
from robocache.datasets.reader import OnError


@dataclass(frozen=True)
class OpenLoopConfig:
    """What is compared.

    Attributes:
        dataset: path or name.
        dataset_options: given to its reader, e.g. {split: val}.
        episodes: keys; empty: all.
        samples: chunks drawn per window and averaged.
        stride: every how many windows one is judged.
        seed: root seed of the draws.
        allow_training_episodes: also judge on what the policy was trained on.
        on_error: `raise` at an episode that cannot be read, or `skip` such episodes.
        seen_as: name of the dataset of the mixture that the policy was trained on, as which these
            recordings are opened, renamed and transformed; sets the three below.
        rename: old -> new name of streams.
        transforms: what is done to each episode in turn, after `rename`: name -> arguments.
        embodiment: as which robot a policy that tells robots apart acts; empty: its first.
    """

    dataset: str
    episodes: tuple[str, ...] = ()
    samples: int = 16
    stride: int = 1
    seed: int = 0
    dataset_options: Mapping[str, Any] = field(default_factory=dict)
    allow_training_episodes: bool = False
    on_error: OnError = "raise"
    seen_as: str = ""
    rename: Mapping[str, str] = field(default_factory=dict)
    transforms: tuple[Mapping[str, Any], ...] = ()
    embodiment: str = ""

    def __post_init__(self) -> None:
        if self.samples < 1 or self.stride < 1:
            raise ConfigError("samples and stride must be at least 1")


PREDICTORS = ("policy", "hold", "mean")
Measure = Literal["absolute", "square"]


@dataclass(frozen=True, eq=False)
class OpenLoopResult:
    """Mean errors of three predictors, in the action's units (or their square).

    The predictors are `policy`, the mean of the policy's samples; `hold`, the last action given
    before now, repeated; `mean`, the mean action of the training data. Where an action jumps now
    and then, as a gripper command does, a mean of samples is the best guess by squared error and
    holding still is hard to beat by absolute error, so both are kept.

    Attributes:
        absolute: predictor -> (H, A) mean absolute errors.
        square: predictor -> (H, A) mean squared errors.
        windows: (H,) how many windows were judged at each horizon step.
    """

    absolute: Mapping[str, NDArray[np.float64]]
    square: Mapping[str, NDArray[np.float64]]
    windows: NDArray[np.int64]

    def per_step(self, measure: Measure = "absolute") -> dict[str, NDArray[np.float64]]:
        """Predictor -> (H,) errors over dimensions: their mean, or root mean square."""
        if measure == "absolute":
            return {name: self.absolute[name].mean(axis=1) for name in PREDICTORS}
        return {name: np.sqrt(self.square[name].mean(axis=1)) for name in PREDICTORS}

    def overall(self, measure: Measure = "absolute") -> dict[str, float]:
        """Predictor -> error over dimensions and judged actions."""
        weights = self.windows / self.windows.sum()
        if measure == "absolute":
            return {name: float(curve @ weights) for name, curve in self.per_step().items()}
        means = {name: float(self.square[name].mean(axis=1) @ weights) for name in PREDICTORS}
        return {name: value**0.5 for name, value in means.items()}

    def to_json(self) -> dict[str, Any]:
        return {
            "overall": {"absolute": self.overall(), "rms": self.overall("square")},
            "windows": self.windows.tolist(),
            "absolute": {name: self.absolute[name].tolist() for name in PREDICTORS},
            "square": {name: self.square[name].tolist() for name in PREDICTORS},
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> OpenLoopResult:
        absolute, square = (
            {name: np.array(data[measure][name], np.float64) for name in PREDICTORS}
            for measure in ("absolute", "square")
        )
        return OpenLoopResult(absolute, square, np.array(data["windows"], np.int64))


def evaluate_open_loop(
    policy: Policy,
    table: WindowTable,
    mean_action: NDArray[np.float64],
    config: OpenLoopConfig,
    progress: Callable[[int, int, str], None] | None = None,
) -> OpenLoopResult:
    """Ask the policy at recorded moments and compare with what was done.

    The first window of each episode is left out, because nothing was done before it that could be
    held.

    Args:
        policy: who predicts.
        table: windows of the recorded episodes, with the policy's inputs and horizon.
        mean_action: (A,) mean action of the data the policy was trained on.
        config: how many samples, which windows.
        progress: told the number of windows judged, of how many, and figures in words.

    Raises:
        DataError: there is no window to judge.
    """
    rows = np.flatnonzero(np.diff(table.episode_of, prepend=-1) == 0)[:: config.stride]
    if not len(rows):
        raise DataError("every episode has only one action: there is none to be held before it")
    size = len(mean_action)
    sums = np.zeros((2, 3, table.window.horizon, size))
    counts = np.zeros(table.window.horizon, np.int64)
    judged = 0
    for part in np.array_split(rows, max(1, len(rows) // 64)):
        batch = table.batch(part)
        done = batch.actions.double().numpy().reshape(len(part), -1, size)
        valid = batch.action_valid.numpy()
        held = table.batch(part - 1).actions.double().numpy().reshape(len(part), -1, size)[:, :1]
        predicted = _mean_of_samples(policy, table, part, config)
        for number, guess in enumerate((predicted, held, mean_action[None, None])):
            error = np.abs(done - guess) * valid[..., None]
            sums[0, number] += error.sum(axis=0)
            sums[1, number] += (error**2).sum(axis=0)
        counts += valid.sum(axis=0)
        judged += len(part)
        if progress is not None:
            error_so_far = sums[0, 0].sum() / max(1, counts.sum() * size)
            progress(judged, len(rows), f"mean error {error_so_far:.4g}")
    absolute, square = sums / np.maximum(counts, 1)[:, None]
    return OpenLoopResult(
        dict(zip(PREDICTORS, absolute, strict=True)),
        dict(zip(PREDICTORS, square, strict=True)),
        counts,
    )


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
