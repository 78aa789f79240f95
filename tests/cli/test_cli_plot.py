"""`robocache data plot`: hand-made episodes."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from robocache.cli.plot import plot
from robocache.core import Episode, Stream, StreamSpec
from robocache.core.errors import ConfigError
from robocache.datasets.shards import write_shard
from robocache.evaluation.episode_plot import episode_page, render_page
from robocache.evaluation.stream_chart import BUCKETS, stream_charts
from robocache.evaluation.stream_figures import stream_figures, together


def stream(values: np.ndarray, rate_hz: float = 10.0, jitter_s: float = 0.0) -> Stream:
    times = np.arange(len(values)) / rate_hz
    times[1::2] += jitter_s
    spec = StreamSpec(values.shape[1:], str(values.dtype), rate_hz, unit="m")
    return Stream(values, times, spec)


def episode(key: str = "one", **more: Stream) -> Episode:
    wave = np.sin(np.arange(40.0))[:, None] * np.arange(1.0, 4.0)
    streams = {
        "action": stream(wave.astype(np.float32)),
        "camera": stream(np.random.default_rng(0).integers(0, 255, (40, 12, 16, 3), np.uint8)),
        "flag": stream(np.zeros(40, bool)),
        **more,
    }
    return Episode(key, streams, instruction="put <b>it</b> there")


class Text(HTMLParser):
    """Words of a page, and what it would load."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words, self.sources = "", []
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.words += data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [text for name, text in attrs if name in ("src", "href") and text]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "demos"
    place.mkdir()
    write_shard(place / "0.episodes.parquet", [episode(key) for key in ("one", "two")])
    return place


def test_a_page_shows_every_stream_and_loads_nothing() -> None:
    page = render_page(episode_page(episode(), "demos", ["camera: too dark"]))
    seen = Text(page)
    for word in ("action", "camera, 12×16×3 uint8", "flag", "camera: too dark", "<b>it</b>"):
        assert word in seen.words
    assert "<b>it</b>" not in page  # escaped
    assert len(seen.sources) == 6
    assert all(source.startswith("data:image/png") for source in seen.sources)
    assert page == render_page(episode_page(episode(), "demos", ["camera: too dark"]))


def test_what_never_changes_is_said_once_and_not_drawn() -> None:
    made = episode_page(episode(), "demos")
    assert [chart.title for chart in made.charts] == ["action"]
    assert list(made.still) == [("flag", "0")]


def test_equal_pictures_are_drawn_once_and_others_named() -> None:
    same = episode().streams["camera"]
    odd = stream(np.zeros((40, 20, 20, 5), np.uint8))
    made = episode_page(episode(again=same, odd=odd), "demos")
    assert [strip.title.split(",")[0] for strip in made.strips] == ["again"]
    named = dict(made.not_drawn)
    assert "same pictures as again" in named["camera"] and "(20, 20, 5)" in named["odd"]


def test_a_spike_between_two_drawn_samples_is_still_drawn() -> None:
    values = np.zeros((20_000, 1))
    values[12_345] = 5.0
    (chart,) = stream_charts("force", stream(values, 1000.0), (0.0, 20.0))
    path = re.search(r'class="line d0" d="([^"]+)"', str(chart.svg))
    assert path is not None
    points = re.findall(r"[ML]([\d.]+) ([\d.]+)", path[1])
    assert len(points) <= 2 * BUCKETS + 2
    across, height = max(points, key=lambda point: -float(point[1]))
    assert float(height) == 8.0  # the top of the frame
    assert float(across) == pytest.approx(44 + 298 * 12.345 / 20, abs=0.2)


def test_many_dimensions_become_a_picture_and_seven_stay_together() -> None:
    wide = np.random.default_rng(1).random((30, 100))
    (chart,) = stream_charts("embedding", stream(wide), (0.0, 3.0))
    assert chart.png is not None and chart.svg is None
    titles = [c.title for c in stream_charts("arm", stream(wide[:, :7]), (0.0, 3.0))]
    assert titles == ["arm"]
    titles = [c.title for c in stream_charts("arm", stream(wide[:, :10]), (0.0, 3.0))]
    assert titles == ["arm [0:5]", "arm [5:10]"]


def test_values_that_are_not_finite_leave_a_gap_and_are_counted() -> None:
    values = np.arange(10.0)[:, None].copy()
    values[4] = np.nan
    (chart,) = stream_charts("x", stream(values), (0.0, 1.0))
    assert "1 not finite" in chart.remark
    assert str(chart.svg).count("M") >= 2
    assert stream_figures("x", stream(values)).high == 9.0


def test_flags_hold_until_the_next_sample() -> None:
    flag = np.array([[False], [True], [True]])
    (chart,) = stream_charts("done", stream(flag, 1.0), (0.0, 2.0))
    path = re.search(r'class="line d0" d="([^"]+)"', str(chart.svg))
    assert path is not None
    points = re.findall(r"[ML]([\d.]+) ([\d.]+)", path[1])
    (x0, low), (x1, still_low), (x2, high), *_ = points
    assert low == still_low != high and x1 == x2 != x0


def test_figures_of_a_stream_by_hand() -> None:
    figures = stream_figures("x", stream(np.array([[1.0, -3.0], [5.0, 1.0]] * 5), 10.0, 0.01))
    assert (figures.low, figures.mean, figures.high) == (-3.0, 1.0, 5.0)
    steps = np.diff(stream(np.zeros((10, 1)), 10.0, 0.01).times_s)
    assert figures.jitter_s == pytest.approx(steps.std())
    assert figures.rate_hz == pytest.approx(9 / steps.sum())
    assert figures.gaps == 0 and figures.longest_s == pytest.approx(0.11)


def test_gaps_are_counted_and_are_no_jitter() -> None:
    kept = np.delete(np.arange(20), [4, 11, 12])
    spec = StreamSpec((), "float64", 10.0)
    figures = stream_figures("x", Stream(kept * 1.0, kept / 10, spec))
    assert (figures.samples, figures.gaps) == (17, 2)
    assert figures.longest_s == pytest.approx(0.3) and figures.jitter_s == 0.0
    assert figures.rate_hz == pytest.approx(16 / 1.9)
    once = stream_figures("goal", Stream(kept * 1.0, kept / 10, StreamSpec((), "float64")))
    assert once.gaps is None and once.longest_s == pytest.approx(0.3)


def test_figures_of_two_episodes_together() -> None:
    short, long = np.array([[1.0], [2.0]]), np.array([[4.0], [np.nan], [6.0], [7.0]])
    both = together(
        stream_figures("x", stream(short, 10.0)), stream_figures("x", stream(long, 5.0, 0.02))
    )
    every = np.array([1.0, 2.0, 4.0, 6.0, 7.0])
    assert (both.low, both.high, both.samples) == (1.0, 7.0, 6)
    assert both.mean == pytest.approx(every.mean())
    assert both.nominal_hz is None and both.rate_hz == pytest.approx(4 / (0.1 + 0.62))
    assert both.jitter_s == pytest.approx(np.std([0.22, 0.18, 0.22]))
    seen = stream_figures("x", stream(np.zeros((4, 20, 20, 3), np.uint8)))
    assert together(seen, seen).mean is None and together(seen, both).shape == "varies"


def test_an_empty_episode_has_a_page() -> None:
    nothing = Episode("none", {"action": stream(np.zeros((0, 2)))})
    made = episode_page(nothing, "demos")
    assert made.timeline is None and dict(made.not_drawn) == {"action": "no samples"}
    assert "no samples" in render_page(made)


def test_plot_writes_a_page(folder: Path, tmp_path: Path) -> None:
    said = plot(str(folder), "two", tmp_path / "two.html")
    assert said["episode"] == "two" and said["problems"] == [] and said["strips"] == 1
    assert (tmp_path / "two.html").read_text().startswith("<!doctype html>")
    assert plot(str(folder), "0", None)["page"] == "demos-one.html"
    assert Path("demos-one.html").is_file()


def test_plot_refuses_what_is_not_there(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'twoo'.*'two'"):
        plot(str(folder), "twoo", None)
    with pytest.raises(ConfigError, match="2"):
        plot(str(folder), "2", None)
    with pytest.raises(ConfigError, match=r"\.html"):
        plot(str(folder), "two", tmp_path / "two.png")


def test_a_large_dataset_is_not_read_as_a_whole(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("robocache.cli.plot.FEW_BYTES", 100)
    monkeypatch.setattr("robocache.datasets.EpisodeStore.problems", None)
    assert plot(str(folder), "one", tmp_path / "one.html")["problems"] == []


def test_options_go_to_the_reader(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "one.html"
    assert plot(str(folder), "one", out, {"format": "episodes"})["episode"] == "one"
    with pytest.raises(ConfigError, match="colour"):
        plot(str(folder), "one", out, {"colour": "red"})


@pytest.mark.parametrize(
    "name", ["bridge_rlds", "robomimic_hdf5/image_depth.hdf5", "calvin", "mcap_multirate"]
)
def test_sample_datasets_have_pages(shared_data: Path, tmp_path: Path, name: str) -> None:
    said = plot(str(shared_data / name), "0", tmp_path / "page.html")
    assert said["charts"] > 2 and said["strips"] > 0
