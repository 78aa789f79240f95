"""`robocache report`: a page about every kind of run, and about two policies."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from command import robocache

import browser
import tiny
from robocache.datasets.dimensions import Dimension
from robocache.evaluation.checkpoints import CheckpointFate
from robocache.evaluation.gate import judge
from robocache.evaluation.horizon import horizon_errors
from robocache.evaluation.open_loop import OpenLoopResult
from robocache.evaluation.pairs import Cell, TaskPairs
from robocache.evaluation.report import ReportData, TaskRow, write_report
from robocache.evaluation.statistics import Proportion
from robocache.evaluation.trajectories import EpisodeErrors, Trajectory, TrajectoryErrors
from robocache.evaluation.trajectory_chart import trajectory_page
from robocache.runs import RunStore

PLAN = (tiny.TASKS, "episodes=12", "workers=0")
STEER = "examples.point_policy:Steer"


@pytest.fixture(scope="module")
def judged(road: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the policy and its beginning were judged, and one came to a slot."""
    home = tmp_path_factory.mktemp("judged") / "home"
    shutil.copytree(road, home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROBOCACHE_HOME", str(home))
        patch.chdir(home.parent)
        slot = (tiny.TASKS, "episodes=12", "floor=0.5")
        for arguments in (
            ("compare", "long", "long@1", *PLAN),
            ("slots", "declare", "best", *slot),
            ("eval", "long", "--slot", "best", "workers=0", "--name=counts"),
            ("promote", "best", "long"),
            (
                "eval",
                "long",
                "--open-loop",
                "dataset=demos",
                tiny.TRAINED,
                "samples=2",
                "--name=recorded",
            ),
            (
                "eval",
                "long@1",
                "--open-loop",
                "dataset=demos",
                tiny.TRAINED,
                "samples=2",
                "--name=recorded-1",
            ),
            ("eval", STEER, *PLAN, "seed=9", "--name=steered"),
        ):
            said = robocache(*arguments)
            assert said.code == 0, (arguments, said.err)
    return home


@pytest.fixture
def home(judged: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ROBOCACHE_HOME", str(judged))
    return judged


class Text(HTMLParser):
    """The words of a page, without its style sheet."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.said = ""
        self.tags: list[str] = []
        self.feed(page[page.index("</style>") :])

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.said += data


def words(page: Path) -> str:
    return " ".join(Text(page.read_text()).said.split())


def judged_run(of: str) -> str:
    """The evaluation that `compare` made of this checkpoint."""
    sha256 = RunStore().get("long").metrics["checkpoint"]
    runs = [r for r in RunStore().runs(verb="eval") if r.id.startswith("eval-")]
    return next(r.id for r in runs if (r.config["policy"] == sha256) == (of == "long"))


def test_every_run_has_a_page_in_its_folder(home: Path) -> None:
    for run, parts in {
        "demos": [
            "demos: 40 demonstrations",
            "40 / 40",
            "Every sensor by its own clock",
            "From demos was made",
        ],
        "long": ["training loss", "long@1", "accepted against long@1", "best version 1", "Steps"],
        "counts": ["long@400 judged on", "of 12 episodes", "Every sensor by its own clock"],
        "recorded": [
            "Mean absolute error",
            "repeating the last action",
            "Root mean square",
            "1 (first)",
            "By action dimension",
            "Whole trajectories, chunk after chunk",
            "mean of 40",
            "a dot where a chunk begins",
        ],
        "steered": [f"{STEER} judged on", "12 / 12"],
    }.items():
        said = robocache("report", run)
        assert said.code == 0, said.err
        page = home / "runs" / run / "report.html"
        assert str(page) in said.out
        for part in [*parts, "How to do it again", RunStore().get(run).config_hash]:
            assert part in words(page), (run, part)


def test_a_comparison_says_which_is_better_by_how_much_and_why(home: Path, tmp_path: Path) -> None:
    page = tmp_path / "both.html"
    said = robocache("report", "long", "long@1", "--out", str(page))
    assert said.code == 0, said.err
    html = page.read_text()
    rates = {
        name: RunStore().get(judged_run(name)).metrics["overall"] for name in ("long", "long@1")
    }
    solved, other = (rates[name]["successes"] for name in ("long", "long@1"))
    for part in (
        "long@400 against long@1",
        "Verdict: accepted",
        f"is better than the baseline: it solved {solved} of 12 episodes, the baseline {other}",
        f"{100 * rates['long']['low']:.1f} – {100 * rates['long']['high']:.1f}",
        "Same episodes",
        "1 verdict on this pair; 0 other candidates",
        "Promoted to slot best, version 1",
        "it holds the slot",
        "collect demos",
        "training loss",
        "Prediction error on recorded episodes",
        "moments an action was decided",
    ):
        assert part in words(page), part
    cells = re.findall(r'<span class="sign (\w+)" title="layout (\d+)"', html)
    assert [int(index) for _, index in cells] == list(range(12))
    kinds = [kind for kind, _ in cells]
    assert kinds.count("both") + kinds.count("candidate") == solved
    assert kinds.count("both") + kinds.count("baseline") == other

    named = tmp_path / "named.html"
    runs = (judged_run("long"), judged_run("long@1"))
    assert robocache("report", *runs, "--out", str(named)).code == 0
    assert named.read_bytes() == page.read_bytes(), "the same evaluations, the same bytes"


def test_the_other_way_round_is_rejected(home: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assert robocache("report", "long@1", "long", "--out", str(tmp_path)).code == 0
    assert "Verdict: rejected" in words(page) and "candidate is worse than" in words(page)


def test_recordings_alone_can_be_compared(home: Path, tmp_path: Path) -> None:
    page = tmp_path / "recordings.html"
    assert robocache("report", "recorded", "recorded-1", "--out", str(page)).code == 0
    said = words(page)
    assert "long@400 against long@1" in said and "candidatebaselineholdmean" in said


def test_what_cannot_be_compared_is_said(home: Path, tmp_path: Path) -> None:
    out = ("--out", str(tmp_path / "page.html"))
    for arguments, complaint in {
        ("counts", "steered"): "not judged on the same episodes",
        ("long", "long@400"): "same policy",
        ("lung",): "did you mean 'long'?",
        ("long", "long@7"): "no checkpoint at step 7",
    }.items():
        said = robocache("report", *arguments, *out)
        assert said.code == 3 and complaint in said.err, (arguments, said.err)
    assert not (tmp_path / "page.html").exists()


def test_the_page_of_an_altered_run_is_refused(judged: Path, tmp_path: Path, monkeypatch) -> None:
    home = tmp_path / "home"
    shutil.copytree(judged, home)
    monkeypatch.setenv("ROBOCACHE_HOME", str(home))
    run = judged_run("long@1")
    manifest = home / "runs" / run / "manifest.json"
    record = json.loads(manifest.read_text())
    record["metrics"]["overall"]["successes"] = 12
    manifest.write_text(json.dumps(record))
    for arguments in ((run,), ("long", "long@1")):
        said = robocache("report", *arguments, "--out", str(tmp_path / "page.html"))
        assert said.code == 3 and "altered" in said.err
    assert not (tmp_path / "page.html").exists()


def test_words_of_people_are_text(home: Path, tmp_path: Path) -> None:
    RunStore().note("demos", "<script>alert(1)</script>")
    page = tmp_path / "page.html"
    try:
        assert robocache("report", "demos", "--out", str(page)).code == 0
    finally:
        RunStore().note("demos", "")
    seen = Text(page.read_text())
    assert "<script>alert(1)</script>" in seen.said and "script" not in seen.tags


@pytest.mark.slow
@pytest.mark.skipif(browser.CHROMIUM is None, reason="chromium is not installed")
def test_pages_fit_a_phone_and_a_desktop_without_complaints(home: Path, tmp_path: Path) -> None:
    pages = {"demos": (), "long": (), "counts": (), "recorded": (), "both": ("long", "long@1")}
    for name, arguments in pages.items():
        page = tmp_path / f"{name}.html"
        assert robocache("report", *(arguments or (name,)), "--out", str(page)).code == 0
        for width_px in (390, 1200):
            seen = browser.open_page(page, width_px, tmp_path)
            assert seen.characters > 500
            assert seen.console == []
            assert seen.width_px <= width_px and seen.sticking_out == "[]", (name, seen)


def long_trajectory(name: str) -> Trajectory:
    actions = np.linspace(-1e-4, 12345, 200 * 44, dtype=np.float32).reshape(200, 44)
    return Trajectory(name * 3, np.arange(200.0), actions, -actions, np.arange(0, 200, 16))


def long_trajectories(name: str) -> TrajectoryErrors:
    one = EpisodeErrors(name * 3, 200, 0.123456789, 0.123456789)
    return TrajectoryErrors(16, 200, np.ones(44, bool), np.ones(44), np.ones(44), (one,) * 12)


@pytest.mark.slow
@pytest.mark.skipif(browser.CHROMIUM is None, reason="chromium is not installed")
def test_a_page_of_many_long_things_fits_a_phone(tmp_path: Path) -> None:
    name = "simulator/a-task-with-a-rather-long-name-v3"
    cells = tuple(Cell(index, ("both", "baseline")[index % 2]) for index in range(130))
    half, rate = Proportion.wilson(65, 130), Proportion.wilson(130, 130)
    errors = {kind: np.full((16, 44), 0.123456) for kind in ("policy", "hold", "mean")}
    joints = tuple(Dimension(f"kLeftShoulderPitchJointCommand[{n}]", "rad") for n in range(44))
    result = OpenLoopResult(errors, errors, np.full(16, 1000), joints)
    write_report(
        tmp_path / "page.html",
        ReportData(
            title=name * 3,
            policies=(name, name),
            verdict=judge({"a": True}, {"a": False}),
            facts=[(name, "w" * 300)],
            overall=[TaskRow("overall", rate, half)],
            tasks=[TaskRow(name, rate, half)],
            pairs=[TaskPairs(name, cells)],
            horizon=horizon_errors(result, result),
            trajectories=trajectory_page(long_trajectories(name), [long_trajectory(name)], joints),
            checkpoints=[CheckpointFate(name, "ab" * 32, (), (name,), (name,))],
            identities=[(name, "ab" * 32)],
            manifests=[(name, {"command": "x" * 500, name: {"k" * 200: "v" * 200}})],
        ),
    )
    for width_px in (390, 1200):
        seen = browser.open_page(tmp_path / "page.html", width_px, tmp_path)
        assert (seen.console, seen.sticking_out) == ([], "[]")
        assert seen.width_px <= width_px


@pytest.mark.slow
@pytest.mark.skipif(browser.CHROMIUM is None, reason="chromium is not installed")
def test_a_page_that_is_too_wide_or_complains_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        '<meta http-equiv="Content-Security-Policy" content="img-src data:">'
        '<div style="width:700px">wide</div><img src="https://example.org/picture.png">'
    )
    seen = browser.open_page(page, 390, tmp_path)
    assert seen.width_px > 390 and "width:700px" in seen.sticking_out
    assert any("Content Security Policy" in line for line in seen.console)
