"""Processes killed at random moments and at every crash point: the same bits in the end."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from evidence_road import VERBS, came_of_it

import processes
from robocache.runs import CRASH_POINTS
from robocache.runs.removal import REMOVAL_POINTS

pytestmark = pytest.mark.stress

KILLS = 25
WORKERS = {"collect": "workers=2", "eval": "workers=2"}


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Verb -> a home in which all verbs before it are done; "end": all are."""
    return staged(tmp_path_factory.mktemp("stages"))


def staged(folder: Path) -> dict[str, Path]:
    home = folder / "home"
    home.mkdir(parents=True)
    found = {}
    for verb, arguments in VERBS.items():
        found[verb] = folder / verb
        shutil.copytree(home, found[verb])
        ended = processes.run(arguments, home)
        assert ended.code == 0, ended.output
    shutil.copytree(home, folder / "end")
    return {**found, "end": folder / "end"}


def go_on(verb: str, home: Path) -> dict[str, Any]:
    """Every verb from `verb` on, undisturbed; what came of it."""
    names = list(VERBS)
    for name in names[names.index(verb) :]:
        ended = processes.run(VERBS[name], home)
        again = name == "promote" and "holds slot" in ended.output
        assert ended.code == 0 or again, ended.output
    return came_of_it(home)


def killed_until_done(
    arguments: Sequence[str], home: Path, random_s: Callable[[], float], draws: random.Random
) -> int:
    """Run the command again and again, killing it or one of its workers; how many kills.

    It is given ever more time, so that it comes to an end on a slow machine too.
    """
    kills = 0
    while True:
        process = processes.start(arguments, home)
        process.join(random_s() * (1 + kills / 5))
        if process.exitcode is None:
            children = psutil.Process(process.pid).children(recursive=True)
            if children and draws.random() < 0.3:
                draws.choice(children).kill()
                kills += 1
                process.join(random_s())
            if process.exitcode is None:
                process.kill()
                kills += 1
        process.join()
        if process.exitcode == 0 or "holds slot" in processes.output(home).read_text():
            return kills


@pytest.mark.parametrize(
    ("verb", "parallel", "longest_s"),
    [
        ("collect", False, 1.5),
        ("collect", True, 6.0),
        ("train", False, 1.5),
        ("eval", False, 1.5),
        ("eval", True, 6.0),
        ("promote", False, 0.25),
    ],
)
def test_random_moments(
    verb: str,
    parallel: bool,
    longest_s: float,
    stages: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ROBOCACHE_HOME", "unused")
    draws = random.Random()
    whole = came_of_it(stages["end"])
    arguments = list(VERBS[verb])
    if parallel:
        arguments = [a for a in arguments if not a.startswith("workers=")] + [WORKERS[verb]]
    kills = rounds = 0
    while kills < KILLS:
        assert rounds < 100, f"only {kills} kills in {rounds} rounds"
        home = tmp_path / f"home{rounds}"
        shutil.copytree(stages[verb], home)
        kills += killed_until_done(arguments, home, lambda: draws.uniform(0.02, longest_s), draws)
        rounds += 1
        assert go_on(verb, home) == whole
    with capsys.disabled():
        print(f"\n{verb}: {kills} kills in {rounds} rounds, all with the same end")  # noqa: T201


def test_every_crash_point(
    stages: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ROBOCACHE_HOME", "unused")
    whole = came_of_it(stages["end"])
    crashed: dict[str, list[str]] = {}
    for verb in VERBS:
        for point in CRASH_POINTS:
            home = tmp_path / f"{verb}-{point}"
            shutil.copytree(stages[verb], home)
            ended = processes.run(VERBS[verb], home, variables={"ROBOCACHE_CRASH_AT": point})
            if ended.code != 0:
                assert ended.code == 137, ended.output
                crashed.setdefault(point, []).append(verb)
                assert go_on(verb, home) == whole, f"{verb} killed at {point}"
            shutil.rmtree(home)
    reached = sum(map(len, crashed.values()))
    with capsys.disabled():
        print(f"\n{reached} kills at {len(crashed)} crash points: {crashed}")  # noqa: T201
    unreached = set(CRASH_POINTS) - set(crashed)
    assert unreached <= ELSEWHERE, "a place that no verb of the road comes to"


ELSEWHERE = set(REMOVAL_POINTS)
"""Crash points of verbs that are not on the road; they are tested beside those verbs."""
