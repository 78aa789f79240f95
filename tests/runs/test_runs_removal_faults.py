"""Removals that are killed, or find the disk full."""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from removal_scenes import (
    clear,
    collected,
    content,
    garbage,
    ids,
    no_packages,
    problems,
    save,
    store,
    trained,
    write_episodes,
)
from sqlalchemy import select

from robocache.core.errors import StorageError
from robocache.runs import (
    Ledger,
    RunStore,
    runs_folder,
)
from robocache.runs.crash import CRASH_STATUS, CRASH_VARIABLE
from robocache.runs.database import reading, writing
from robocache.runs.leftovers import leftovers
from robocache.runs.removal import REMOVAL_POINTS, remove_runs, weigh_runs
from robocache.runs.tables import checkpoints, episodes, runs, tags

__all__ = ["no_packages", "store"]

CONTEXT = multiprocessing.get_context("forkserver")


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home as `furnish` makes it."""
    folder = tmp_path_factory.mktemp("pattern") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROBOCACHE_HOME", str(folder))
        patch.chdir(folder.parent)
        furnish(RunStore())
    return folder


@pytest.fixture
def furnished(pattern: Path, home: Path) -> RunStore:
    """The store of a copy of it."""
    shutil.copytree(pattern, home)
    return RunStore()


def furnish(store: RunStore) -> None:
    trained(store, "stays", collected(store, "base"), steps=1)
    plan = {"frames_purpose": "a test", "frames_keep_days": 1.0}
    collected(store, "filmed", plan)
    trained(store, "many", steps=3)
    run = store.begin("train", {}, name="failed")
    write_episodes(store, run)
    save(store, run, 1)
    store.tag("failed", add=["bad"])
    run.fail("x")


def collect_garbage(store: RunStore) -> None:
    clear(garbage(store, 20, failed_after_days=14.0, keep_checkpoints=1))


def die_collecting(home: Path, point: str) -> None:
    os.environ["ROBOCACHE_HOME"] = str(home)
    os.environ[CRASH_VARIABLE] = point
    collect_garbage(RunStore())


def state(store: RunStore) -> dict[str, Any]:
    with reading(store.engine) as connection:
        rows = {
            table.name: connection.execute(select(*columns).order_by(*columns)).all()
            for table, columns in (
                (runs, (runs.c.id, runs.c.status, runs.c.ledger)),
                (episodes, (episodes.c.collection, episodes.c.key)),
                (checkpoints, (checkpoints.c.sha256, checkpoints.c.path)),
                (tags, (tags.c.run_id,)),
            )
        }
    removed = {record.id: sorted(record.removed) for record in store.runs()}
    files = sorted(
        str(path.relative_to(runs_folder())) for path in runs_folder().rglob("*") if path.is_file()
    )
    return {**rows, "removed": removed, "files": files}


@pytest.fixture(scope="module")
def undisturbed(pattern: Path) -> dict[str, Any]:
    """What is left of it when the garbage is collected."""
    folder = pattern.parent / "undisturbed"
    shutil.copytree(pattern, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROBOCACHE_HOME", str(folder))
        store = RunStore()
        collect_garbage(store)
        assert problems(store) == []
        return state(store)


@pytest.mark.parametrize("point", sorted(REMOVAL_POINTS))
def test_killed_and_collected_again(
    furnished: RunStore, home: Path, point: str, undisturbed: dict[str, Any]
) -> None:
    store = furnished
    process = CONTEXT.Process(target=die_collecting, args=(home, point))
    process.start()
    process.join()
    assert process.exitcode == CRASH_STATUS, f"not killed at {point}"
    named = problems(store) + [left.problem for left in leftovers(store.engine)]
    assert named or point == "checkpoint-forgotten", "what is half done is named"
    collect_garbage(store)
    assert state(store) == undisturbed
    assert problems(store) == []
    assert list(leftovers(store.engine)) == []


@pytest.mark.parametrize("point", ["run-condemned", "run-doomed", "run-forgotten"])
def test_killed_and_removed_again(furnished: RunStore, home: Path, point: str) -> None:
    store = furnished
    process = CONTEXT.Process(target=die_collecting, args=(home, point))
    process.start()
    process.join()
    assert set(weigh_runs(store.engine, ["failed"])) == {"failed"}
    remove_runs(store.engine, ["failed"])
    assert ids(store) == ["base", "stays", "filmed", "many"]
    assert problems(store) == []
    assert list(leftovers(store.engine)) == []


@pytest.mark.parametrize("point", ["run-condemned", "run-doomed", "run-forgotten"])
def test_killed_and_begun_again(furnished: RunStore, home: Path, point: str) -> None:
    """The same command takes up what is whole, or begins anew; never a mixture."""
    store = furnished
    process = CONTEXT.Process(target=die_collecting, args=(home, point))
    process.start()
    process.join()
    run = store.begin("train", {}, name="failed")
    whole = point == "run-condemned"
    assert (run.folder / "episodes").is_dir() is whole
    assert Ledger(store.engine, "failed").rows() == [], "rows are made of the shards that are there"
    with reading(store.engine) as connection:
        query = select(checkpoints.c.step).where(checkpoints.c.run_id == "failed")
        assert connection.scalars(query).all() == ([1] if whole else [])
    run.finish({})
    collect_garbage(store)
    assert "failed" in ids(store)
    assert store.get("failed").status == "complete"
    assert problems(store) == []


def refused(times: int, call: Callable[..., Any]) -> Callable[..., Any]:
    """`call`, which from the given time on finds the disk full."""
    left = iter(range(times))

    def full(*arguments: Any, **options: Any) -> Any:
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return call(*arguments, **options)

    return full


@pytest.mark.parametrize("times", [0, 2])
@pytest.mark.parametrize(("place", "name"), [(os, "rename"), (shutil, "rmtree"), (os, "fsync")])
def test_a_full_disk_loses_nothing_that_was_to_stay(
    furnished: RunStore, undisturbed: dict[str, Any], monkeypatch: pytest.MonkeyPatch,
    place: Any, name: str, times: int,
) -> None:  # fmt: skip
    store = furnished
    stay = {name: content(runs_folder() / name) for name in ("base", "stays")}
    with monkeypatch.context() as patch:
        patch.setattr(place, name, refused(times, getattr(place, name)))
        with contextlib.suppress(StorageError):  # any other error fails
            collect_garbage(store)
    assert {name: content(runs_folder() / name) for name in stay} == stay
    collect_garbage(store)
    assert state(store) == undisturbed


@pytest.mark.parametrize("times", [0, 1, 3])
def test_a_database_that_cannot_be_written(
    furnished: RunStore, undisturbed: dict[str, Any], monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    store = furnished
    before = content(runs_folder())

    def no_space(engine: Any) -> Any:
        raise StorageError("the disk is full")

    left = iter(range(times))
    with monkeypatch.context() as patch:
        patch.setattr(
            "robocache.runs.removal.writing",
            lambda engine: no_space(engine) if next(left, None) is None else writing(engine),
        )
        with pytest.raises(StorageError, match="disk is full"):
            collect_garbage(store)
    if times == 0:
        assert content(runs_folder()) == before
    collect_garbage(store)
    assert state(store) == undisturbed
