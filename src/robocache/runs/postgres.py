"""PostgreSQL as the run store's database, for homes that several machines share."""

from __future__ import annotations

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event
from sqlalchemy.engine import ExceptionContext

from robocache.core.errors import ConfigError, RoboCacheError, StorageError, StoreError
from robocache.core.optional import require

WRITER_LOCK = 0x526F626F  # "Robo": whoever writes holds this advisory lock until the commit.
_LOCKED = ("55P03", "40001", "40P01")  # lock timeout, serialization failure, deadlock
_FULL = ("53100", "25006")  # disk full, read-only
_TOO_LONG = "22001"


def open_postgres(url: URL, busy_timeout_s: float) -> Engine:
    """An engine whose transactions behave like those on SQLite: one writer, steady readers.

    Raises:
        MissingDependencyError: psycopg is not installed.
    """
    unreachable = require("psycopg", extra="postgres").OperationalError
    wait_ms = max(1, round(1000 * busy_timeout_s))
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        poolclass=NullPool,
        connect_args={"options": f"-c lock_timeout={wait_ms}", "connect_timeout": 10},
    )

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if "robocache_begin" in connection.get_execution_options():
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITER_LOCK})")
        else:
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")

    @event.listens_for(engine, "handle_error")
    def explain(context: ExceptionContext) -> None:
        typed = _explained(context.original_exception, url, unreachable)
        if typed is not None:
            raise typed from context.original_exception

    return engine


def _explained(
    error: BaseException, url: URL, unreachable: type[Exception]
) -> RoboCacheError | None:
    place = f"the run database {url.render_as_string(hide_password=True)}"
    state = getattr(error, "sqlstate", None)
    if state in _LOCKED:
        return StoreError(
            f"{place} is locked by another process: wait until it is done, then run the same "
            f"command again ({error})"
        )
    if state in _FULL:
        return StorageError(
            f"cannot write {place}: check that its disk has space and that it is not a read-only "
            f"copy ({error})"
        )
    if state == _TOO_LONG:
        return ConfigError(f"a text is too long for {place}: {error}")
    if isinstance(error, unreachable):
        return StoreError(
            f"cannot use {place}: check that the server is up, and the user, password and name "
            f"of the database ({error})"
        )
    return None
