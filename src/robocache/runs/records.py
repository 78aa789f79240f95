"""What the store knows about its runs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, Engine, RowMapping, Select, Text, cast, func, select, update

from robocache.core.errors import StoreError, unknown_name
from robocache.runs.database import reading
from robocache.runs.home import home
from robocache.runs.lock import is_locked
from robocache.runs.plain import numbers, utc_now
from robocache.runs.tables import runs, tags

LOCK_NAME = "lock"
_IDS_A_QUERY = 500
_JSON = ("config", "inputs", "metrics", "manifest", "removed")
_COLUMNS = [cast(c, Text).label(c.name) if c.name in _JSON else c for c in runs.c]
Status = Literal["running", "complete", "interrupted", "failed", "removing"]
_UNENDED = ("running", "interrupted")  # which of them a row means, its lock says


@dataclass(frozen=True)
class RunRecord:
    """What the store knows about a run.

    Attributes:
        verb: what was run, e.g. "train".
        name: the name it was given; None when its id was made from its configuration.
        status: running, complete, interrupted, failed, or removing, when a removal was killed.
        started, ended: ISO 8601 UTC.
        config_hash: sha256 of the configuration.
        folder: where its files are.
        error: why it failed.
        number: its place in the order in which runs were begun, from 1.
        note, tags: what people wrote about it.
        ledger: of a complete run: hash of its ledger rows.
        texts: column -> its JSON text, decoded when it is asked for.
    """

    id: str
    verb: str
    name: str | None
    status: Status
    started: str
    ended: str | None
    config_hash: str
    folder: Path
    error: str | None
    number: int
    note: str | None
    ledger: str | None
    tags: tuple[str, ...] = ()
    texts: Mapping[str, str | None] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The resolved configuration, plain values."""
        return self._mapping("config")

    @cached_property
    def inputs(self) -> Mapping[str, Any]:
        """`parents`, `seeds` and `datasets` (name -> fingerprint)."""
        return self._mapping("inputs")

    @cached_property
    def metrics(self) -> Mapping[str, Any]:
        """Figures it ended with."""
        return numbers(self._mapping("metrics"))

    @cached_property
    def manifest(self) -> Mapping[str, str] | None:
        """Of a complete run: manifest field -> digest."""
        return self._mapping("manifest") if self._decoded("manifest") is not None else None

    @cached_property
    def removed(self) -> Mapping[str, str]:
        """Artifact -> when it was removed on purpose since the run ended."""
        return self._mapping("removed")

    def _mapping(self, column: str) -> dict[str, Any]:
        value = self._decoded(column)
        if not isinstance(value, dict):
            raise self._damaged(column)
        return value

    def _decoded(self, column: str) -> Any:
        text = self.texts[column]
        try:
            return None if text is None else json.loads(text)
        except json.JSONDecodeError as error:
            raise self._damaged(column) from error

    def _damaged(self, column: str) -> StoreError:
        return StoreError(
            f"{column} of run {self.id!r} in the run database is not a JSON object: restore the "
            f"database from a backup"
        )


def find_runs(
    engine: Engine,
    *,
    run_id: str | None = None,
    verb: str | None = None,
    status: str | None = None,
    tag: str | None = None,
    name: str | None = None,
    newest: int | None = None,
) -> list[RunRecord]:
    """Runs in the order they were begun; one whose process was killed counts as interrupted.

    Args:
        run_id, verb, status, tag: only runs of which this holds.
        name: only runs whose id matches this pattern, with `*` for any text and `?` for a letter.
        newest: only the last so many.
    """
    filters = {"run_id": run_id, "verb": verb, "status": status, "tag": tag, "name": name}
    query = _filtered(select(*_COLUMNS), **filters)
    query = query.order_by(runs.c.number.desc(), runs.c.id.desc())
    if newest is not None and status not in _UNENDED:
        query = query.limit(newest)
    with reading(engine) as connection:
        rows = list(connection.execute(query).mappings())
        labels = _labels(connection, [row["id"] for row in rows])
    root = home()
    found = [_as_it_is(_record(row, root, labels.get(row["id"], ()))) for row in reversed(rows)]
    kept = [record for record in found if status in (None, record.status)]
    return kept if newest is None else kept[-newest:] if newest else []


def count_runs(engine: Engine, **filters: str | None) -> int:
    """How many runs `find_runs` finds with these filters."""
    if filters.get("status") in _UNENDED:
        return len(find_runs(engine, **filters))  # type: ignore[arg-type]
    query = _filtered(select(func.count()).select_from(runs), **filters)
    with reading(engine) as connection:
        return connection.scalar(query) or 0


def get_run(engine: Engine, run_id: str) -> RunRecord:
    """The run called `run_id`.

    Raises:
        ConfigError: there is none; the message names the nearest.
    """
    found = find_runs(engine, run_id=run_id)
    if not found:
        with reading(engine) as connection:
            raise unknown_name("run", run_id, connection.scalars(select(runs.c.id)))
    return found[0]


def note_removed(connection: Connection, run_id: str, artifacts: Sequence[str]) -> None:
    """Remember that artifacts of a run were removed on purpose."""
    mine = runs.c.id == run_id
    before = connection.scalar(select(runs.c.removed).where(mine)) or {}
    now = utc_now()
    after = {**before, **{name: now for name in artifacts if name not in before}}
    connection.execute(update(runs).where(mine).values(removed=after))


def _filtered(
    query: Select[Any],
    *,
    run_id: str | None = None,
    verb: str | None = None,
    status: str | None = None,
    tag: str | None = None,
    name: str | None = None,
) -> Select[Any]:
    if run_id is not None:
        query = query.where(runs.c.id == run_id)
    if verb is not None:
        query = query.where(runs.c.verb == verb)
    if tag is not None:
        query = query.where(runs.c.id.in_(select(tags.c.run_id).where(tags.c.tag == tag)))
    if name is not None:
        query = query.where(runs.c.id.regexp_match(_pattern(name)))
    if status is not None:
        query = query.where(runs.c.status.in_(_UNENDED if status in _UNENDED else (status,)))
    return query


def _pattern(name: str) -> str:
    """A regular expression of the pattern; capitals count, in every database."""
    signs = {"*": ".*", "?": "."}
    return f"^{''.join(signs.get(letter) or re.escape(letter) for letter in name)}$"


def _labels(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Run -> its tags, for the runs that have any."""
    query = select(tags).order_by(tags.c.tag)
    if len(ids) <= _IDS_A_QUERY:
        query = query.where(tags.c.run_id.in_(ids))
    found: dict[str, tuple[str, ...]] = {}
    for run_id, tag in connection.execute(query):
        found[run_id] = (*found.get(run_id, ()), tag)
    return found


def _record(row: RowMapping, root: Path, labels: tuple[str, ...]) -> RunRecord:
    values = dict(row)
    texts = {name: values.pop(name) for name in _JSON}
    return RunRecord(**{**values, "folder": root / row["folder"]}, tags=labels, texts=texts)


def _as_it_is(record: RunRecord) -> RunRecord:
    """A run that says it is running while nobody holds its lock was killed."""
    if record.status == "running" and not is_locked(record.folder / LOCK_NAME):
        return replace(record, status="interrupted")
    return record
