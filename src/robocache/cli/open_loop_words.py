"""An evaluation on recordings, printed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from robocache.cli.progress import console
from robocache.evaluation.open_loop import PREDICTORS, OpenLoopResult
from robocache.evaluation.trajectories import TrajectoryErrors

WORST = 5
"""Dimensions, and trajectories, that are printed."""


def print_open_loop(result: OpenLoopResult, file: Path) -> None:
    """Errors by horizon step, of the worst dimensions, and along whole trajectories.

    Args:
        file: where all figures are.
    """
    _print_steps(result)
    _print_dimensions(result)
    if result.trajectories is not None:
        _print_trajectories(result.trajectories)
    console.print(f"all figures: {file}")


def _print_steps(result: OpenLoopResult) -> None:
    units = f"in {result.unit}" if result.unit else "each in its own unit"
    console.print(f"errors over action dimensions, {units}")
    console.print(f"  {'':7}  {'mean absolute':^31}   {'root mean square':^31}")
    heads = "  ".join(f"{name:>9}" for name in PREDICTORS)
    console.print(f"  {'step':>7}  {heads}   {heads}  windows")
    curves = (result.per_step("absolute"), result.per_step("square"))
    for step, count in enumerate(result.windows):
        row = "   ".join(
            "  ".join(f"{curve[name][step]:9.5f}" for name in PREDICTORS) for curve in curves
        )
        place = "first 1" if step == 0 else str(step + 1)
        console.print(f"  {place:>7}  {row}  {count}")
    totals = (result.overall("absolute"), result.overall("square"))
    row = "   ".join("  ".join(f"{t[name]:9.5f}" for name in PREDICTORS) for t in totals)
    console.print(f"  {'overall':>7}  {row}")


def _print_dimensions(result: OpenLoopResult) -> None:
    errors, named = result.per_dimension(), result.named()
    worst = np.argsort(-errors["policy"], kind="stable")[:WORST]
    width = max(len(str(named[number])) for number in worst)
    count = f"the {len(worst)} worst of {len(named)}" if len(worst) < len(named) else "all"
    console.print(f"by dimension, {count}: mean absolute error, and of the policy's first step")
    console.print(f"  {'':{width}}  {'  '.join(f'{name:>9}' for name in PREDICTORS)}  {'first':>9}")
    for number in worst:
        row = "  ".join(f"{errors[name][number]:9.5f}" for name in PREDICTORS)
        first = result.absolute["policy"][0, number]
        console.print(f"  {named[number]!s:{width}}  {row}  {first:9.5f}", markup=False)


def _print_trajectories(along: TrajectoryErrors) -> None:
    most = f"the first {along.steps} steps" if along.steps else "all steps"
    size, counted = len(along.counted), int(along.counted.sum())
    console.print(
        f"along whole trajectories, as GR00T's public script: {most}, a chunk of {along.chunk} "
        f"every {along.chunk}, one sample,"
    )
    console.print(f"mean over {counted} of {size} dimensions whatever their units, not normalised")
    width = max(len("mean of 00000"), *(len(one.episode) for one in along.episodes[:WORST]))
    for one in along.episodes[:WORST]:
        words = f"MSE {one.mse:9.6f}  MAE {one.mae:9.6f}  {one.steps} steps"
        console.print(f"  {one.episode:{width}}  {words}", markup=False)
    if len(along.episodes) > WORST:
        console.print(f"  and {len(along.episodes) - WORST} more")
    mean = f"mean of {len(along.episodes)}"
    console.print(f"  {mean:{width}}  MSE {along.mse:9.6f}  MAE {along.mae:9.6f}")
