"""The local executor: a pool of processes, one committer, restartable at any moment.

A worker leaves a durable shard and reports its rows; only the parent writes the ledger. A shard
that was written but not committed when a process died is adopted at the next start. Episodes that
were lost are made again with the same content, because each follows from its key alone.
"""

from __future__ import annotations

import functools
import itertools
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

from robocache.core.errors import ConfigError, RunError
from robocache.datasets.shards import SUFFIX, read_episode, read_index
from robocache.rollouts.plan import Job, RolloutPlan
from robocache.rollouts.worker import PolicySource, Worker, ledger_row, start, work
from robocache.runs import Ledger, LedgerRow, StopRequest, sweep

Progress = Callable[[int, int, str], None]
"""Called with episodes done, episodes in all, and a line of figures."""

MAX_POOL_RESTARTS = 3


def execute(
    plan: RolloutPlan,
    folder: Path,
    ledger: Ledger,
    *,
    policy: PolicySource | None = None,
    workers: int = 2,
    batch: int = 20,
    progress: Progress | None = None,
) -> list[LedgerRow]:
    """Make every episode of the plan that the ledger does not have yet.

    Args:
        plan: the episodes.
        folder: where shards go. Whole shards that a killed process left uncommitted are
            committed first; its other files are removed.
        ledger: rows of the finished episodes.
        policy: who acts; None: the environment's scripted expert.
        workers: processes; 0 works in this one.
        batch: episodes run in lockstep by one worker.
        progress: told after every batch.

    Returns:
        The rows of the plan's episodes, in the plan's order.

    Raises:
        ConfigError: a negative number of workers, or an empty batch.
        KeyboardInterrupt: Ctrl-C; running batches were finished and committed.
        RunError: worker processes keep dying.
    """
    if workers < 0 or batch < 1:
        raise ConfigError(f"workers must be >= 0 and batch >= 1, got {workers} and {batch}")
    folder.mkdir(parents=True, exist_ok=True)
    jobs = plan.jobs()
    make = functools.partial(Worker, plan, folder, policy)
    with StopRequest() as stop:
        for deaths in itertools.count(1):
            missing = _missing(jobs, folder, ledger)
            finished = len(jobs) - len(missing)
            batches = [missing[i : i + batch] for i in range(0, len(missing), batch)]
            made = _in_pool(make, batches, stop, workers) if workers else _here(make, batches, stop)
            try:
                for rows in made:
                    ledger.commit(rows)
                    finished += len(rows)
                    if progress is not None:
                        solved = sum(bool(row.success) for row in rows)
                        progress(finished, len(jobs), f"last batch {solved}/{len(rows)} solved")
                break
            except BrokenProcessPool as error:
                if deaths > MAX_POOL_RESTARTS:
                    raise RunError(
                        f"worker processes died {deaths} times (out of memory?); "
                        f"what is finished is kept, run the same command again"
                    ) from error
        if stop.requested and finished < len(jobs):
            raise KeyboardInterrupt
    by_key = {row.key: row for row in ledger.rows()}
    return [by_key[job.key] for job in jobs]


def _missing(jobs: Sequence[Job], folder: Path, ledger: Ledger) -> list[Job]:
    """Jobs still to be done, after putting in order what killed processes left."""
    adopt(folder, ledger)
    sweep(ledger, folder)
    done = ledger.keys()
    return [job for job in jobs if job.key not in done]


def adopt(folder: Path, ledger: Ledger) -> int:
    """Commit the episodes of whole shards that no ledger row names; how many were new.

    Raises:
        CorruptFileError: such a shard is damaged; nothing is removed.
    """
    known = ledger.shards()
    adopted = 0
    for shard in sorted(folder.glob(f"*{SUFFIX}")):
        if shard.name not in known:
            rows = read_rows(shard)
            adopted += len(rows) - len(ledger.commit(rows))
    return adopted


def read_rows(shard: Path) -> list[LedgerRow]:
    """The ledger rows that follow from a shard's own content.

    Raises:
        CorruptFileError: it is damaged.
    """
    return [ledger_row(shard, read_episode(shard, row)) for row in range(len(read_index(shard)))]


def _here(
    make: Callable[[], Worker], batches: Sequence[Sequence[Job]], stop: StopRequest
) -> Iterator[list[LedgerRow]]:
    """Rows of each batch, made in this process."""
    worker = make() if batches else None
    for jobs in batches:
        if stop.requested or worker is None:
            return
        yield worker.write(jobs)


def _in_pool(
    make: Callable[[], Worker], batches: Sequence[Sequence[Job]], stop: StopRequest, workers: int
) -> Iterator[list[LedgerRow]]:
    """Rows of each batch as it is finished, `workers` batches at a time."""
    if not batches:
        return
    workers = min(workers, len(batches))
    queue = deque(batches)
    running: set[Future[list[LedgerRow]]] = set()
    with _pool(make, workers) as pool:
        while queue or running:
            while queue and len(running) < workers and not stop.requested:
                running.add(pool.submit(work, queue.popleft()))
            if not running:
                return
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()


@contextmanager
def _pool(make: Callable[[], Worker], workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes with one thread each, whatever this process uses."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = before or "1"
    try:
        with ProcessPoolExecutor(
            workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=start,
            initargs=(make,),
        ) as pool:
            yield pool
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
