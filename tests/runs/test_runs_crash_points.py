"""Killed at every named place once, then run again: the same result, and nothing left over."""

from __future__ import annotations

import multiprocessing
import sqlite3
from pathlib import Path

import pytest
from runs_scenario import EPISODES, road

from robocache.core.errors import ConfigError
from robocache.runs import CRASH_POINTS, crash_point, register_crash_point
from robocache.runs.removal import REMOVAL_POINTS

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["runs_scenario", "alembic.command"])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    home = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROBOCACHE_HOME", str(home))
        return road(home)


@pytest.mark.parametrize("point", sorted(CRASH_POINTS.keys() - REMOVAL_POINTS.keys()))
def test_killed_and_run_again(point: str, undisturbed: dict[str, object], home: Path) -> None:
    process = CONTEXT.Process(target=road, args=(home, point))
    process.start()
    process.join()
    assert process.exitcode == 137, f"the process was not killed at {point}"

    assert undisturbed["problems"] == []
    assert road(home) == undisturbed

    with sqlite3.connect(home / "robocache.db") as raw:
        shards = {name for (name,) in raw.execute("SELECT shard FROM episodes")}
        known = {path for (path,) in raw.execute("SELECT path FROM checkpoints")}
    raw.close()
    assert {path.name for path in (home / "datasets" / "demo").iterdir()} == shards
    assert len(shards) == len(EPISODES)
    assert known == {f"runs/demo/checkpoints/step-0000000{step}" for step in (1, 2)}
    assert not list(home.rglob("*.tmp*"))


def test_a_killed_run_counts_as_interrupted(home: Path) -> None:
    process = CONTEXT.Process(target=road, args=(home, "checkpoint-unrecorded"))
    process.start()
    process.join()
    with sqlite3.connect(home / "robocache.db") as raw:
        assert raw.execute("SELECT status FROM runs").fetchall() == [("running",)]
    raw.close()
    from robocache.runs import RunStore

    store = RunStore()
    assert [record.status for record in store.runs()] == ["interrupted"]
    assert store.runs(status="running") == []
    run = store.begin("train", {"lr": 0.1}, name="demo")
    assert run.resumed
    assert store.get("demo").status == "running"
    run.interrupt()


def test_a_crash_point_must_be_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="did you mean 'file-written'"):
        crash_point("file-writen")
    monkeypatch.setattr("robocache.runs.crash.CRASH_POINTS", dict(CRASH_POINTS))
    register_crash_point("shard-half", "half of a shard is written")
    crash_point("shard-half")
