"""Removing runs: with all they have, and never what something else rests on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from removal_scenes import (
    collected,
    content,
    evaluated,
    garbage,
    ids,
    no_packages,
    problems,
    promoted,
    save,
    store,
    trained,
    write_episodes,
)
from sqlalchemy import select

from robocache.core.errors import ConfigError, RunError, StoreError
from robocache.runs import (
    Ledger,
    RunStore,
    checkpoint_folder,
    removal,
    runs_folder,
)
from robocache.runs.database import reading
from robocache.runs.removal import remove_runs, weigh_runs
from robocache.runs.tables import checkpoints, episodes, tags

__all__ = ["no_packages", "store"]


def test_a_run_goes_with_all_it_has(store: RunStore, home: Path) -> None:
    trained(store, "other")
    kept = content(runs_folder())
    run = store.begin("train", {}, name="doomed")
    write_episodes(store, run)
    save(store, run, 1)
    run.finish({"loss": 1.0})
    store.tag("doomed", add=["old"])
    size = sum(path.stat().st_size for path in run.folder.rglob("*") if path.is_file())
    assert weigh_runs(store.engine, ["doomed"]) == {"doomed": size}
    assert run.folder.is_dir()

    remove_runs(store.engine, ["doomed"])
    assert ids(store) == ["other"]
    assert sorted(path.name for path in runs_folder().iterdir()) == ["other"]
    assert content(runs_folder()) == kept
    with reading(store.engine) as connection:
        assert connection.execute(select(episodes)).all() == []
        assert connection.execute(select(tags)).all() == []
        owners = set(connection.scalars(select(checkpoints.c.run_id)))
    assert owners == {"other"}
    assert problems(store) == []
    with pytest.raises(ConfigError, match="unknown run 'doomed'"):
        remove_runs(store.engine, ["doomed"])

    again = store.begin("train", {"another": "configuration"}, name="doomed")
    assert not again.resumed
    assert Ledger(store.engine, "doomed").keys() == set()
    again.interrupt()


def test_what_depends_on_a_run_is_named(database: str, store: RunStore) -> None:
    fingerprint = collected(store)
    first, *_, last = trained(store, data=fingerprint)
    trained(store, "finer", parents=[first], steps=1)
    evaluated(store, last, "judged")
    promoted(store, last, "judged")
    before = content(runs_folder())
    for name, reasons in {
        "data": ["run 'policy' builds on it"],
        "policy": [
            rf"its checkpoint {last[:12]} was promoted \(slot 'live', version 1\)",
            "run 'finer' builds on it",
            "run 'judged' builds on it",
        ],
        "judged": ["it is the evidence of slot 'live', version 1"],
    }.items():
        for reason in reasons:
            with pytest.raises(RunError, match=f"run '{name}' stays: .*{reason}"):
                remove_runs(store.engine, [name])
        with pytest.raises(RunError, match="stays"):
            weigh_runs(store.engine, [name])
    with pytest.raises(RunError, match="'data' stays"):
        remove_runs(store.engine, ["finer", "data"])
    assert content(runs_folder()) == before
    assert ids(store) == ["data", "policy", "finer", "judged"]
    remove_runs(store.engine, ["finer"])
    assert ids(store) == ["data", "policy", "judged"]


def test_the_loser_of_a_promotion_stays_too(store: RunStore) -> None:
    (old,) = trained(store, "old", steps=1)
    (new,) = trained(store, "new", steps=1)
    promoted(store, old, evaluated(store, old, "judged-old"))
    promoted(store, new, evaluated(store, new, "judged-new"))
    for name in ("old", "new", "judged-old", "judged-new"):
        with pytest.raises(RunError, match="slot 'live', version"):
            remove_runs(store.engine, [name])


def test_runs_that_go_together(store: RunStore) -> None:
    fingerprint = collected(store)
    *_, last = trained(store, data=fingerprint)
    evaluated(store, last, "judged")
    remove_runs(store.engine, ["data", "judged", "policy"])
    assert ids(store) == []
    assert list(runs_folder().iterdir()) == []


def test_a_run_that_is_executed_stays(store: RunStore) -> None:
    run = store.begin("train", {}, name="busy")
    save(store, run, 1)
    for call in (weigh_runs, remove_runs):
        with pytest.raises(StoreError, match=rf"'busy' is being executed .*process {os.getpid()}"):
            call(store.engine, ["busy"])
    found = garbage(store, 400, interrupted_after_days=0.0, keep_checkpoints=1)
    assert found.removals == []
    run.interrupt()
    remove_runs(store.engine, ["busy"])
    assert ids(store) == []


def test_a_checkpoint_that_two_runs_have_is_still_found(store: RunStore) -> None:
    def write(folder: Path) -> None:
        (folder / "policy").write_text("the same")

    for name in ("one", "two"):
        run = store.begin("train", {"lr": 1}, name=name)
        sha256 = store.write_checkpoint(run, checkpoint_folder(run.folder, 1), 1, write)
        run.finish({})
    remove_runs(store.engine, ["one"])
    assert store.find_checkpoint(sha256) == checkpoint_folder(runs_folder() / "two", 1)
    maker = store.maker(sha256)
    assert maker is not None and maker.id == "two"


def test_a_promotion_in_between_is_seen(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What depends on a run is looked at again in the transaction that removes it."""
    (sha256,) = trained(store, steps=1)
    whole = removal.held

    def promoted_first(record: Any) -> Any:
        promoted(store, sha256, "policy")
        return whole(record)

    monkeypatch.setattr(removal, "held", promoted_first)
    with pytest.raises(RunError, match="was promoted"):
        remove_runs(store.engine, ["policy"])
    assert store.find_checkpoint("slot:live").is_dir()
    assert store.get("policy").status == "complete"
