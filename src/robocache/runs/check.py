"""Is everything still what it was? What the database, the manifest and the files say of a run.

The three tell of each other: the database keeps a digest of every manifest field and of the ledger
rows, the manifest keeps the hash of every file. Whoever changes one of them is named by the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from robocache.core.errors import IntegrityError, RoboCacheError
from robocache.runs.alterations import Found, ReadRows, altered_parts
from robocache.runs.check_slots import slot_problems
from robocache.runs.checkpoints import verify_checkpoint
from robocache.runs.database import reading
from robocache.runs.home import located, runs_folder
from robocache.runs.lock import is_locked
from robocache.runs.manifest import read_manifest
from robocache.runs.records import LOCK_NAME, RunRecord, find_runs
from robocache.runs.removal import DOOMED
from robocache.runs.tables import checkpoints, runs

_CLOCK = "the clock of the machine"
_LEAST_SET_BACK_S = 1.0


@dataclass(frozen=True)
class Inconsistency:
    """One thing that is not as it was recorded.

    Attributes:
        run: id of the run, or "" where it concerns none.
        place: file, field or row.
        problem: what is wrong with it.
    """

    run: str
    place: str
    problem: str

    def __str__(self) -> str:
        return f"{f'run {self.run}: ' if self.run else ''}{self.place} {self.problem}"


def require_sound(engine: Engine, record: RunRecord, read_rows: ReadRows | None = None) -> None:
    """Refuse a complete run that is no longer what was recorded of it.

    A clock that went backwards is no reason: it spoils times, not results.

    Raises:
        IntegrityError: the first inconsistency.
    """
    for place, problem in altered_parts(engine, record, read_rows):
        raise IntegrityError(
            f"{Inconsistency(record.id, place, problem)}: restore it from a copy "
            f"(robocache runs check {record.id})"
        )


def check_run(
    engine: Engine, record: RunRecord, read_rows: ReadRows | None = None
) -> Iterator[Inconsistency]:
    """Everything about a run that is not as it was recorded.

    Of a run that is not complete only its folder, its checkpoints and its clock are looked at.

    Args:
        read_rows: reads a shard, to name the row where the ledger is not what it was.
    """
    for part in (altered_parts(engine, record, read_rows), _clock_problems(record)):
        try:
            yield from (Inconsistency(record.id, *found) for found in part)
        except RoboCacheError as error:  # its row in the database cannot be read
            yield Inconsistency(record.id, "its row", f"is damaged: {error}")


def check_store(
    engine: Engine,
    read_rows: ReadRows | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Iterator[Inconsistency]:
    """Every inconsistency of the whole store.

    Args:
        read_rows: as of `check_run`.
        progress: told after every run.
    """
    folder = runs_folder()
    present = sorted(folder.iterdir()) if folder.is_dir() else []  # before their rows are read
    known = find_runs(engine)
    for done, record in enumerate(known, start=1):
        yield from check_run(engine, record, read_rows)
        if progress is not None:
            progress(done, len(known), record.id)
    homes = {record.folder for record in known}
    for path in present:
        unknown = path.is_dir() and not path.name.startswith(".") and path not in homes
        if unknown and not is_locked(path / LOCK_NAME):  # else it is being begun or removed
            left = "is left of a removed run: run robocache runs gc"
            problem = left if path.name.startswith(DOOMED) else "belongs to no run"
            yield Inconsistency("", f"folder runs/{path.name}", problem)
    for found in (*_checkpoints_elsewhere(engine, homes), *slot_problems(engine)):
        yield Inconsistency("", *found)


def _clock_problems(record: RunRecord) -> Iterator[Found]:
    """Moments that lie before those that they came after."""
    moments = [("started", record.started)]
    for session in _sessions(record):
        moments += [(what, session[what]) for what in ("started", "ended") if session.get(what)]
        used = session.get("resources")
        back_s = used.get("clock_set_back_s", 0.0) if isinstance(used, dict) else 0.0
        if back_s > _LEAST_SET_BACK_S:
            yield _CLOCK, f"was set back by {back_s:g} s while the run was being executed"
    if record.ended is not None:
        moments.append(("ended", record.ended))
    for (before, first), (after, second) in pairwise(moments):
        try:
            backwards = datetime.fromisoformat(second) < datetime.fromisoformat(first)
        except (TypeError, ValueError):
            yield _CLOCK, f"gave no time: {before} {first!r}, then {after} {second!r}"
            continue
        if backwards:
            yield _CLOCK, f"went backwards: {before} {first}, then {after} {second}"


def _sessions(record: RunRecord) -> list[dict[str, Any]]:
    """The manifests of all sessions of a run, oldest first; none where it cannot be read."""
    try:
        manifest = read_manifest(record.folder)
    except (RoboCacheError, OSError):
        return []  # `altered_parts` names it
    earlier = manifest.get("earlier")
    sessions = [*(earlier if isinstance(earlier, list) else ()), manifest]
    return [session for session in sessions if isinstance(session, dict)]


def _checkpoints_elsewhere(engine: Engine, homes: set[Path]) -> Iterator[Found]:
    """Recorded checkpoints outside the folders of runs, which `check_run` has looked at."""
    with reading(engine) as connection:
        rows = connection.execute(select(checkpoints).order_by(checkpoints.c.sha256)).all()
        owners = set(connection.scalars(select(runs.c.id)))
    for row in rows:
        path, place = located(row.path), f"checkpoint {row.sha256[:12]}"
        if row.run_id is not None and row.run_id not in owners:
            yield place, f"is of a run that is not known: {row.run_id}"
        if not homes.isdisjoint(path.parents):
            continue
        try:
            found = verify_checkpoint(path)
        except RoboCacheError as error:
            yield place, f"is not what it was: {error}"
            continue
        if found != row.sha256:
            yield place, f"is now {found[:12]} at {path}"
