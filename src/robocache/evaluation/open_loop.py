"""Open loop: predicted against recorded actions, in the units of the robot.

Letters: W windows, H horizon, A action dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from robocache.core.errors import DataError
from robocache.core.policy import Policy
from robocache.core.seeding import derive_seed
from robocache.datasets import WindowTable
from robocache.datasets.dimensions import Dimension
from robocache.evaluation.open_loop_config import OpenLoopConfig
from robocache.evaluation.trajectories import TrajectoryErrors

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
        dimensions: A names and units; empty: not known.
        trajectories: errors along whole trajectories; None: not measured.
    """

    absolute: Mapping[str, NDArray[np.float64]]
    square: Mapping[str, NDArray[np.float64]]
    windows: NDArray[np.int64]
    dimensions: tuple[Dimension, ...] = ()
    trajectories: TrajectoryErrors | None = None

    def named(self) -> tuple[Dimension, ...]:
        """A dimensions, numbered where names are not known."""
        size = self.absolute["policy"].shape[1]
        return self.dimensions or tuple(Dimension(str(number)) for number in range(size))

    @property
    def unit(self) -> str:
        """Of all dimensions; "" where it is not one, or not known."""
        units = {one.unit for one in self.named()}
        return units.pop() if len(units) == 1 else ""

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

    def first_step(self, measure: Measure = "absolute") -> dict[str, float]:
        """Predictor -> error over dimensions of the first action of a chunk."""
        return {name: float(curve[0]) for name, curve in self.per_step(measure).items()}

    def per_dimension(self, measure: Measure = "absolute") -> dict[str, NDArray[np.float64]]:
        """Predictor -> (A,) errors over judged actions: their mean, or root mean square."""
        weights = self.windows / self.windows.sum()
        if measure == "absolute":
            return {name: weights @ self.absolute[name] for name in PREDICTORS}
        return {name: np.sqrt(weights @ self.square[name]) for name in PREDICTORS}

    def to_json(self) -> dict[str, Any]:
        told = {
            "overall": {"absolute": self.overall(), "rms": self.overall("square")},
            "first_step": {"absolute": self.first_step(), "rms": self.first_step("square")},
            "windows": self.windows.tolist(),
            "absolute": {name: self.absolute[name].tolist() for name in PREDICTORS},
            "square": {name: self.square[name].tolist() for name in PREDICTORS},
            "dimensions": self._dimensions_to_json(),
        }
        if self.trajectories is not None:
            told["trajectories"] = self.trajectories.to_json()
        return told

    def _dimensions_to_json(self) -> list[dict[str, Any]]:
        absolute, rms = self.per_dimension(), self.per_dimension("square")
        return [
            {
                **vars(one),
                "absolute": {name: float(absolute[name][number]) for name in PREDICTORS},
                "rms": {name: float(rms[name][number]) for name in PREDICTORS},
                "first_step": {name: float(self.absolute[name][0, number]) for name in PREDICTORS},
            }
            for number, one in enumerate(self.named())
        ]

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> OpenLoopResult:
        absolute, square = (
            {name: np.array(data[measure][name], np.float64) for name in PREDICTORS}
            for measure in ("absolute", "square")
        )
        along = data.get("trajectories")
        return OpenLoopResult(
            absolute,
            square,
            np.array(data["windows"], np.int64),
            tuple(Dimension(one["name"], one["unit"]) for one in data.get("dimensions", ())),
            None if along is None else TrajectoryErrors.from_json(along),
        )


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
        done, valid = _recorded(table, part, size)
        held = _recorded(table, part - 1, size)[0][:, :1]
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


def _recorded(
    table: WindowTable, rows: NDArray[np.int64], size: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(W, H, A) actions and (W, H) which of them there are."""
    actions, valid = table.actions(rows)
    return actions.double().numpy().reshape(len(rows), -1, size), valid.numpy()


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
