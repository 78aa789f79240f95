"""The run store's database: one SQLite file, or PostgreSQL, opened, migrated and guarded.

SQLite with write-ahead log, `synchronous=FULL`, foreign keys on. Two kinds of transaction:
`reading`, and `writing`, which takes the write lock at its start, so that it never fails half way
because another process wrote in between.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, NullPool, Table, create_engine, event, inspect, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError, OperationalError, ProgrammingError

from robocache.core.errors import ConfigError, RoboCacheError, StorageError, StoreError
from robocache.runs.crash import crash_point
from robocache.runs.home import database_path
from robocache.runs.lock import FileLock
from robocache.runs.postgres import open_postgres
from robocache.runs.tables import SCHEMA

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql

DATABASE_VARIABLE = "ROBOCACHE_DATABASE"
_BEGIN = "robocache_begin"
_SMALLEST_BYTES = 512


def open_database(url: str | None = None, *, busy_timeout_s: float = 30.0) -> Engine:
    """Open the database, making or upgrading it where needed.

    Args:
        url: `sqlite:///<file>` or `postgresql://<user>@<host>/<database>`; None: what
            `$ROBOCACHE_DATABASE` says, else `robocache.db` in the home.
        busy_timeout_s: seconds to wait for another process's transaction.

    Raises:
        ConfigError: `url` is neither that of an SQLite file nor of PostgreSQL.
        MissingDependencyError: PostgreSQL without its driver.
        StoreError: it is locked, damaged, unreachable, of a newer version or of another program.
        StorageError: the file cannot be created or written.
    """
    url = url or os.environ.get(DATABASE_VARIABLE)
    if url is not None and _parsed(url).get_backend_name() == "postgresql":
        engine = open_postgres(_parsed(url), busy_timeout_s)
        if not _is_current(engine):
            _migrate(engine, place=engine.url.render_as_string())
        return engine
    path = database_path() if url is None else _file_of(url)
    engine = _engine(path, busy_timeout_s)
    if not path.exists() or not _is_current(engine):
        # Two processes that switch a file to the write-ahead log at once are not made to wait by
        # SQLite: one of them is told that the database is locked.
        with FileLock(path.with_name(f"{path.name}.lock")):
            if not path.exists() or not _is_current(engine):
                _refuse_cut_off(path)
                _migrate(engine, place=str(path), prepare=_use_write_ahead_log)
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that sees one state of the database and writes nothing."""
    with engine.begin() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that may write; committed at the end, undone on any error."""
    with engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"}).begin() as connection:
        yield connection


def insert_missing(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """INSERT that leaves rows alone whose key is taken."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    from sqlalchemy.dialects import postgresql  # takes long to import

    return postgresql.insert(table).on_conflict_do_nothing()


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError:
        raise _unknown_url(url) from None


def _file_of(url: str) -> Path:
    parsed = _parsed(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        raise _unknown_url(parsed.render_as_string(hide_password=True))
    return Path(parsed.database).absolute()


def _unknown_url(url: str) -> ConfigError:
    return ConfigError(
        f"database url {url!r} must be sqlite:///<path> or postgresql://<user>@<host>/<database>"
    )


def _engine(path: Path, busy_timeout_s: float) -> Engine:
    url = URL.create("sqlite", database=str(path))
    engine = create_engine(url, connect_args={"timeout": busy_timeout_s}, poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None  # BEGIN is sent below, not by the driver
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        statement = connection.get_execution_options().get(_BEGIN, "BEGIN")
        if statement:
            connection.exec_driver_sql(statement)

    @event.listens_for(engine, "handle_error")
    def explain(context: ExceptionContext) -> None:
        typed = _explained(context.original_exception, path)
        if typed is not None:
            raise typed from context.original_exception

    return engine


def _explained(error: BaseException, path: Path) -> RoboCacheError | None:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreError(
            f"the run database {path} is locked by another process: "
            f"wait until it is done, or end it, then run the same command again ({error})"
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return _damaged(path, str(error))
    if code in (
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_PERM,
    ):
        return StorageError(
            f"cannot write the run database {path}: check that its disk has space and its "
            f"folder is writable ({error})"
        )
    return None


def _damaged(path: Path, reason: str) -> StoreError:
    return StoreError(
        f"the run database {path} is damaged: restore it from a backup, or move it away to start "
        f"an empty one; run folders are not touched ({reason})"
    )


def _is_current(engine: Engine) -> bool:
    """Whether the database is there with the newest schema: one query, no Alembic."""
    try:
        with reading(engine) as connection:
            found = connection.scalar(text("SELECT version_num FROM alembic_version"))
    except (OperationalError, ProgrammingError):  # no such table
        return False
    return bool(found == SCHEMA)


def _migrate(
    engine: Engine, *, place: str, prepare: Callable[[Engine, str], None] | None = None
) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    folder = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", folder.replace("%", "%%"))
    known = {step.revision for step in ScriptDirectory.from_config(config).walk_revisions()}
    with reading(engine) as connection:
        _refuse_foreign(connection, place, known)
    if prepare is not None:
        prepare(engine, place)
    with writing(engine) as connection:
        _refuse_foreign(connection, place, known)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        crash_point("database-migrated")


def _refuse_cut_off(path: Path) -> None:
    if path.is_file() and 0 < path.stat().st_size < _SMALLEST_BYTES:
        raise _damaged(path, "cut off")  # SQLite would take it for an empty one


def _refuse_foreign(connection: Connection, place: str, known: set[str]) -> None:
    tables = inspect(connection).get_table_names()
    if not tables:
        return
    if "alembic_version" not in tables:
        raise StoreError(f"{place} is a database of another program: name another one")
    found = connection.scalar(text("SELECT version_num FROM alembic_version"))
    if found is not None and found not in known:
        raise StoreError(
            f"the run database {place} has schema {found!r}, this version knows up to {SCHEMA!r}: "
            f"upgrade robocache, or set ROBOCACHE_HOME to another folder"
        )


def _use_write_ahead_log(engine: Engine, path: str) -> None:
    with engine.execution_options(**{_BEGIN: ""}).connect() as connection:
        mode = connection.exec_driver_sql("PRAGMA journal_mode=WAL").scalar()
    if mode != "wal":
        raise StorageError(
            f"the file system of {path} cannot hold a write-ahead log (SQLite chose {mode!r}): "
            f"set ROBOCACHE_HOME to a folder on a local disk"
        )
