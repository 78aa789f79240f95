"""Runs that build on each other, quickly made, and the garbage among them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from robocache.runs import (
    Ledger,
    LedgerRow,
    Registry,
    Run,
    RunStore,
    atomic_write,
    check_store,
    checkpoint_folder,
    utc_now,
)
from robocache.runs.database import reading
from robocache.runs.retention import Garbage, RetentionPolicy, find_garbage
from robocache.runs.tables import checkpoints

KEEP_ALL = {"keep_checkpoints": None, "failed_after_days": None, "interrupted_after_days": None}


@pytest.fixture(scope="module", autouse=True)
def no_packages() -> Iterator[None]:
    """Listing the installed packages takes longer than all else here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("robocache.runs.manifest.package_versions", dict)
        yield


@pytest.fixture
def store() -> RunStore:
    return RunStore()


def write_episodes(store: RunStore, run: Run, count: int = 2) -> None:
    ledger = Ledger(store.engine, run.id)
    for number in range(count):
        content = f"{run.id} {number}".encode() * 100
        shard = run.folder / "episodes" / f"{number}.parquet"
        atomic_write(shard, content)
        ledger.commit([LedgerRow(f"{run.id}/{number}", shard.name, f"{number:064}", True, 1)])


def collected(store: RunStore, name: str = "data", plan: dict[str, Any] | None = None) -> str:
    """A complete collection; its fingerprint."""
    run = store.begin("collect", {"plan": plan or {}}, name=name)
    write_episodes(store, run)
    fingerprint = Ledger(store.engine, run.id).fingerprint()
    run.finish({"fingerprint": fingerprint})
    return fingerprint


def trained(
    store: RunStore,
    name: str = "policy",
    data: str = "",
    steps: int = 5,
    parents: Iterable[str] = (),
) -> list[str]:
    """A complete training run; the hashes of its checkpoints."""
    run = store.begin(
        "train", {"name": name}, name=name, datasets={"data": data}, parents=list(parents)
    )
    hashes = [save(store, run, step) for step in range(1, steps + 1)]
    run.finish({})
    return hashes


def save(store: RunStore, run: Run, step: int) -> str:
    def write(folder: Path) -> None:
        (folder / "policy").write_text(f"{run.id} {step}" * 50)

    return store.write_checkpoint(run, checkpoint_folder(run.folder, step), step, write)


def evaluated(store: RunStore, sha256: str, name: str, plan: dict[str, Any] | None = None) -> str:
    run = store.begin("eval", {"policy": sha256, "plan": plan or {}}, name=name, parents=[sha256])
    write_episodes(store, run)
    run.finish({"fingerprint": Ledger(store.engine, run.id).fingerprint()})
    return name


def promoted(store: RunStore, candidate: str, evidence: str) -> None:
    """The checkpoint holds the slot "live", on what the run `evidence` says."""
    registry = Registry(store.engine)
    rule = registry.declare("live", {"floor": 0.5}, who="test")
    holder = registry.holder("live")
    verdict = registry.add_verdict(
        candidate, holder.checkpoint if holder else "", "accepted", numbers={}, plan={},
        evidence={"candidate": {"run": evidence, "ledger": store.get(evidence).ledger}},
        rule=rule.sha256,
    )  # fmt: skip
    registry.promote("live", store.find_checkpoint(candidate), verdict, who="test")


def later(days: float) -> str:
    return (datetime.fromisoformat(utc_now()) + timedelta(days=days)).isoformat()


def garbage(store: RunStore, days: float = 0.0, **policy: Any) -> Garbage:
    policy = RetentionPolicy(**{**KEEP_ALL, **policy})
    return find_garbage(store.engine, policy, later(days))


def going(found: Garbage) -> list[str]:
    return [removal.what for removal in found.removals]


def clear(found: Garbage) -> None:
    for one in found.removals:
        one.carry_out()


def ids(store: RunStore) -> list[str]:
    return [record.id for record in store.runs()]


def problems(store: RunStore) -> list[str]:
    return [str(problem) for problem in check_store(store.engine)]


def content(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != "lock"}


def checkpoint_of(store: RunStore, run_id: str) -> str:
    with reading(store.engine) as connection:
        query = select(checkpoints.c.sha256).where(checkpoints.c.run_id == run_id)
        return connection.scalars(query).one()
