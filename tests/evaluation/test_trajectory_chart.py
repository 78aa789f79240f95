"""The part of the page about whole trajectories, read back from its drawing."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from robocache.datasets.dimensions import Dimension
from robocache.evaluation.charts import BOTTOM, LEFT, RIGHT, TOP, round_limits
from robocache.evaluation.report import ReportData, render_report
from robocache.evaluation.trajectories import EpisodeErrors, Trajectory, TrajectoryErrors
from robocache.evaluation.trajectory_chart import SHOWN, TrajectoryPage, trajectory_page


def page(size: int, *, episodes: int = 1) -> TrajectoryPage:
    """Five steps in two chunks; recorded 0 to 4, predicted higher by the dimension's number."""
    recorded = np.repeat(np.arange(5, dtype=np.float32)[:, None], size, axis=1)
    predicted = recorded + np.arange(size, dtype=np.float32)
    kept = Trajectory("pick/<1>", np.arange(5.0), recorded, predicted, np.array([0, 3]))
    rows = tuple(EpisodeErrors(f"pick/{n}", 5, 0.25, 0.125) for n in range(episodes))
    zeros = np.zeros(size)
    errors = TrajectoryErrors(3, 200, np.ones(size, bool), zeros, zeros, rows)
    return trajectory_page(errors, [kept], [Dimension(f"d{n}", "rad") for n in range(size)])


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", path)]


def test_chunks_are_lines_of_their_own_drawn_to_scale() -> None:
    ((chart, higher),) = [one.shown for one in page(2).drawn]
    assert (chart.name, chart.remark) == ("d0", "rad, MAE 0")
    assert higher.remark == "rad, MAE 1"
    root = ElementTree.fromstring(str(higher.svg))
    assert root.attrib["aria-label"] == "d1 (rad) of pick/<1>"
    lines = {p.attrib["class"]: p.attrib["d"] for p in root.iter("path")}
    assert lines["line recorded"].count("M") == 1 and lines["line predicted"].count("M") == 2
    recorded, predicted = points(lines["line recorded"]), points(lines["line predicted"])
    assert (recorded[0], recorded[-1][0]) == ((LEFT, BOTTOM), RIGHT)
    unit = (BOTTOM - TOP) / 6  # from 0 to 5, and on to the next grid line
    assert predicted[0] == pytest.approx((LEFT, BOTTOM - unit), abs=0.06)
    assert recorded[-1][1] == pytest.approx(BOTTOM - 4 * unit, abs=0.06)
    dots = [float(c.attrib["cx"]) for c in root.iter("circle")]
    assert dots == pytest.approx([LEFT, LEFT + 3 / 4 * (RIGHT - LEFT)], abs=0.06)


def test_the_worst_dimensions_come_first_in_their_own_order() -> None:
    (drawn,) = page(SHOWN + 3).drawn
    assert [one.name for one in drawn.others] == ["d0", "d1", "d2"]
    assert [one.name for one in drawn.shown] == [f"d{n}" for n in range(3, SHOWN + 3)]


def test_the_page_says_how_it_was_counted() -> None:
    html = render_report(ReportData("t", trajectories=page(SHOWN + 3, episodes=12)))
    for part in (
        "asked every 3 steps",
        "at most the first 200 steps",
        "12 of 12 action dimensions",
        "units are mixed",
        "mean of 12",
        "And 2 more",
        "the 9 dimensions with the largest errors",
        "The other 3 dimensions",
        "pick/<wbr>&lt;1&gt;",
    ):
        assert part in html, part
    assert html.count("pick/<wbr>9<") == 1 and "pick/<wbr>10" not in html
    whole = page(2)
    html = render_report(
        ReportData("t", trajectories=replace(whole, errors=replace(whole.errors, steps=0)))
    )
    assert "all steps" in html and "The other" not in html


def test_values_that_are_not_finite_are_gaps() -> None:
    recorded = np.zeros((3, 1), np.float32)
    kept = Trajectory("a", np.arange(3.0), recorded, recorded + np.nan, np.array([0]))
    errors = TrajectoryErrors(3, 0, np.ones(1, bool), np.zeros(1), np.zeros(1), ())
    ((chart,),) = [one.shown for one in trajectory_page(errors, [kept], [Dimension("0")]).drawn]
    assert "nan" not in str(chart.svg) and "circle" not in str(chart.svg)


@pytest.mark.parametrize(
    ("low", "high", "limits"),
    [(-0.0045, 0.0046, (-0.005, 0.005)), (0.0, 4.0, (0.0, 4.0)), (3.0, 3.0, (2.6, 3.4))],
)
def test_both_ends_of_an_axis_have_a_label(
    low: float, high: float, limits: tuple[float, float]
) -> None:
    assert round_limits(low, high) == pytest.approx(limits)
