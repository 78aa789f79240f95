"""The page: holds the numbers, loads nothing, trusts no text."""

from __future__ import annotations

import re
import struct
import xml.etree.ElementTree as ElementTree
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from robocache.core import Episode, Stream, StreamSpec
from robocache.core.errors import DataError, ShapeError
from robocache.evaluation.charts import Curve, Line, decades, draw, draw_lines, ticks
from robocache.evaluation.checkpoints import CheckpointFate, Judgement
from robocache.evaluation.gate import judge
from robocache.evaluation.horizon import horizon_errors
from robocache.evaluation.open_loop import OpenLoopResult
from robocache.evaluation.pairs import Cell, TaskPairs
from robocache.evaluation.report import (
    FilmStrip,
    ReportData,
    TaskRow,
    render_report,
    write_report,
)
from robocache.evaluation.statistics import Proportion
from robocache.evaluation.timeline import stream_timeline
from robocache.runs import Node

VOID = {"meta", "img", "br", "wbr", "link", "hr", "input"}


class Page(HTMLParser):
    """What a browser would see: text, attributes, and whether every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def png() -> bytes:
    """A PNG of one grey pixel."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    pixel = zlib.compress(b"\0\x80")
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixel) + chunk(b"IEND", b"")
    )


def open_loop(policy: float) -> OpenLoopResult:
    """Two steps, three dimensions; errors of the policy are `policy` and three times that."""
    errors = {
        "policy": np.array([[policy] * 3, [3 * policy] * 3]),
        "hold": np.array([[0.3, 0.3, 0.0], [0.6, 0.6, 0.0]]),
        "mean": np.full((2, 3), 0.7),
    }
    squares = {name: value**2 for name, value in errors.items()}
    return OpenLoopResult(errors, squares, np.array([30, 10]))


def full_report() -> ReportData:
    keys = [f"door/{i}" for i in range(50)]
    candidate = {key: i < 42 for i, key in enumerate(keys)}
    baseline = {key: i < 30 or 42 <= i < 44 for i, key in enumerate(keys)}
    times = np.arange(100) / 50
    camera = Stream(
        np.zeros((100, 1), np.float32), times, StreamSpec((1,), rate_hz=50.0), times + 0.031
    )
    steps = np.arange(5000)
    return ReportData(
        title="Flow on two tasks",
        summary=["Trained on 400 demonstrations."],
        tasks=[
            TaskRow("window-open", Proportion.wilson(17, 20), Proportion.wilson(3, 20)),
            TaskRow("<script>alert(1)</script>", Proportion.wilson(1, 20), None),
        ],
        overall=[TaskRow("All", Proportion.wilson(42, 50), Proportion.wilson(32, 50))],
        verdict=judge(candidate, baseline),
        promotion="Promoted to production & kept.",
        curves=[
            Curve("training loss", steps, 3.0 / (steps + 1)),
            Curve("rate", [0, 1], [5, 6], "Hz"),
        ],
        timeline=stream_timeline(Episode("drawer/0007", {"camera": camera})),
        strips=[FilmStrip("a strip", [("0.00 s", png())])],
        policies=("flow@10", "flow@1"),
        headline="flow@10 is better.",
        reasons=[("Not luck", "A fair coin would not do this.")],
        pairs=[TaskPairs("window-open", (Cell(0, "both"), Cell(1, "candidate"), Cell(2, "both")))],
        horizon=horizon_errors(open_loop(0.125), open_loop(0.25)),
        checkpoints=[
            CheckpointFate(
                "flow@10",
                "ab" * 32,
                (Judgement("eval-1", Proportion.wilson(42, 50)),),
                ("accepted against flow@1",),
                ("production version 1 (promote)",),
            )
        ],
        lineage=[("Made from", Node("checkpoint", "cd" * 32, "the child", (tree(),)))],
        identities=[("policy flow@10", "ab" * 32)],
        manifests=[
            ("run-1", {"command": "robocache eval", "source": "https://a.org/b", "n": [1, 2]})
        ],
    )


def tree() -> Node:
    return Node("run", "mother", "train mother", (Node("dataset", "ef" * 32, "dataset efef"),))


def test_the_page_holds_the_numbers() -> None:
    data = full_report()
    text = " ".join(Page(render_report(data)).text.split())
    assert data.verdict is not None
    for part in (
        "Verdict: accepted",
        data.verdict.explain(),
        "Promoted to production & kept.",
        "Trained on 400 demonstrations.",
        "85.0 % 64.0 – 94.8 17 / 20",
        "15.0 % 5.2 – 36.0 3 / 20",
        "only the candidate 12",
        "only the baseline 2",
        "31.0",
        "training loss",
        "6 Hz",
        "flow@10 is better.",
        "A fair coin would not do this.",
        "accepted against flow@1",
        "production version 1 (promote)",
        "84.0 % 71.5 – 91.7, 42 / 50, eval-1",
        "ab" * 32,
        "train mother",
        "ef" * 32,
        "robocache eval",
    ):
        assert part in text, part


def test_bars_and_whiskers_are_drawn_to_scale() -> None:
    html = render_report(full_report())
    assert '<rect class="bar" width="85.00" height="10"/>' in html
    interval = Proportion.wilson(17, 20)
    assert f'class="whisker" d="M{100 * interval.low:.2f} 5H{100 * interval.high:.2f}' in html


def test_tasks_are_sorted_below_the_overall_row() -> None:
    html = render_report(full_report())
    body = html[html.index('<table class="success') :]
    rows = re.findall(r'<th scope="row">(.*?)</th>', body[: body.index("</table>")])
    assert rows == ["All", "&lt;script&gt;alert(1)&lt;/<wbr>script&gt;", "window-open"]


def test_the_page_loads_nothing() -> None:
    html = render_report(full_report())
    page = Page(html)
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)
    assert "@import" not in html and "default-src 'none'" in html
    assert not re.search(r"url\((?!#)", html)
    for name, value in page.attributes:
        if name.startswith("xmlns"):
            continue
        assert "//" not in value, (name, value)
        if name in {"src", "href", "xlink:href"}:
            assert value.startswith(("data:image/png;base64,", "#"))


def test_text_is_never_markup() -> None:
    hostile = '"><img src=x onerror=alert(1)>'
    data = ReportData(
        title=hostile,
        summary=[hostile],
        tasks=[TaskRow(hostile, Proportion.wilson(1, 2))],
        curves=[Curve(hostile, [0, 1], [1, 2], unit=hostile)],
        strips=[FilmStrip(hostile, [(hostile, png())])],
        strips_note=hostile,
        kind=hostile,
        arms=(hostile, hostile),
        policies=(hostile, hostile),
        facts=[(hostile, hostile)],
        headline=hostile,
        reasons=[(hostile, hostile)],
        promotion=hostile,
        verdict=judge({"a": True}, {"a": False}),
        pairs=[TaskPairs(hostile, (Cell(0, "both"),))],
        timeline=stream_timeline(
            Episode(hostile, {hostile: Stream(np.zeros((1, 1)), np.zeros(1), StreamSpec((1,)))})
        ),
        trained=hostile,
        checkpoints=[CheckpointFate(hostile, hostile, (), (hostile,), (hostile,))],
        lineage=[(hostile, Node("checkpoint", hostile, hostile))],
        identities=[(hostile, hostile)],
        manifests=[(hostile, {hostile: {"k": hostile}})],
    )
    page = Page(render_report(data))
    assert page.tags.count("img") == 1
    assert "onerror" not in {name for name, _ in page.attributes}
    assert "script" not in page.tags


def test_parts_without_data_are_left_out() -> None:
    html = render_report(ReportData(title="Nothing yet"))
    assert "<section" not in html and "Nothing yet" in html
    alone = render_report(ReportData("t", tasks=[TaskRow("a", Proportion.wilson(1, 2))]))
    assert "Baseline" not in alone


def test_the_same_data_gives_the_same_bytes_and_a_small_file(tmp_path: Path) -> None:
    for name in ("one.html", "two.html"):
        write_report(tmp_path / name, full_report())
    first = (tmp_path / "one.html").read_bytes()
    assert first == (tmp_path / "two.html").read_bytes()
    assert len(first) < 5_000_000


def test_a_million_points_stay_small_and_keep_their_extremes() -> None:
    values = np.ones(1_000_000)
    values[777_777] = 9.0
    svg = str(draw(Curve("loss", np.arange(1_000_000), values)).svg)
    assert len(svg) < 100_000
    assert ">9<" in svg or ">8<" in svg  # the axis reaches the single spike


def test_curves_are_well_formed_and_take_the_colours_of_the_page() -> None:
    svg = str(draw(Curve("loss", [0, 1, 2], [1.0, 10.0, 1000.0])).svg)
    ElementTree.fromstring(svg)
    assert 'class="line curve"' in svg and "#" not in svg and "style" not in svg


def test_values_that_are_not_finite_are_counted_not_hidden() -> None:
    chart = draw(Curve("loss", [0, 1, 2, 3], [3.0, float("nan"), float("inf"), 2.0]))
    assert chart.missing == 2 and chart.last == "2"
    lost = draw(Curve("loss", [0], [float("nan")]))
    assert lost.missing == 1 and lost.last == "no finite value"
    page = Page(render_report(ReportData("t", curves=[Curve("loss", [0, 1], [1, np.nan])])))
    assert "1 not finite." in page.text


def test_bad_parts_are_refused() -> None:
    with pytest.raises(ShapeError, match="curve 'loss' needs"):
        draw(Curve("loss", [0, 1], [1.0]))
    with pytest.raises(DataError, match="frame '0 s' of film strip 'a strip' is not a PNG"):
        FilmStrip("a strip", [("0 s", b"GIF89a")])


def test_manifest_values_are_short_where_they_can_be_and_absent_where_empty() -> None:
    manifest = {
        "threads": {"torch": 2},
        "gpus": [],
        "error": None,
        "seeds": [0],
        "big": ["x" * 200],
    }
    html = render_report(ReportData("t", manifests=[("r", manifest)]))
    shown = dict(re.findall(r'<th scope="row">(.*?)</th><td><pre>(.*?)</pre>', html, re.DOTALL))
    assert shown["threads"] == "{&#34;torch&#34;: 2}"
    assert shown["seeds"] == "[0]"
    assert shown["big"].count("\n") == 2
    assert set(shown) == {"threads", "seeds", "big"}


def test_film_strips_come_with_their_note() -> None:
    data = ReportData(
        "t", strips=[FilmStrip("a strip", [("0 s", png())])], strips_note="A ring is the goal."
    )
    assert "A ring is the goal." in Page(render_report(data)).text


def test_the_grid_has_one_sign_an_episode_and_counts_each_kind() -> None:
    html = render_report(full_report())
    grid = html[html.index('<table class="grid">') :]
    grid = grid[: grid.index("</table>")]
    cells = re.findall(r'<span class="sign (\w+)" title="layout (\d+)">(.)</span>', grid)
    assert cells == [("both", "0", "●"), ("candidate", "1", "▲"), ("both", "2", "●")]
    counts = dict(re.findall(r'data-label=". ([\w ]+)">(\d+)</td>', grid))
    wanted = {"both": "2", "only the candidate": "1", "only the baseline": "0", "neither": "0"}
    assert counts == wanted


def test_horizon_errors_are_weighted_by_windows() -> None:
    errors = horizon_errors(open_loop(0.125), open_loop(0.25))
    assert [name for name, _ in errors.columns] == ["candidate", "baseline", "hold", "mean"]
    assert errors.rows[1].windows == 10
    np.testing.assert_allclose(errors.rows[1].errors[:4], (0.375, 0.75, 0.4, 0.7))
    assert errors.overall[0] == pytest.approx((30 * 0.125 + 10 * 0.375) / 40)
    assert errors.overall[4] == pytest.approx(((30 * 0.125**2 + 10 * 0.375**2) / 40) ** 0.5)
    assert [row.errors[2] for row in errors.dimensions] == pytest.approx([0.375, 0.375, 0.0])
    html = render_report(ReportData("t", horizon=errors))
    shown = [float(cell) for cell in re.findall(r'<td class="number">([\d.]+)</td>', html)]
    assert shown[8:] == pytest.approx(
        [*(30, *errors.rows[0].errors), *(10, *errors.rows[1].errors)]
        + [error for row in errors.dimensions for error in row.errors],
        rel=1e-3,
    )


def test_open_loop_evaluations_on_other_windows_are_not_compared() -> None:
    other = replace(open_loop(0.25), windows=np.array([30, 9]))
    with pytest.raises(DataError, match="not made on the same windows"):
        horizon_errors(open_loop(0.125), other)


def test_lines_are_drawn_to_scale_and_gaps_stay_gaps() -> None:
    lines = [Line("a", [0.0, 1.0, 2.0], "policy"), Line("b", [2.0, np.nan, 2.0], "hold")]
    root = ElementTree.fromstring(str(draw_lines(lines, "<errors>")))
    assert root.attrib["aria-label"] == "<errors>"
    paths = {
        p.attrib["class"]: p.attrib["d"] for p in root.iter("path") if "line" in p.attrib["class"]
    }
    ys = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", paths["line policy"])]
    assert ys[0] > ys[1] > ys[2] and ys[1] == pytest.approx((ys[0] + ys[2]) / 2)
    assert paths["line hold"].count("M") == 2
    with pytest.raises(ShapeError, match="lines of one length"):
        draw_lines([Line("a", [1.0], "x"), Line("b", [1.0, 2.0], "y")], "t")


@pytest.mark.parametrize(
    ("low", "high", "count", "wanted"),
    [
        (0.0, 1.0, 4, [0.0, 0.5, 1.0]),
        (1.0, 9.0, 4, [2.0, 4.0, 6.0, 8.0]),
        (-0.03, 0.02, 5, [-0.03, -0.02, -0.01, 0.0, 0.01, 0.02]),
        (7.0, 7.0, 4, [7.0]),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, count: int, wanted: list[float]) -> None:
    assert ticks(low, high, count) == pytest.approx(wanted)


def test_ticks_of_steps_are_whole_and_decades_are_few() -> None:
    assert ticks(1, 3, 5, whole=True) == [1, 2, 3]
    assert decades(0.02, 300) == pytest.approx([0.1, 1, 10, 100])
    assert len(decades(1e-20, 1e20)) <= 7
