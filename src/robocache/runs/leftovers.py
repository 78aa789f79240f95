"""What killed removals and killed writers left, and folders that belong to no run."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import Engine

from robocache.core.errors import StoreError
from robocache.runs.files import remove
from robocache.runs.home import runs_folder
from robocache.runs.lock import is_locked
from robocache.runs.records import LOCK_NAME, find_runs
from robocache.runs.removal import (
    DOOMED,
    EPISODES,
    REMOVING,
    doom,
    doomed_name,
    erase,
    locked,
    remove_episodes,
    remove_runs,
)

_TEMPORARY = re.compile(r"\..*\.tmp-(\d+)-[0-9a-f]{8}")


@dataclass(frozen=True)
class Leftover:
    """What a removal or a writer that was killed left.

    Attributes:
        run: id of the run it belongs to, or "".
        path: where it is.
        problem: what it is.
        clear: ends what was begun.
    """

    run: str
    path: Path
    problem: str
    clear: Callable[[], None]


def remove_orphan(engine: Engine, path: Path) -> None:
    """Remove a folder beside those of the runs that belongs to none.

    Raises:
        StoreError: a run that is about to begin holds it.
    """
    with locked(path / LOCK_NAME, path.name):
        if find_runs(engine, run_id=path.name):
            raise StoreError(f"{path} belongs to a run by now: it stays")
        doomed = doomed_name(path)
        doom(path, doomed)
        erase(doomed)


def orphans(engine: Engine) -> list[Path]:
    """Folders beside those of the runs that belong to no run."""
    known = {record.id for record in find_runs(engine)}
    return [
        path
        for path in _folders()
        if path.name not in known and not path.name.startswith((DOOMED, "."))
    ]


def leftovers(engine: Engine) -> Iterator[Leftover]:
    """What killed removals and killed writers left, of runs that nobody executes now."""
    for record in find_runs(engine):
        if record.status == REMOVING:
            clear = partial(remove_runs, engine, [record.id])
            yield Leftover(record.id, record.folder, "a run half removed", clear)
    for path in _folders():
        if is_locked(path / LOCK_NAME):
            continue
        if path.name.startswith(DOOMED):
            yield Leftover("", path, "the folder of a removed run", partial(erase, path))
        else:
            yield from _inside(engine, path)


def _inside(engine: Engine, folder: Path) -> Iterator[Leftover]:
    """Leftovers in the folder of a run."""
    doomed = doomed_name(folder / EPISODES)
    record = next(iter(find_runs(engine, run_id=folder.name)), None) if doomed.is_dir() else None
    if record is not None:
        clear = partial(remove_episodes, engine, record)
        yield Leftover(record.id, doomed, "episodes half removed", clear)
    for path in sorted(folder.glob(f"checkpoints/{DOOMED}*")):
        yield Leftover(folder.name, path, "a checkpoint half removed", partial(erase, path))
    for path in sorted(folder.rglob(".*.tmp-*")):
        temporary = _TEMPORARY.fullmatch(path.name)
        if temporary and not _is_running(int(temporary[1])) and doomed not in path.parents:
            yield Leftover(folder.name, path, "a file half written", partial(remove, path))


def _folders() -> list[Path]:
    folder = runs_folder()
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
