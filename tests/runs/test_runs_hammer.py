"""Two processes hammer one store; afterwards every row is there, once, and they are counted."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import time
from collections import Counter
from itertools import pairwise
from multiprocessing.queues import Queue
from pathlib import Path

import pytest

from robocache.core.errors import PromotionRefused, StoreError
from robocache.runs import (
    Ledger,
    LedgerRow,
    Registry,
    RunStore,
    check_store,
    checkpoint_folder,
    commit_checkpoint,
    runs_folder,
)
from robocache.runs.database import DATABASE_VARIABLE, reading
from robocache.runs.tables import conflicts, episodes

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["test_runs_hammer", "alembic.command"])
RULE = {"floor": 0.5}
SHARED_KEYS = 100
CANDIDATES = 6
ROUNDS = 5
"""Rounds of each process in the short version."""
MINUTE_S = 60.0


class Hammer:
    """One process: every round a run, two commits, a verdict and an attempt at the slot."""

    def __init__(self, own: str, seed: int) -> None:
        self.own = own
        self.store = RunStore()
        self.registry = Registry(self.store.engine)
        self.ledger = Ledger(self.store.engine, "shared")
        self.random = random.Random(seed)
        self.counts: Counter[str] = Counter()

    def round(self, n: int) -> None:
        self.run(n)
        self.commit_shared(n)
        self.commit_other_content(n)
        self.move_slot()

    def run(self, n: int) -> None:
        run = self.store.begin("train", {"own": self.own, "n": n}, name=f"{self.own}-{n}")
        run.log_metrics(1, loss=float(n))
        rows = [row(f"{n}-{k}", f"{self.own}.parquet", "x") for k in range(3)]
        assert Ledger(self.store.engine, run.id).commit(rows) == []
        path = checkpoint_folder(run.folder, 1)
        self.store.write_checkpoint(run, path, 1, lambda f: write(f, f"{self.own}-{n}"))
        self.store.tag(run.id, add=["hammered", self.own])
        run.finish({"n": n})
        self.counts["runs"] += 1

    def commit_shared(self, n: int) -> None:
        """Keys that the other process commits as well: each is inserted by one of the two."""
        keys = {f"s{self.random.randrange(SHARED_KEYS)}" for _ in range(20)}
        rows = [row(key, f"{self.own}-{n}.parquet", key) for key in keys]
        taken = self.ledger.commit(rows)
        self.counts["rows"] += len(rows) - len(taken)
        self.counts["taken"] += len(taken)

    def commit_other_content(self, n: int) -> None:
        key = f"c{self.random.randrange(5)}"
        try:
            taken = self.ledger.commit([row(key, "c.parquet", f"{self.own}{n}")])
        except StoreError as error:
            assert "nondeterminism" in str(error)  # noqa: PT017
            self.counts["conflicts"] += 1
        else:
            assert taken == []
            self.counts["rows"] += 1

    def move_slot(self) -> None:
        paths = [folder() / str(n) for n in range(CANDIDATES)]
        candidate = self.random.choice(paths)
        holder = self.registry.holder("prod")
        verdict = self.registry.add_verdict(
            commit_checkpoint(lambda f: write(f, candidate.name), candidate),
            holder.checkpoint if holder else "",
            "accepted",
            numbers={"draw": self.random.random()},
            plan=RULE,
            rule=self.registry.rule("prod").sha256,
        )
        self.counts["verdicts"] += 1
        try:
            self.registry.promote("prod", candidate, verdict, who=self.own)
            self.counts["moves"] += 1
            if self.random.random() < 0.3:
                self.registry.rollback("prod", self.own)
                self.counts["moves"] += 1
        except PromotionRefused:
            self.counts["refused"] += 1


def row(key: str, shard: str, content: str) -> LedgerRow:
    return LedgerRow(key, shard, hashlib.sha256(content.encode()).hexdigest(), success=True)


def write(into: Path, content: str) -> None:
    (into / "policy").write_text(content)


def folder() -> Path:
    return runs_folder().parent / "candidates"


def hammer(
    own: str, variables: dict[str, str], seconds: float | None, barrier: object, said: Queue
) -> None:
    os.environ.update(variables)
    barrier.wait()  # type: ignore[attr-defined]
    worker = Hammer(own, seed=ord(own))
    end_s = time.monotonic() + (seconds or 0.0)
    n = 0
    while n < ROUNDS if seconds is None else time.monotonic() < end_s:
        worker.round(n)
        n += 1
    said.put(dict(worker.counts))


def hammered(seconds: float | None) -> Counter[str]:
    """Two processes on a fresh store; what they say they did."""
    store = RunStore()
    Registry(store.engine).declare("prod", RULE, who="test")
    for n in range(CANDIDATES):
        commit_checkpoint(lambda f, n=n: write(f, str(n)), folder() / str(n))
    names = ("ROBOCACHE_HOME", DATABASE_VARIABLE)
    variables = {name: os.environ[name] for name in names if name in os.environ}
    barrier, said = CONTEXT.Barrier(2), CONTEXT.Queue()
    processes = [
        CONTEXT.Process(target=hammer, args=(own, variables, seconds, barrier, said))
        for own in "ab"
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    return Counter(said.get()) + Counter(said.get())


def assert_nothing_lost_or_doubled(counts: Counter[str]) -> None:
    store = RunStore()
    known = store.runs()
    assert [record.number for record in known] == list(range(1, counts["runs"] + 1))
    assert {record.status for record in known} == {"complete"}
    assert len({record.id for record in known}) == counts["runs"]
    assert len(store.runs(tag="hammered")) == counts["runs"]
    shared = Ledger(store.engine, "shared").rows()
    assert len(shared) == len({r.key for r in shared}) == counts["rows"]
    for r in shared:
        if r.key.startswith("s"):
            assert r.sha256 == row(r.key, "", r.key).sha256
    with reading(store.engine) as connection:
        count = f"SELECT count(*) FROM {episodes.name}"
        assert connection.exec_driver_sql(count).scalar() == counts["rows"] + 3 * counts["runs"]
        count = f"SELECT count(*) FROM {conflicts.name}"
        assert connection.exec_driver_sql(count).scalar() == counts["conflicts"]
        count = "SELECT count(*) FROM verdicts"
        assert connection.exec_driver_sql(count).scalar() == counts["verdicts"]
    history = Registry(store.engine).history("prod")
    assert [move.version for move in history] == list(range(1, counts["moves"] + 1))
    for before, after in pairwise(history):
        assert after.previous == before.checkpoint
    assert [str(problem) for problem in check_store(store.engine)] == []


def report(counts: Counter[str], capsys: pytest.CaptureFixture[str], database: str) -> None:
    with capsys.disabled():
        figures = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
        print(f"\nhammered {database}: {figures}")  # noqa: T201


def test_two_processes_on_one_store(
    database: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = hammered(None)
    assert counts["runs"] == 2 * ROUNDS
    assert min(counts[what] for what in ("rows", "taken", "conflicts", "verdicts", "moves")) > 0
    assert_nothing_lost_or_doubled(counts)
    report(counts, capsys, database)


@pytest.mark.stress
def test_two_processes_on_one_store_for_a_minute(
    database: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = hammered(MINUTE_S)
    kinds = ("runs", "rows", "taken", "conflicts", "verdicts", "moves", "refused")
    assert min(counts[what] for what in kinds) > 0
    assert_nothing_lost_or_doubled(counts)
    report(counts, capsys, database)
