"""Whose names an action's dimensions get, and what is printed of them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from robocache.cli.open_loop import action_dimensions, read_trajectories
from robocache.cli.open_loop_words import print_open_loop
from robocache.core.stream import StreamSpec
from robocache.datasets.dimensions import Dimension
from robocache.evaluation.open_loop import OpenLoopResult
from robocache.evaluation.trajectories import EpisodeErrors, TrajectoryErrors

TOLD = (Dimension("a", "m"), Dimension("b", "rad"), Dimension("c"))


def dimensions(policy: dict[str, Any]) -> tuple[list[str], list[bool]]:
    dataset = SimpleNamespace(dimensions=lambda stream: TOLD if stream == "action" else ())
    asked = SimpleNamespace(window=SimpleNamespace(action="action"), **policy)
    named, counted = action_dimensions(cast(Any, asked), cast(Any, dataset), StreamSpec((3,)))
    return [str(one) for one in named], counted.tolist()


def test_names_of_the_policy_come_before_those_of_the_dataset() -> None:
    assert dimensions({}) == (["a (m)", "b (rad)", "c"], [True] * 3)
    grouped = {"action_names": lambda: ("arm[0]", "", "hand[0]")}
    assert dimensions(grouped) == (["arm[0] (m)", "b (rad)", "hand[0]"], [True, False, True])


def result(units: tuple[str, ...], episodes: int) -> OpenLoopResult:
    """Two steps; the error of dimension n is n at both, of `hold` and `mean` 7."""
    policy = np.tile(np.arange(len(units), dtype=np.float64), (2, 1))
    errors = {"policy": policy, "hold": np.full_like(policy, 7), "mean": np.full_like(policy, 7)}
    rows = tuple(EpisodeErrors(f"e{n}", 9, 0.5, 0.25) for n in range(episodes))
    counted = np.arange(len(units)) > 0
    along = TrajectoryErrors(2, 200, counted, policy[0], policy[0], rows)
    named = tuple(Dimension(f"joint[{n}]", unit) for n, unit in enumerate(units))
    return OpenLoopResult(errors, errors, np.array([4, 4]), named, along)


def test_the_worst_dimensions_and_the_first_step(capsys: pytest.CaptureFixture[str]) -> None:
    print_open_loop(result(("rad",) * 6 + ("m",), 8), Path("all.json"))
    said = capsys.readouterr().out
    assert "each in its own unit" in said and "the 5 worst of 7" in said
    rows = [line.split() for line in said.splitlines() if "joint[" in line]
    assert [row[0] for row in rows] == [f"joint[{n}]" for n in (6, 5, 4, 3, 2)]
    assert rows[0] == ["joint[6]", "(m)", "6.00000", "7.00000", "7.00000", "6.00000"]
    first = next(line.split() for line in said.splitlines() if line.strip().startswith("first 1"))
    assert first[2:5] == ["3.00000", "7.00000", "7.00000"]
    assert "6 of 7 dimensions" in said and "and 3 more" in said
    assert "mean of 8" in said and "MSE  0.500000  MAE  0.250000" in said


def test_one_unit_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    print_open_loop(result(("rad", "rad"), 1), Path("all.json"))
    said = capsys.readouterr().out
    assert "errors over action dimensions, in rad" in said and "by dimension, all" in said


def test_a_run_of_before_has_no_trajectories(tmp_path: Path) -> None:
    assert read_trajectories(tmp_path) == []
