"""What is to go, when, and what stays whatever its age."""

from __future__ import annotations

import multiprocessing
import os
import secrets
from typing import Any

import pytest
from removal_scenes import (
    checkpoint_of,
    clear,
    collected,
    evaluated,
    garbage,
    going,
    ids,
    later,
    no_packages,
    problems,
    promoted,
    save,
    store,
    trained,
    write_episodes,
)
from sqlalchemy import select, update

from robocache.core.errors import ConfigError, RunError, StoreError
from robocache.runs import (
    Ledger,
    Registry,
    RunStore,
    checkpoint_folder,
    read_manifest,
    runs_folder,
)
from robocache.runs.database import reading, writing
from robocache.runs.removal import remove_runs
from robocache.runs.retention import RetentionPolicy
from robocache.runs.tables import checkpoints, runs

__all__ = ["no_packages", "store"]

CONTEXT = multiprocessing.get_context("forkserver")


def test_checkpoints(store: RunStore) -> None:
    hashes = trained(store, steps=7)
    evaluated(store, hashes[0], "judged")
    promoted(store, hashes[0], "judged")
    Registry(store.engine).add_verdict(
        hashes[1], hashes[6], "rejected", numbers={}, plan={}, evidence={}
    )
    trained(store, "finer", parents=[hashes[2]], steps=1)
    assert going(garbage(store)) == []
    found = garbage(store, keep_checkpoints=2)
    assert going(found) == ["checkpoint 4 of policy", "checkpoint 5 of policy"]
    assert all(removal.bytes > 100 for removal in found.removals)
    clear(found)
    left = sorted(path.name for path in (runs_folder() / "policy" / "checkpoints").iterdir())
    assert left == [f"step-0000000{step}" for step in (1, 2, 3, 6, 7)]
    with reading(store.engine) as connection:
        query = select(checkpoints.c.sha256).where(checkpoints.c.run_id == "policy")
        assert set(connection.scalars(query)) == {*hashes[:3], *hashes[5:]}
    assert set(store.get("policy").removed) == {
        "checkpoints/step-00000004/SHA256",
        "checkpoints/step-00000005/SHA256",
    }
    assert problems(store) == []
    assert garbage(store, keep_checkpoints=2).removals == []


def test_a_checkpoint_that_is_judged_meanwhile_stays(store: RunStore) -> None:
    hashes = trained(store, steps=3)
    found = garbage(store, keep_checkpoints=1)
    Registry(store.engine).add_verdict(hashes[0], "", "rejected", numbers={}, plan={})
    with pytest.raises(RunError, match=f"{hashes[0][:12]} was judged"):
        found.removals[0].carry_out()
    found.removals[1].carry_out()
    assert store.find_checkpoint("policy@1").is_dir()
    with pytest.raises(Exception, match="no checkpoint at step 2"):
        store.find_checkpoint("policy@2")


def test_runs_that_came_to_nothing(store: RunStore) -> None:
    store.begin("train", {"a": 1}, name="failed").fail("lost the robot")
    store.begin("train", {"a": 2}, name="stopped").interrupt()
    used = store.begin("train", {"a": 3}, name="used")
    sha256 = save(store, used, 1)
    used.interrupt()
    evaluated(store, sha256, "judged")
    trained(store, "whole", steps=1)

    days = {"failed_after_days": 10.0, "interrupted_after_days": 20.0}
    assert going(garbage(store, 9, **days)) == []
    assert going(garbage(store, 11, **days)) == ["run failed"]
    found = garbage(store, 21, **days)
    assert going(found) == ["run stopped", "run failed"]
    assert found.removals[1].why == "failed 21 days ago"
    assert found.kept == ["run used: run 'judged' builds on it"]

    again = store.begin("train", {"a": 1}, name="failed")
    again.finish({})
    with pytest.raises(RunError, match="'failed' was taken up meanwhile"):
        found.removals[1].carry_out()
    found.removals[0].carry_out()
    assert ids(store) == ["failed", "used", "judged", "whole"]

    both = garbage(store, 21, evaluations_after_days=5.0, **days)
    assert going(both) == ["run judged", "run used"], "what builds on others goes first"
    clear(both)
    assert ids(store) == ["failed", "whole"]
    assert problems(store) == []


def test_evaluations(store: RunStore) -> None:
    first, second = trained(store, steps=2)
    promoted(store, first, evaluated(store, first, "evidence"))
    evaluated(store, second, "old")
    assert garbage(store, 1000).removals == []
    found = garbage(store, 31, evaluations_after_days=30.0)
    assert going(found) == ["run old"]
    assert found.kept == ["run evidence: it is the evidence of slot 'live', version 1"]
    clear(found)
    assert ids(store) == ["policy", "evidence"]


def test_datasets(store: RunStore) -> None:
    def fingerprint_of(name: str) -> str:
        return collected(store, name)

    trained(store, "behind", fingerprint_of("promoted"), steps=1)
    (sha256,) = trained(store, "tuned", parents=[checkpoint_of(store, "behind")], steps=1)
    promoted(store, sha256, evaluated(store, sha256, "judged"))
    fingerprint = fingerprint_of("needed")
    store.begin("train", {"name": "later"}, name="later", datasets={"d": fingerprint}).interrupt()
    trained(store, "done", fingerprint_of("old"), steps=1)

    assert garbage(store, 1000).removals == []
    found = garbage(store, 91, datasets_after_days=90.0)
    assert going(found) == ["episodes of old"]
    assert found.kept == [
        "episodes of promoted: what was promoted was made from them",
        "episodes of needed: run later needs them",
    ]
    clear(found)
    record = store.get("old")
    assert not (record.folder / "episodes").exists()
    assert sorted(record.removed) == ["episodes", "episodes/0.parquet", "episodes/1.parquet"]
    assert "fingerprint" in record.metrics and read_manifest(record.folder)["artifacts"]
    assert len(Ledger(store.engine, "old").rows()) == 2
    assert problems(store) == []
    assert garbage(store, 91, datasets_after_days=90.0).removals == []


def test_frames_whose_days_are_over(database: str, store: RunStore) -> None:
    plan = {"frames_purpose": "consent of 4 May", "frames_keep_days": 30.0}
    for name in ("filmed", "unlimited"):
        collected(store, name, plan if name == "filmed" else {"frames_purpose": "x"})
    fingerprint = store.get("filmed").metrics["fingerprint"]
    (sha256,) = trained(store, "seeing", fingerprint, steps=1)
    promoted(store, sha256, evaluated(store, sha256, "watched", plan))
    half = store.begin("collect", {"plan": {**plan, "seed": 1}}, name="half")
    write_episodes(store, half)
    half.interrupt()
    store.begin("train", {}, name="unfinished", datasets={"d": fingerprint}).interrupt()

    assert going(garbage(store, 29)) == []
    found = garbage(store, 31, datasets_after_days=5.0)
    assert going(found) == [
        "run half", "episodes of filmed", "episodes of watched", "episodes of unlimited",
    ]  # fmt: skip
    assert found.removals[0].why == (
        "frames kept for 'consent of 4 May' are over their 30 days, and it is not complete"
    )
    assert found.removals[1].why == (
        "frames kept for 'consent of 4 May' are over their 30 days "
        "(run unfinished cannot go on without them)"
    )
    clear(garbage(store, 31))
    assert "half" not in ids(store)
    for name in ("filmed", "watched"):
        record = store.get(name)
        assert not (record.folder / "episodes").exists()
        assert "episodes/0.parquet" in record.removed
        assert len(Ledger(store.engine, name).rows()) == 2, "the evidence stays"
    assert (runs_folder() / "unlimited" / "episodes").is_dir()
    assert problems(store) == []
    assert garbage(store, 31).removals == []


def test_temporary_files_of_the_dead(store: RunStore) -> None:
    trained(store, steps=1)
    folder = runs_folder() / "policy"
    dead = CONTEXT.Process(target=os.getpid)
    dead.start()
    dead.join()
    names = [
        f".manifest.json.tmp-{process}-{secrets.token_hex(4)}"
        for process in (dead.pid, os.getpid())
    ]
    for name in names:
        (folder / name).write_text("half")
    (folder / ".notes.tmp-mine").write_text("somebody's own")
    found = garbage(store)
    assert going(found) == [f"{names[0]} of run policy"]
    assert found.removals[0].bytes == 4
    clear(found)
    assert not (folder / names[0]).exists() and (folder / names[1]).exists()
    assert garbage(store).removals == []


def test_folders_of_no_run(store: RunStore) -> None:
    trained(store, steps=1)
    (runs_folder() / "stranger").mkdir()
    (runs_folder() / "stranger" / "file").write_text("who knows")
    assert garbage(store, 1000).removals == []
    found = garbage(store, orphans=True)
    assert going(found) == ["folder runs/stranger"]
    run = store.begin("train", {}, name="stranger")
    with pytest.raises(StoreError, match="is being executed"):
        clear(found)
    run.interrupt()
    with pytest.raises(StoreError, match="belongs to a run by now"):
        clear(found)
    remove_runs(store.engine, ["stranger"])
    (runs_folder() / "stranger").mkdir()
    clear(garbage(store, orphans=True))
    assert sorted(path.name for path in runs_folder().iterdir()) == ["policy"]


def test_a_damaged_checkpoint_does_not_stop_the_rest(store: RunStore) -> None:
    trained(store, steps=4)
    listing = checkpoint_folder(runs_folder() / "policy", 1) / "SHA256"
    listing.write_text("nonsense")
    found = garbage(store, keep_checkpoints=2)
    assert going(found) == ["checkpoint 2 of policy"]
    assert found.kept and "is altered" in found.kept[0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"keep_checkpoints": 0},
        {"failed_after_days": -1.0},
        {"datasets_after_days": float("nan")},
        {"evaluations_after_days": float("inf")},
    ],
)
def test_policies_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} must be"):
        RetentionPolicy(**wrong)


def set_times(store: RunStore, run_id: str, started: float, ended: float) -> None:
    """Change what was recorded: days from now."""
    values = {"started": later(started), "ended": later(ended)}
    with writing(store.engine) as connection:
        connection.execute(update(runs).where(runs.c.id == run_id).values(**values))


@pytest.mark.parametrize(
    ("before", "started", "ended", "old"),
    [
        (-50, -40, -40, True),
        (-50, -10, -40, False),  # the clock went back while it was executed
        (-10, -40, -40, False),  # a run before it was begun later
        (-50, 3, 3, False),  # the clock goes back now
        (700, -40, -40, True),  # a run before it was begun by a clock that was ahead
        (700, -40, 700, False),
    ],
)
def test_a_clock_that_went_backwards_makes_nothing_old(
    store: RunStore, before: float, started: float, ended: float, old: bool
) -> None:
    store.begin("train", {"a": 1}, name="before").finish({})
    store.begin("train", {"a": 2}, name="failed").fail("x")
    set_times(store, "before", before, before)
    set_times(store, "failed", started, ended)
    assert (going(garbage(store, failed_after_days=30.0)) == ["run failed"]) is old
