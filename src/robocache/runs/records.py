"""What the store knows about its runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Engine, RowMapping, select

from robocache.core.errors import unknown_name
from robocache.runs.database import reading
from robocache.runs.home import located
from robocache.runs.lock import is_locked
from robocache.runs.plain import numbers
from robocache.runs.tables import runs

LOCK_NAME = "lock"
Status = Literal["running", "complete", "interrupted", "failed"]


@dataclass(frozen=True)
class RunRecord:
    """What the store knows about a run.

    Attributes:
        verb: what was run, e.g. "train".
        name: the name it was given; None when its id was made from its configuration.
        status: running, complete, interrupted or failed.
        started, ended: ISO 8601 UTC.
        config: the resolved configuration, plain values; `config_hash` its sha256.
        inputs: `parents`, `seeds` and `datasets` (name -> fingerprint).
        folder: where its files are.
        metrics: figures it ended with.
        error: why it failed.
    """

    id: str
    verb: str
    name: str | None
    status: Status
    started: str
    ended: str | None
    config: Mapping[str, Any]
    config_hash: str
    inputs: Mapping[str, Any]
    folder: Path
    metrics: Mapping[str, Any]
    error: str | None


def find_runs(
    engine: Engine,
    *,
    run_id: str | None = None,
    verb: str | None = None,
    status: str | None = None,
) -> list[RunRecord]:
    """Runs in the order they were started; one whose process was killed counts as interrupted."""
    query = select(runs).order_by(runs.c.started, runs.c.id)
    if run_id is not None:
        query = query.where(runs.c.id == run_id)
    if verb is not None:
        query = query.where(runs.c.verb == verb)
    with reading(engine) as connection:
        found = [_record(row) for row in connection.execute(query).mappings()]
    return [record for record in map(_as_it_is, found) if status in (None, record.status)]


def get_run(engine: Engine, run_id: str) -> RunRecord:
    """The run called `run_id`.

    Raises:
        ConfigError: there is none; the message names the nearest.
    """
    found = find_runs(engine, run_id=run_id)
    if not found:
        raise unknown_name("run", run_id, [record.id for record in find_runs(engine)])
    return found[0]


def _record(row: RowMapping) -> RunRecord:
    decoded = {"folder": located(row["folder"]), "metrics": numbers(row["metrics"])}
    return RunRecord(**{**row, **decoded})


def _as_it_is(record: RunRecord) -> RunRecord:
    """A run that says it is running while nobody holds its lock was killed."""
    if record.status == "running" and not is_locked(record.folder / LOCK_NAME):
        return replace(record, status="interrupted")
    return record
