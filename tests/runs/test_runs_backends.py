"""The store on SQLite and on PostgreSQL: what must hold on both, and what servers do to us."""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from postgres_server import GUARDED, Server
from sqlalchemy import Engine, insert

from robocache.core.errors import (
    ConfigError,
    MissingDependencyError,
    PromotionRefused,
    StorageError,
    StoreError,
)
from robocache.runs import (
    Ledger,
    LedgerRow,
    Registry,
    RunStore,
    check_store,
    checkpoint_folder,
    open_database,
    tables,
)
from robocache.runs.database import DATABASE_VARIABLE, reading, writing

CONFIG = {"trainer": {"lr": 0.1}, "name": "Zürich – 触る"}
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["alembic.command", "test_runs_backends"])


def row(key: str, content: str = "0") -> LedgerRow:
    return LedgerRow(key, f"{content}.parquet", content * 64, seed=2**62 + 1, details={"a": [None]})


def policy(content: str):
    return lambda folder: (folder / "policy").write_text(content)


def test_the_steps_make_the_tables(database: str) -> None:
    engine = open_database()
    with reading(engine) as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []
        assert connection.dialect.name == database


def test_a_run_from_begin_to_end(database: str) -> None:
    store = RunStore()
    run = store.begin("train", CONFIG, name="demo", seeds=[1], datasets={"d": "ff"})
    run.interrupt()
    run = RunStore().begin("train", CONFIG, name="demo", seeds=[1], datasets={"d": "ff"})
    assert run.resumed
    path = checkpoint_folder(run.folder, 1)
    sha256 = store.write_checkpoint(run, path, 1, policy("1"))
    run.finish({"loss": 0.5, "worst": float("nan"), "none": None})
    record = store.get("demo")
    assert (record.status, record.config, record.number) == ("complete", CONFIG, 1)
    assert record.metrics["loss"] == 0.5
    assert str(record.metrics["worst"]) == "nan"
    assert record.inputs == {"parents": [], "seeds": [1], "datasets": {"d": "ff"}}
    assert store.begin("train", CONFIG, name="demo", seeds=[1], datasets={"d": "ff"}).complete
    assert store.find_checkpoint(sha256[:8]) == path
    assert store.maker(sha256).id == "demo"
    store.tag("demo", add=["b", "a"])
    store.tag("demo", add=["a"], remove=["b"])
    store.note("demo", "über")
    assert [(r.tags, r.note) for r in store.runs(tag="a")] == [(("a",), "über")]
    store.begin("train", {}, name="Demo").finish({})
    assert [r.id for r in store.runs(name="d*")] == ["demo"]
    assert [r.id for r in store.runs(newest=1)] == ["Demo"]
    assert store.count() == 2
    assert list(check_store(store.engine)) == []


def test_the_ledger(database: str) -> None:
    ledger = Ledger(open_database(), "demo")
    rows = [row("b"), row("a"), row("ä"), row("B")]
    assert ledger.commit(rows) == []
    assert ledger.rows() == sorted(rows, key=lambda r: r.key)  # not by the rules of a language
    assert ledger.commit([rows[0], row("c"), row("c")]) == [rows[0], row("c")]
    with pytest.raises(StoreError, match="nondeterminism: episode 'a'"):
        ledger.commit([row("new"), row("a", "1")])
    assert ledger.keys() == {"a", "b", "c", "ä", "B", "new"}
    assert [(c["key"], c["shard"]) for c in ledger.conflicts()] == [("a", "1.parquet")]
    assert ledger.commit([row(str(n)) for n in range(1500)]) == []


def test_verdicts_and_slots(database: str) -> None:
    store = RunStore()
    registry = Registry(store.engine)
    rule = registry.declare("prod", {"floor": 0.5}, who="me")
    run = store.begin("train", CONFIG, name="demo")
    paths = [checkpoint_folder(run.folder, n) for n in (1, 2)]
    a, b = (store.write_checkpoint(run, path, n, policy(str(n))) for n, path in enumerate(paths))
    run.finish({})
    first = registry.add_verdict(a, "", "accepted", numbers={}, plan={}, rule=rule.sha256)
    assert registry.add_verdict(a, "", "accepted", numbers={}, plan={}, rule=rule.sha256) == first
    registry.promote("prod", paths[0], first, who="me")
    second = registry.add_verdict(b, a, "accepted", numbers={}, plan={}, rule=rule.sha256)
    assert registry.promote("prod", paths[1], second, who="me").version == 2
    with pytest.raises(PromotionRefused, match="holds slot 'prod' already"):
        registry.promote("prod", paths[1], second, who="me")
    assert registry.rollback("prod", "me").checkpoint == a
    assert [move.kind for move in registry.history("prod")] == ["promote", "promote", "rollback"]
    assert list(check_store(store.engine)) == []


def open_and_commit(own: str, variables: dict[str, str], barrier: object) -> None:
    os.environ.update(variables)
    barrier.wait()  # type: ignore[attr-defined]
    ledger = Ledger(open_database(), "shared")
    for n in range(10):
        ledger.commit([row(f"{own}-{n}"), row(f"both-{n}")])


def test_two_processes_open_a_fresh_database(database: str, home: Path) -> None:
    barrier = CONTEXT.Barrier(2)
    names = ("ROBOCACHE_HOME", DATABASE_VARIABLE)
    variables = {name: os.environ[name] for name in names if name in os.environ}
    workers = [
        CONTEXT.Process(target=open_and_commit, args=(name, variables, barrier)) for name in "ab"
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    rows = Ledger(open_database(), "shared").rows()
    assert [r.key for r in rows] == sorted(
        f"{own}-{n}" for own in ("a", "b", "both") for n in range(10)
    )


def test_a_writer_waits_and_a_reader_does_not(database: str) -> None:
    engine = open_database(busy_timeout_s=0.05)
    ledger = Ledger(engine, "demo")
    with writing(open_database()) as held:
        held.exec_driver_sql("UPDATE runs SET note = 'mine'")
        with pytest.raises(StoreError, match="is locked by another process"):
            ledger.commit([row("a")])
        assert ledger.keys() == set()
    ledger.commit([row("a")])
    assert ledger.keys() == {"a"}


def test_a_reading_transaction_sees_one_state(database: str) -> None:
    engine = open_database()
    ledger = Ledger(engine, "demo")
    count = "SELECT count(*) FROM episodes"
    with reading(engine) as connection:
        assert connection.exec_driver_sql(count).scalar() == 0
        ledger.commit([row("a")])
        assert connection.exec_driver_sql(count).scalar() == 0
    with reading(engine) as connection:
        assert connection.exec_driver_sql(count).scalar() == 1


def insert_and_fail(engine: Engine) -> None:
    with writing(engine) as connection:
        connection.exec_driver_sql("INSERT INTO conflicts VALUES (1, 'c', 'k', 's', 'h', 0, 'now')")
        raise ZeroDivisionError


def test_an_error_undoes_the_whole_transaction(database: str) -> None:
    engine = open_database()
    with pytest.raises(ZeroDivisionError):
        insert_and_fail(engine)
    assert Ledger(engine, "c").conflicts() == []


def test_a_newer_schema_and_another_program_are_refused(database: str) -> None:
    engine = open_database()
    with writing(engine) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match=r"schema '9999'.*upgrade robocache"):
        open_database()
    with writing(engine) as connection:
        connection.exec_driver_sql("DROP TABLE alembic_version")
    with pytest.raises(StoreError, match="database of another program"):
        open_database()


def test_a_server_that_is_down(postgres: Server) -> None:
    url = postgres.new_database()
    ledger = Ledger(open_database(url), "demo")
    ledger.commit([row("a")])
    postgres.stop()
    try:
        for attempt in (lambda: open_database(url), ledger.keys, lambda: ledger.commit([row("b")])):
            with pytest.raises(StoreError, match="check that the server is up"):
                attempt()
    finally:
        postgres.start()
    assert ledger.keys() == {"a"}  # nothing to reconnect by hand
    ledger.commit([row("b")])


def insert_while_it_restarts(server: Server, engine: Engine) -> None:
    with writing(engine) as connection:
        connection.execute(insert(tables.conflicts), conflict(1))
        server.stop()
        server.start()
        connection.execute(insert(tables.conflicts), conflict(2))


def conflict(number: int) -> dict[str, object]:
    texts = dict.fromkeys(("collection", "key", "shard", "sha256", "created"), "c")
    return {"id": number, "attempt": 0, **texts}


def test_a_server_that_goes_down_in_a_transaction(postgres: Server) -> None:
    engine = open_database(postgres.new_database())
    with pytest.raises(StoreError, match="check that the server is up"):
        insert_while_it_restarts(postgres, engine)
    assert Ledger(engine, "c").conflicts() == []


def test_what_a_server_refuses(postgres: Server) -> None:
    with pytest.raises(StoreError, match=r"password and name of the database.*does not exist"):
        open_database(postgres.url("nothing"))
    with pytest.raises(StoreError, match=r"\"stranger\" does not exist"):
        open_database(postgres.url("postgres", user="stranger"))
    postgres.execute(f"CREATE DATABASE {GUARDED}")
    postgres.execute("CREATE ROLE reader LOGIN PASSWORD 'right'")
    url = postgres.url(GUARDED, user="reader:secret-word")
    with pytest.raises(StoreError, match="password authentication failed") as raised:
        open_database(url)
    assert "secret-word" not in str(raised.value)
    with pytest.raises(StoreError, match="the user, password"):
        open_database(postgres.url(GUARDED, user="reader"))


def test_a_server_that_may_only_be_read(postgres: Server) -> None:
    url = postgres.new_database()
    ledger = Ledger(open_database(url), "demo")
    name = url.split("/")[3].split("?")[0]
    postgres.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with pytest.raises(StorageError, match="cannot write the run database"):
        ledger.commit([row("a")])
    assert ledger.keys() == set()


def test_a_text_that_is_too_long_is_typed(postgres: Server) -> None:
    ledger = Ledger(open_database(postgres.new_database()), "demo")
    with pytest.raises(ConfigError, match="too long for the run database"):
        ledger.commit([row("k" * 300)])
    assert ledger.keys() == set()


def test_the_driver_is_named_when_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingDependencyError, match=r"robocache\[postgres\]"):
        open_database("postgresql://me@/runs")
