"""The run store: the same command again finds the same run, and goes on where it stopped."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, delete, func, select, update

from robocache.core.errors import ConfigError, RunError, StoreError
from robocache.runs.checkpoints import (
    commit_checkpoint,
    list_checkpoints,
    read_listing,
)
from robocache.runs.crash import crash_point
from robocache.runs.database import insert_missing, open_database, reading, writing
from robocache.runs.evidence import record_checkpoint, record_checkpoints
from robocache.runs.files import make_directory, sweep_temporaries
from robocache.runs.home import portable, runs_folder
from robocache.runs.lock import FileLock
from robocache.runs.manifest import (
    MANIFEST_NAME,
    collect_manifest,
    read_manifest,
    upgraded,
    write_manifest,
)
from robocache.runs.plain import config_hash, first_difference, plain, utc_now
from robocache.runs.records import (
    LOCK_NAME,
    RunRecord,
    count_runs,
    find_runs,
    get_run,
)
from robocache.runs.references import find_checkpoint
from robocache.runs.run import Run
from robocache.runs.tables import checkpoints, runs, tags

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class _Request:
    """What `begin` was asked for, as plain values."""

    id: str
    verb: str
    name: str | None
    config: dict[str, Any]
    config_hash: str
    inputs: dict[str, Any]


class RunStore:
    """All runs of one home.

    Args:
        engine: an open database; None: that of the home.
    """

    def __init__(self, engine: Engine | None = None) -> None:
        self.engine = open_database() if engine is None else engine

    def begin(
        self,
        verb: str,
        config: Mapping[str, Any],
        *,
        name: str | None = None,
        parents: Sequence[str] = (),
        seeds: Sequence[int] = (),
        datasets: Mapping[str, str] | None = None,
        threads: Mapping[str, Any] | None = None,
        sources: Mapping[str, str] | None = None,
        assets: Mapping[str, str] | None = None,
        skipped: Mapping[str, Any] | None = None,
    ) -> Run:
        """The run of this command: a new one, one to be continued, or one that is complete.

        Args:
            verb: what is run, e.g. "train".
            config: the resolved configuration, everything the result depends on.
            name: id of the run; None: the verb and ten digits of the configuration's hash.
            parents: ids or hashes this run builds on.
            seeds: root seeds.
            datasets: dataset name -> fingerprint.
            threads, sources, assets, skipped: for the manifest, see `collect_manifest`.

        Raises:
            ConfigError: a name or value that cannot be kept.
            RunError: a run of that id was made by another verb, configuration or input.
            StoreError: another process is executing it.
            StorageError: its folder cannot be written.
        """
        inputs = {"parents": list(parents), "seeds": list(seeds), "datasets": datasets or {}}
        request = _requested(verb, config, name, plain(inputs))
        folder = runs_folder() / request.id
        with ExitStack() as stack:
            known = self._known(request)
            if known is not None and known.status == "complete" and known.folder.is_dir():
                return Run(self.engine, known, lock=None, resumed=False)
            resumed = known is not None and known.folder.is_dir()
            lock = _locked(request.id, folder)
            stack.callback(lock.release)
            known = self._known(request)  # it may have been finished while we took the lock
            if known is not None and known.status == "complete" and resumed:
                return Run(self.engine, known, lock=None, resumed=False)
            crash_point("run-unrecorded")
            sweep_temporaries(folder)
            record = self._record(request, folder)
            crash_point("run-recorded")
            manifest = collect_manifest(
                record.verb,
                record.config,
                started=utc_now(),
                seeds=record.inputs["seeds"],
                datasets=record.inputs["datasets"],
                parents=record.inputs["parents"],
                threads=threads,
                sources=sources,
                assets=assets,
                skipped=skipped,
            )
            _write_manifest(record, manifest)
            stack.pop_all()
        return Run(self.engine, record, lock=lock, resumed=resumed)

    def get(self, run_id: str) -> RunRecord:
        """The run called `run_id`.

        Raises:
            ConfigError: there is none; the message names the nearest.
        """
        return get_run(self.engine, run_id)

    def runs(self, **filters: Any) -> list[RunRecord]:
        """Runs in the order they were begun; `filters` are those of `records.find_runs`."""
        return find_runs(self.engine, **filters)

    def count(self, **filters: str | None) -> int:
        """How many runs there are; `filters` are those of `records.find_runs`."""
        return count_runs(self.engine, **filters)

    def tag(self, run_id: str, add: Sequence[str] = (), remove: Sequence[str] = ()) -> None:
        """Put tags on a run and take others off; again changes nothing.

        Raises:
            ConfigError: no such run, or not a tag.
        """
        record = self.get(run_id)
        for tag in add:
            if not _TAG.fullmatch(tag):
                raise ConfigError(f"tag {tag!r} must be up to 64 letters, digits, '.', '_' or '-'")
        with writing(self.engine) as connection:
            for tag in remove:
                mine = (tags.c.run_id == record.id) & (tags.c.tag == tag)
                connection.execute(delete(tags).where(mine))
            for tag in add:
                new = insert_missing(connection, tags).values(run_id=record.id, tag=tag)
                connection.execute(new)

    def note(self, run_id: str, text: str) -> None:
        """Write a note on a run, in place of what was there; "" takes it off.

        Raises:
            ConfigError: no such run.
        """
        record = self.get(run_id)
        with writing(self.engine) as connection:
            connection.execute(update(runs).where(runs.c.id == record.id).values(note=text or None))

    def find_checkpoint(self, text: str) -> Path:
        """The checkpoint that `text` means; see `references.find_checkpoint`."""
        return find_checkpoint(self.engine, text)

    def maker(self, sha256: str) -> RunRecord | None:
        """The run that made a checkpoint; None where that is not known."""
        with reading(self.engine) as connection:
            query = select(checkpoints.c.run_id).where(checkpoints.c.sha256 == sha256)
            run_id = connection.scalar(query)
        return None if run_id is None else self.get(run_id)

    def write_checkpoint(
        self, run: Run, path: Path, step: int, writer: Callable[[Path], None]
    ) -> str:
        """Commit what `writer` writes as the checkpoint `path`, and record it; its identity hash.

        Raises:
            CheckpointError, StorageError: as `commit_checkpoint`.
        """
        commit_checkpoint(writer, path)
        return self.add_checkpoint(run, path, step)

    def add_checkpoint(self, run: Run, path: Path, step: int) -> str:
        """Record a committed checkpoint of `run`; its identity hash. Again changes nothing.

        Raises:
            CheckpointError: `path` is not a checkpoint.
        """
        sha256 = read_listing(path).sha256
        crash_point("checkpoint-unrecorded")
        with writing(self.engine) as connection:
            record_checkpoint(connection, sha256, path, run_id=run.id, step=step)
        return sha256

    def _known(self, request: _Request) -> RunRecord | None:
        """The run of that id, if there is one, after checking that it is the same."""
        found = find_runs(self.engine, run_id=request.id)
        if not found:
            return None
        old = found[0]
        for what, before, now in (
            ("verb", old.verb, request.verb),
            ("", old.config, request.config),
            ("", old.inputs, request.inputs),
        ):
            differing = first_difference(before, now, what)
            if differing:
                where, was, asked = differing
                raise RunError(
                    f"run {old.id!r} was made with {where} = {was!r}, now {asked!r}: give this "
                    f"run another name, or use what it was made with"
                )
        return old

    def _record(self, request: _Request, folder: Path) -> RunRecord:
        """Write that the run is running."""
        values: dict[str, Any] = {
            "id": request.id,
            "verb": request.verb,
            "name": request.name,
            "status": "running",
            "started": utc_now(),
            "config": request.config,
            "config_hash": request.config_hash,
            "inputs": request.inputs,
            "folder": portable(folder),
            "metrics": {},
        }
        again: dict[str, Any] = {
            "status": "running",
            "ended": None,
            "error": None,
            "metrics": {},
            "manifest": None,
            "ledger": None,
            "removed": {},
        }
        with writing(self.engine) as connection:
            connection.execute(update(runs).where(runs.c.id == request.id).values(again))
            values["number"] = 1 + (connection.scalar(select(func.max(runs.c.number))) or 0)
            connection.execute(insert_missing(connection, runs).values(values))
            record_checkpoints(connection, request.id, list_checkpoints(folder))  # after a kill
        return get_run(self.engine, request.id)


def _requested(
    verb: str, config: Mapping[str, Any], name: str | None, inputs: dict[str, Any]
) -> _Request:
    digest = config_hash(config)
    run_id = name if name is not None else f"{verb}-{digest[:10]}"
    if not _NAME.fullmatch(run_id):
        raise ConfigError(
            f"run name {run_id!r} must be up to 128 letters, digits, '.', '_' or '-', "
            f"beginning with a letter or digit"
        )
    return _Request(run_id, verb, name, plain(config), digest, inputs)


def _locked(run_id: str, folder: Path) -> FileLock:
    make_directory(folder)
    lock = FileLock(folder / LOCK_NAME)
    try:
        lock.acquire(wait=False)
    except StoreError as error:
        raise StoreError(
            f"run {run_id!r} is being executed ({error}): wait for it, or end that process"
        ) from error
    return lock


def _write_manifest(record: RunRecord, manifest: dict[str, Any]) -> None:
    """The manifest of this session; those of sessions before are kept in it under `earlier`."""
    earlier: list[dict[str, Any]] = []
    if (record.folder / MANIFEST_NAME).exists():
        last = upgraded(read_manifest(record.folder))
        earlier = [*last.pop("earlier", []), last]
    state: dict[str, Any] = {
        "run": record.id,
        "status": record.status,
        "metrics": {},
        "error": None,
        "artifacts": {},
        "resources": None,
    }
    write_manifest(record.folder, {**manifest, **state, "earlier": earlier})
