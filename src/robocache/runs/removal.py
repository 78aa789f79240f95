"""Removing runs, episodes and checkpoints; killed at any moment, nothing is left half.

A run goes in four steps: its rows but one (which then says "removing"), its folder under a name
that begins with `~`, the last row, the folder. After the first step the same command would take
the run up from what is on disk; after the second it would begin anew. Whatever a kill leaves is
found by `leftovers` and ended by the next removal.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, delete, select, update

from robocache.core.errors import RunError, StoreError
from robocache.runs.checkpoints import LISTING_NAME, list_checkpoints, read_listing
from robocache.runs.crash import crash_point, register_crash_point
from robocache.runs.database import reading, writing
from robocache.runs.dependents import Dependents, read_dependents
from robocache.runs.evidence import record_checkpoints
from robocache.runs.files import remove, storage_errors, sync_directory
from robocache.runs.home import located, portable, runs_folder
from robocache.runs.lock import FileLock
from robocache.runs.manifest import read_manifest, upgraded
from robocache.runs.records import LOCK_NAME, RunRecord, find_runs, get_run, note_removed
from robocache.runs.tables import checkpoints, conflicts, episodes, runs, tags

REMOVING = "removing"
DOOMED = "~"
EPISODES = "episodes"
REMOVAL_POINTS = {
    "run-condemned": "the row of a run says removing, all its other rows are gone",
    "run-doomed": "the folder of a run has its doomed name, the row of the run is still there",
    "run-forgotten": "the row of a run is gone, its doomed folder is not",
    "episodes-doomed": "episodes of a run have their doomed name, which is not yet recorded",
    "episodes-noted": "episodes are recorded as removed, their doomed folder is still there",
    "checkpoint-forgotten": "a checkpoint is recorded as removed, its folder is whole",
}
for _name, _when in REMOVAL_POINTS.items():
    register_crash_point(_name, _when)


def weigh_runs(engine: Engine, run_ids: Collection[str]) -> dict[str, int]:
    """What each of these runs holds, in bytes; nothing is removed.

    Raises:
        ConfigError: no such run.
        RunError: something that stays depends on one of them.
        StoreError: one is being executed.
    """
    records, doomed = _found(engine, run_ids, run_ids)
    for record in records:
        with held(record):
            pass
    paths = {record.id: record.folder for record in records}
    return {run_id: size_bytes(path) for run_id, path in {**paths, **doomed}.items()}


def remove_runs(engine: Engine, run_ids: Collection[str], together: Collection[str] = ()) -> None:
    """Remove runs: folder, rows, tags, checkpoints; those that build on others first.

    Args:
        run_ids: the runs; what one of them needs of another does not hold it.
        together: further runs that go anyhow.

    Raises:
        ConfigError: no such run.
        RunError: something that stays depends on one of them; nothing is removed then.
        StoreError: one is being executed.
        StorageError: the disk is full or not writable; what was not removed yet is whole.
    """
    going = {*run_ids, *together}
    records, doomed = _found(engine, run_ids, going)
    for path in doomed.values():
        erase(path)
    for record in sorted(records, key=lambda record: -record.number):
        _remove_run(engine, record, going)


def _found(
    engine: Engine, run_ids: Collection[str], going: Collection[str]
) -> tuple[list[RunRecord], dict[str, Path]]:
    """Runs on which nothing depends but what goes, and folders of those that a kill left."""
    doomed = {
        run_id: path
        for run_id in run_ids
        if (path := doomed_name(runs_folder() / run_id)).is_dir()
        and not find_runs(engine, run_id=run_id)
    }
    records = [get_run(engine, run_id) for run_id in run_ids if run_id not in doomed]
    with reading(engine) as connection:
        dependents = read_dependents(connection)
    for record in records:
        _require_free(dependents, record.id, going)
    return records, doomed


def _remove_run(engine: Engine, record: RunRecord, together: Collection[str]) -> None:
    with held(record):
        with writing(engine) as connection:
            dependents = read_dependents(connection)
            _require_free(dependents, record.id, together)
            _condemn(connection, record, dependents.checkpoints_of(record.id))
        crash_point("run-condemned")
        doomed = doomed_name(record.folder)
        doom(record.folder, doomed)
        crash_point("run-doomed")
        with writing(engine) as connection:
            mine = (runs.c.id == record.id) & (runs.c.status == REMOVING)
            connection.execute(delete(runs).where(mine))
        crash_point("run-forgotten")
        erase(doomed)


def remove_episodes(engine: Engine, record: RunRecord) -> None:
    """Remove the episodes of a complete run, recorded as removed; its other parts stay.

    Raises:
        StoreError: the run is being executed.
        StorageError: the disk is full or not writable.
    """
    with held(record):
        names = upgraded(read_manifest(record.folder))["artifacts"]
        gone = [EPISODES, *(name for name in names if name.startswith(f"{EPISODES}/"))]
        doomed = doomed_name(record.folder / EPISODES)
        doom(record.folder / EPISODES, doomed)
        crash_point("episodes-doomed")
        with writing(engine) as connection:
            note_removed(connection, record.id, gone)
        crash_point("episodes-noted")
        erase(doomed)


def remove_checkpoint(
    engine: Engine, record: RunRecord, path: Path, apart_from: Collection[str] = ()
) -> None:
    """Remove a checkpoint of a run, recorded as removed.

    Args:
        apart_from: runs that do not count as building on it.

    Raises:
        RunError: it was judged, promoted, or a run builds on it.
        StoreError: the run is being executed.
        StorageError: the disk is full or not writable.
    """
    sha256 = read_listing(path).sha256
    with held(record):
        with writing(engine) as connection:
            if sha256 in read_dependents(connection).needed_checkpoints(apart_from):
                raise RunError(f"checkpoint {sha256[:12]} was judged or built on: it stays")
            here = (checkpoints.c.sha256 == sha256) & (checkpoints.c.path == portable(path))
            connection.execute(delete(checkpoints).where(here))
            left = {s: p for s, p in list_checkpoints(record.folder).items() if p != path}
            record_checkpoints(connection, record.id, left)  # an equal one shared its row
            listing = (path / LISTING_NAME).relative_to(record.folder).as_posix()
            note_removed(connection, record.id, [listing])
        crash_point("checkpoint-forgotten")
        doomed = doomed_name(path)
        doom(path, doomed)
        erase(doomed)


@contextmanager
def held(record: RunRecord) -> Iterator[None]:
    """The run is not executed by anybody else meanwhile.

    Raises:
        StoreError: it is being executed.
    """
    folders = (record.folder, doomed_name(record.folder))
    folder = next((path for path in folders if path.is_dir()), None)
    with nullcontext() if folder is None else locked(folder / LOCK_NAME, record.id):
        yield


@contextmanager
def locked(path: Path, run_id: str) -> Iterator[None]:
    """The lock of a run, if nobody has it."""
    lock = FileLock(path)
    try:
        lock.acquire(wait=False)
    except StoreError as error:
        raise StoreError(
            f"run {run_id!r} is being executed ({error}): wait for it, or end that process"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _require_free(dependents: Dependents, run_id: str, together: Collection[str]) -> None:
    found = dependents.of(run_id, together)
    if found:
        raise RunError(f"run {run_id!r} stays: {'; '.join(found)}")


def _condemn(connection: Connection, record: RunRecord, hashes: Collection[str]) -> None:
    """Take away all rows of a run but its own, which says that it is being removed."""
    connection.execute(delete(episodes).where(episodes.c.collection == record.id))
    connection.execute(delete(conflicts).where(conflicts.c.collection == record.id))
    connection.execute(delete(tags).where(tags.c.run_id == record.id))
    connection.execute(delete(checkpoints).where(checkpoints.c.sha256.in_(hashes)))
    if hashes:
        _record_twins(connection, record)
    nothing: dict[str, Any] = {"metrics": {}, "manifest": None, "ledger": None, "removed": {}}
    condemned = update(runs).where(runs.c.id == record.id)
    connection.execute(condemned.values(status=REMOVING, **nothing))


def _record_twins(connection: Connection, record: RunRecord) -> None:
    """Checkpoints that another run of the same configuration has, too, are now where that is."""
    twins = (runs.c.config_hash == record.config_hash) & (runs.c.id != record.id)
    for run_id, folder in connection.execute(select(runs.c.id, runs.c.folder).where(twins)):
        record_checkpoints(connection, run_id, list_checkpoints(located(folder)))


def doomed_name(path: Path) -> Path:
    """What a folder is called while it is being removed."""
    return path.with_name(f"{DOOMED}{path.name}")


def doom(path: Path, doomed: Path) -> None:
    """Give a folder its doomed name; fine if it has it already."""
    if path.is_dir():
        with storage_errors(path):
            remove(doomed)
            os.rename(path, doomed)
            sync_directory(path.parent)


def erase(doomed: Path) -> None:
    """Remove a doomed folder; fine if it is gone already."""
    with storage_errors(doomed):
        if doomed.is_dir():
            shutil.rmtree(doomed)


def size_bytes(path: Path) -> int:
    """What a file, or all files in a folder, hold; what goes meanwhile counts nothing."""
    if path.is_file():
        return path.lstat().st_size
    total = 0
    for parent, _, names in os.walk(path):
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(parent, name).lstat().st_size
    return total
