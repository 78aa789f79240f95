"""One run: its folder, its lock, its figures, and how it ends."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from sqlalchemy import Engine, update

from robocache.core.errors import ConfigError, RunError
from robocache.runs.artifacts import list_artifact_names, list_artifacts
from robocache.runs.crash import crash_point
from robocache.runs.database import writing
from robocache.runs.ledger import Ledger
from robocache.runs.lock import FileLock
from robocache.runs.manifest import digests, read_manifest, write_manifest
from robocache.runs.metrics import METRICS_NAME, append_metrics, rewind_metrics
from robocache.runs.plain import plain
from robocache.runs.records import RunRecord, Status
from robocache.runs.removal import remove_runs
from robocache.runs.resources import ResourceMeter
from robocache.runs.tables import runs


class Run:
    """A run that this process executes; made by `RunStore.begin`.

    In a `with` block it is interrupted by Ctrl-C or by leaving the block unfinished, and failed by
    an error. One that refuses its settings before anything was made leaves no run.

    Attributes:
        id: name of the run.
        folder: where its files belong.
        complete: it was finished before; there is nothing to do.
        resumed: it was begun before and is continued now.
        record: what the store knew when it was begun.
    """

    def __init__(
        self, engine: Engine, record: RunRecord, *, lock: FileLock | None, resumed: bool
    ) -> None:
        self._engine = engine
        self._lock = lock
        self._meter = ResourceMeter()
        self.record = record
        self.id = record.id
        self.folder = record.folder
        self.complete = record.status == "complete"
        self.resumed = resumed

    def log_metrics(self, step: int, **values: Any) -> None:
        """Append one line of figures to `metrics.jsonl`.

        Raises:
            RunError: the run has ended.
            StorageError: it cannot be written; the lines before are safe.
        """
        self._require_open()
        append_metrics(self.folder / METRICS_NAME, step, values)

    def rewind_metrics(self, step: int) -> int:
        """Drop figures after `step`, the one that is resumed from; how many lines were dropped."""
        self._require_open()
        return rewind_metrics(self.folder / METRICS_NAME, step)

    def finish(self, metrics: Mapping[str, Any]) -> None:
        """The run is complete, with these figures."""
        self._end("complete", metrics=metrics)
        self.complete = True

    def interrupt(self) -> None:
        """The run stops here and can be continued."""
        self._end("interrupted")

    def fail(self, error: str) -> None:
        """The run stops because of `error`; it can be tried again."""
        self._end("failed", error=error)

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._lock is None:
            return
        if isinstance(error, Exception):
            self.fail(f"{type(error).__name__}: {error}")
            if isinstance(error, ConfigError) and not self.resumed and self._is_empty():
                remove_runs(self._engine, [self.id])  # its name is free for the right settings
        else:
            self.interrupt()

    def _is_empty(self) -> bool:
        return not (list_artifact_names(self.folder) or Ledger(self._engine, self.id).rows())

    def _require_open(self) -> None:
        if self._lock is None:
            state = "is complete" if self.complete else "has ended"
            raise RunError(f"run {self.id!r} {state}: begin it again to continue it")

    def _end(
        self, status: Status, *, metrics: Mapping[str, Any] | None = None, error: str | None = None
    ) -> None:
        self._require_open()
        ending = {
            "status": status,
            "ended": self._meter.now(),
            "metrics": plain(metrics or {}),
            "error": error,
        }
        used = {"resources": self._meter.read(), "artifacts": {}}
        if status == "complete":
            used["artifacts"] = list_artifacts(self.folder)
        manifest = {**read_manifest(self.folder), **ending, **used}
        write_manifest(self.folder, manifest)
        crash_point("run-finishing")
        sealed: dict[str, Any] = {"manifest": None, "ledger": None}
        if status == "complete":
            ledger = Ledger(self._engine, self.id).digest()
            sealed = {"manifest": digests(plain(manifest)), "ledger": ledger, "removed": {}}
        with writing(self._engine) as connection:
            changed = update(runs).where(runs.c.id == self.id).values({**ending, **sealed})
            connection.execute(changed)
        if self._lock is not None:
            self._lock.release()
            self._lock = None
