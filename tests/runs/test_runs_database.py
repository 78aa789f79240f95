from __future__ import annotations

import multiprocessing
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

import robocache.runs
from robocache.core.errors import ConfigError, StorageError, StoreError
from robocache.runs import (
    Ledger,
    LedgerRow,
    RunStore,
    database,
    database_path,
    home,
    open_database,
)
from robocache.runs.database import reading, writing
from robocache.runs.lock import is_locked
from robocache.runs.tables import SCHEMA, metadata

MIGRATIONS = Path(robocache.runs.__file__).parent / "migrations"


def migrations_config(folder: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(folder))
    return config


def change(statement: str) -> None:
    raw = sqlite3.connect(database_path())
    with raw:
        raw.execute(statement)
    raw.close()


def test_pragmas() -> None:
    engine = open_database()
    with reading(engine) as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,  # FULL
        "foreign_keys": 1,
        "busy_timeout": 30_000,
    }


def test_the_steps_make_the_tables() -> None:
    script = ScriptDirectory.from_config(migrations_config(MIGRATIONS))
    assert script.get_current_head() == SCHEMA
    with reading(open_database()) as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_new_step_can_be_written_from_the_template(tmp_path: Path) -> None:
    from alembic import command

    folder = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    step = command.revision(migrations_config(folder), "more", rev_id="0003", head="0002")
    text = Path(step.path).read_text()
    compile(text, step.path, "exec")
    assert "down_revision = '0002'" in text


def test_opening_again_does_not_import_alembic() -> None:
    open_database()
    code = (
        "import sys; from robocache.runs import RunStore; RunStore().runs();"
        "sys.exit('alembic' in sys.modules or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=dict(os.environ), check=False)
    assert done.returncode == 0


def test_an_empty_file_is_a_new_database() -> None:
    home().mkdir()
    database_path().touch()
    assert Ledger(open_database(), "a").keys() == set()


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"x"])
def test_garbage_is_refused(content: bytes) -> None:
    home().mkdir()
    database_path().write_bytes(content)
    with pytest.raises(StoreError, match=r"damaged.*backup") as raised:
        open_database()
    assert str(database_path()) in str(raised.value)
    assert database_path().read_bytes() == content


def test_a_damaged_page_is_refused() -> None:
    engine = open_database()
    ledger = Ledger(engine, "a")
    ledger.commit([LedgerRow(str(n), "s", "0" * 64) for n in range(500)])
    data = bytearray(database_path().read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    database_path().write_bytes(data)
    with pytest.raises(StoreError, match="damaged"):
        ledger.rows()


def test_a_newer_schema_is_refused() -> None:
    open_database()
    change("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match=r"schema '9999'.*knows up to '0002'.*upgrade robocache"):
        open_database()


def test_a_database_of_another_program_is_left_alone() -> None:
    home().mkdir()
    change("CREATE TABLE runs (x)")
    before = database_path().read_bytes()
    with pytest.raises(StoreError, match="another program"):
        open_database()
    assert database_path().read_bytes() == before


def test_a_locked_database_says_so() -> None:
    ledger = Ledger(open_database(busy_timeout_s=0.05), "a")
    raw = sqlite3.connect(database_path(), isolation_level=None)
    raw.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked by another process") as raised:
        ledger.commit([LedgerRow("a", "s", "0" * 64)])
    assert str(database_path()) in str(raised.value)
    assert ledger.keys() == set()  # readers are not locked out
    raw.execute("ROLLBACK")
    raw.close()
    ledger.commit([LedgerRow("a", "s", "0" * 64)])
    assert ledger.keys() == {"a"}


def fill(engine: Engine) -> None:
    """Write more than the file may grow."""
    with writing(engine) as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        for n in range(100):
            connection.exec_driver_sql(
                "INSERT INTO conflicts VALUES (?, 'c', 'k', 's', ?, 0, 'now')", (n, "x" * 4000)
            )


def test_a_full_database_is_typed() -> None:
    engine = open_database()
    with pytest.raises(StorageError, match="disk has space"):
        fill(engine)
    with reading(engine) as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM conflicts").scalar() == 0


def test_a_place_that_is_a_folder_is_typed() -> None:
    database_path().mkdir(parents=True)
    with pytest.raises(StorageError, match="cannot write the run database"):
        open_database()


@pytest.mark.parametrize("url", ["mysql://host/name", "sqlite://", "nonsense"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="sqlite:///<path> or postgresql://"):
        open_database(url)


def test_a_password_in_a_url_is_not_shown() -> None:
    with pytest.raises(ConfigError) as raised:
        open_database("mysql://me:secret-word@host/name")
    assert "secret-word" not in str(raised.value)


def test_a_url_names_the_file(tmp_path: Path) -> None:
    open_database(f"sqlite:///{tmp_path}/else where.db")
    assert (tmp_path / "else where.db").is_file()
    assert not database_path().exists()


def test_the_home_can_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = RunStore()
    run = store.begin("train", {}, name="demo")
    path = run.folder / "checkpoints" / "step-00000001"
    sha256 = store.write_checkpoint(run, path, 1, lambda f: (f / "policy").touch())
    run.finish({})
    relative = path.relative_to(home())
    moved = tmp_path / "moved"
    home().rename(moved)
    monkeypatch.setenv("ROBOCACHE_HOME", str(moved))
    assert RunStore().get("demo").folder == moved / "runs" / "demo"
    assert RunStore().find_checkpoint(sha256[:8]) == moved / relative


def test_only_one_process_prepares_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    lock = database_path().with_name("robocache.db.lock")
    switch = database._use_write_ahead_log
    locked: list[bool] = []

    def noted(engine: Engine, path: Path) -> None:
        locked.append(is_locked(lock))
        switch(engine, path)

    monkeypatch.setattr(database, "_use_write_ahead_log", noted)
    open_database()
    assert locked == [True]
    assert not is_locked(lock)
    open_database()
    assert locked == [True]  # nothing to prepare


def open_and_commit(own: str, folder: str, barrier: object) -> None:
    os.environ["ROBOCACHE_HOME"] = folder
    barrier.wait()  # type: ignore[attr-defined]
    ledger = Ledger(open_database(), "shared")
    for n in range(20):
        ledger.commit(
            [LedgerRow(f"{own}-{n}", own, "0" * 64), LedgerRow(f"both-{n}", own, "1" * 64)]
        )


def test_two_processes_share_a_fresh_home() -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    workers = [
        context.Process(target=open_and_commit, args=(name, str(home()), barrier)) for name in "ab"
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    rows = Ledger(open_database(), "shared").rows()
    assert sorted(row.key for row in rows) == sorted(
        f"{own}-{n}" for own in ("a", "b", "both") for n in range(20)
    )
