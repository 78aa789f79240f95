"""How long what is kept: a policy, and what is to go by it.

Ages are counted from times that were recorded, never in favour of removal: a run is as old as the
latest time known of it, or at which a run before it was begun, so that a clock that went backwards
makes nothing old.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from sqlalchemy import Engine

from robocache.core.errors import CheckpointError, ConfigError, RunError
from robocache.runs.checkpoints import list_checkpoints, read_listing
from robocache.runs.database import reading
from robocache.runs.dependents import Dependents, read_dependents
from robocache.runs.leftovers import leftovers, orphans, remove_orphan
from robocache.runs.plain import utc_now
from robocache.runs.records import RunRecord, find_runs, get_run
from robocache.runs.removal import (
    EPISODES,
    remove_checkpoint,
    remove_episodes,
    remove_runs,
    size_bytes,
)

EVALUATIONS = ("eval", "open-loop")


@dataclass(frozen=True)
class RetentionPolicy:
    """What `robocache runs gc` removes. None: such things stay.

    What anything promoted was made from or judged by stays in any case. Episodes with camera
    frames go when the days are over that their plan gave them, whatever is said here.

    Attributes:
        keep_checkpoints: of each training run the last so many stay, and those that were judged,
            promoted or built on.
        failed_after_days: runs that failed and were not taken up again.
        interrupted_after_days: runs that were stopped or killed and not taken up again.
        evaluations_after_days: complete evaluations.
        datasets_after_days: the episodes of complete collections that no unfinished run needs;
            their manifest, figures and ledger rows stay.
        orphans: also remove folders that belong to no run.
    """

    keep_checkpoints: int | None = 3
    failed_after_days: float | None = 14.0
    interrupted_after_days: float | None = 30.0
    evaluations_after_days: float | None = None
    datasets_after_days: float | None = None
    orphans: bool = False

    def __post_init__(self) -> None:
        if self.keep_checkpoints is not None and self.keep_checkpoints < 1:
            raise ConfigError(f"keep_checkpoints must be at least 1, got {self.keep_checkpoints}")
        for name, days in vars(self).items():
            if name.endswith("_days") and days is not None and not 0 <= days < math.inf:
                raise ConfigError(f"{name} must be a number of days, got {days}")


@dataclass(frozen=True)
class Removal:
    """One thing that is to go.

    Attributes:
        what: in words.
        why: in words.
        bytes: what its files hold.
        carry_out: removes it.
    """

    what: str
    why: str
    bytes: int
    carry_out: Callable[[], None]


@dataclass
class Garbage:
    """What is to go by a policy, and what would be but is needed.

    Attributes:
        removals: in the order in which they are to be carried out.
        kept: what is old enough but stays, with the reason.
    """

    removals: list[Removal] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


def find_garbage(engine: Engine, policy: RetentionPolicy, now: str | None = None) -> Garbage:
    """What is to go; nothing is touched.

    Args:
        now: ISO 8601 UTC; None: the time of this machine.
    """
    records = find_runs(engine)
    with reading(engine) as connection:
        dependents = read_dependents(connection)
    search = _Search(engine, policy, records, dependents, _time(now or utc_now()))
    return search.all()


class _Search:
    """One look for garbage."""

    def __init__(
        self,
        engine: Engine,
        policy: RetentionPolicy,
        records: Sequence[RunRecord],
        dependents: Dependents,
        now: datetime,
    ) -> None:
        self._engine = engine
        self._policy = policy
        self._idle = [r for r in records if r.status in ("complete", "interrupted", "failed")]
        self._dependents = dependents
        self._now = now
        self._last = last_known(records, now)
        self._found = Garbage()

    def all(self) -> Garbage:
        for left in leftovers(self._engine):
            place = f" of run {left.run}" if left.run else ""
            self._add(f"{left.path.name}{place}", left.problem, left.path, left.clear)
        going = self._runs()
        staying = [record for record in self._idle if record.id not in going]
        self._expired_frames(staying)
        self._datasets(staying)
        self._checkpoints(staying, going)
        if self._policy.orphans:
            for path in orphans(self._engine):
                gone = partial(remove_orphan, self._engine, path)
                self._add(f"folder runs/{path.name}", "belongs to no run", path, gone)
        return self._found

    def _runs(self) -> set[str]:
        """Whole runs that are old enough and that nothing which stays depends on."""
        why = {record.id: reason for record in self._idle if (reason := self._outlived(record))}
        going = set(why)
        while needed := {run_id for run_id in going if self._dependents.of(run_id, going)}:
            going -= needed
        for record in reversed(self._idle):  # what builds on others goes before them
            if record.id in going:
                gone = partial(_remove_idle, self._engine, record, going)
                self._add(f"run {record.id}", why[record.id], record.folder, gone)
            elif record.id in why:
                self._keep(f"run {record.id}", "; ".join(self._dependents.of(record.id, going)))
        return going

    def _outlived(self, record: RunRecord) -> str | None:
        """Why a run is to go, in words; None when it is not."""
        policy = self._policy
        if record.status != "complete":
            days = getattr(policy, f"{record.status}_after_days")
            if days is not None and self._days(record) >= days:
                return f"{record.status} {self._days(record):.0f} days ago"
            if self._frames_are_over(record):
                return f"{_frames(record)}, and it is not complete"
            return None
        days = policy.evaluations_after_days
        if record.verb in EVALUATIONS and days is not None and self._days(record) >= days:
            return f"evaluated {self._days(record):.0f} days ago"
        return None

    def _expired_frames(self, staying: Sequence[RunRecord]) -> None:
        for record in staying:
            if record.status == "complete" and self._frames_are_over(record):
                users = self._unfinished_users(record)
                harm = f" (run {', '.join(users)} cannot go on without them)" if users else ""
                self._add_episodes(record, f"{_frames(record)}{harm}")

    def _datasets(self, staying: Sequence[RunRecord]) -> None:
        days = self._policy.datasets_after_days
        promoted = self._dependents.behind_promotions()
        for record in staying:
            old = days is not None and self._days(record) >= days
            if not old or (record.verb, record.status) != ("collect", "complete"):
                continue
            users = self._unfinished_users(record)
            if record.id in promoted:
                self._keep(f"episodes of {record.id}", "what was promoted was made from them")
            elif users:
                self._keep(f"episodes of {record.id}", f"run {', '.join(users)} needs them")
            elif not self._frames_are_over(record):
                self._add_episodes(record, f"collected {self._days(record):.0f} days ago")

    def _checkpoints(self, staying: Sequence[RunRecord], going: set[str]) -> None:
        keep = self._policy.keep_checkpoints
        if keep is None:
            return
        needed = self._dependents.needed_checkpoints(apart_from=going)
        for record in staying:
            if record.verb != "train":
                continue
            for step, path in list(list_checkpoints(record.folder).items())[:-keep]:
                what = f"checkpoint {step} of {record.id}"
                try:
                    sha256 = read_listing(path).sha256
                except CheckpointError as error:
                    self._keep(what, str(error))
                    continue
                if sha256 not in needed:
                    gone = partial(remove_checkpoint, self._engine, record, path, going)
                    self._add(what, f"not among the last {keep}, never judged", path, gone)

    def _frames_are_over(self, record: RunRecord) -> bool:
        plan = record.config.get("plan")
        days = plan.get("frames_keep_days") if isinstance(plan, dict) else None
        return days is not None and self._days(record) >= days

    def _days(self, record: RunRecord) -> float:
        return (self._now - self._last[record.id]) / timedelta(days=1)

    def _unfinished_users(self, record: RunRecord) -> list[str]:
        users = self._dependents.users_of([self._dependents.datasets[record.id]])
        return [user for user in users if self._dependents.status[user] != "complete"]

    def _add_episodes(self, record: RunRecord, why: str) -> None:
        folder = record.folder / EPISODES
        if folder.is_dir():
            gone = partial(remove_episodes, self._engine, record)
            self._add(f"episodes of {record.id}", why, folder, gone)

    def _add(self, what: str, why: str, path: Path, carry_out: Callable[[], None]) -> None:
        self._found.removals.append(Removal(what, why, size_bytes(path), carry_out))

    def _keep(self, what: str, why: str) -> None:
        self._found.kept.append(f"{what}: {why}")


def _remove_idle(engine: Engine, record: RunRecord, going: set[str]) -> None:
    """Remove a run, unless it was taken up since it was looked at."""
    if get_run(engine, record.id).status != record.status:
        raise RunError(f"run {record.id!r} was taken up meanwhile: it stays")
    remove_runs(engine, [record.id], going)


def last_known(records: Sequence[RunRecord], now: datetime) -> dict[str, datetime]:
    """Run -> the latest time recorded of it, or at which a run before it was begun.

    Args:
        records: in the order in which they were begun.
        now: times after it are believed of the run alone that has them.
    """
    before = datetime.min.replace(tzinfo=UTC)
    found = {}
    for record in records:
        times = [_time(text) for text in (record.started, record.ended) if text is not None]
        found[record.id] = max(before, *times)
        if times[0] <= now:
            before = max(before, times[0])
    return found


def after_days(time: str, days: float) -> str:
    """The time, ISO 8601 UTC, so many days after `time`."""
    return (_time(time) + timedelta(days=days)).isoformat(timespec="microseconds")


def _frames(record: RunRecord) -> str:
    plan = record.config["plan"]
    return (
        f"frames kept for {plan['frames_purpose']!r} are over their {plan['frames_keep_days']:g} "
        f"days"
    )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
