"""The ways to name a checkpoint on a command line."""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy import Engine, select

from robocache.core.errors import CheckpointError, ConfigError, unknown_name
from robocache.runs.checkpoints import LISTING_NAME, latest_checkpoint, list_checkpoints
from robocache.runs.database import reading
from robocache.runs.home import located
from robocache.runs.records import get_run
from robocache.runs.registry import Registry
from robocache.runs.tables import checkpoints

_PREFIX = re.compile(r"[0-9a-f]{6,64}")


def find_checkpoint(engine: Engine, text: str) -> Path:
    """The checkpoint that `text` means.

    Args:
        text: a folder; `slot:NAME`, what holds the slot; `RUN@STEP`; a run, meaning its last
            checkpoint; or six or more digits of a checkpoint's hash.

    Raises:
        ConfigError: no such run, slot or checkpoint; the message names the nearest.
        CheckpointError: it is known but has no checkpoint, or its folder is gone.
    """
    if text.startswith("slot:"):
        return _present(_slot(engine, text.removeprefix("slot:")), text)
    path = Path(text).expanduser()
    if (path / LISTING_NAME).is_file():
        return path.absolute()
    run_id, at, step = text.partition("@")
    if at:
        return _checkpoint_at(engine, run_id, step)
    by_hash = _by_hash(engine, text) if _PREFIX.fullmatch(text) else None
    if by_hash is not None:
        return _present(by_hash, text)
    if path.is_dir() or "/" in text:
        raise CheckpointError(f"{text} is not a checkpoint: it has no {LISTING_NAME} file")
    latest = latest_checkpoint(get_run(engine, text).folder)
    if latest is None:
        raise CheckpointError(f"run {text!r} has no checkpoint yet")
    return latest


def _slot(engine: Engine, slot: str) -> Path:
    registry = Registry(engine)
    holder = registry.holder(slot)
    if holder is None:
        raise unknown_name("slot", slot, registry.slots())
    return holder.path


def _checkpoint_at(engine: Engine, run_id: str, step: str) -> Path:
    found = list_checkpoints(get_run(engine, run_id).folder)
    if not step.isdecimal() or int(step) not in found:
        steps = ", ".join(map(str, found)) or "none"
        raise CheckpointError(f"run {run_id!r} has no checkpoint at step {step} (has: {steps})")
    return found[int(step)]


def _by_hash(engine: Engine, prefix: str) -> Path | None:
    query = select(checkpoints.c.sha256, checkpoints.c.path).where(
        checkpoints.c.sha256.startswith(prefix)
    )
    with reading(engine) as connection:
        found = connection.execute(query.limit(2)).all()
    if len(found) > 1:
        raise ConfigError(f"more than one checkpoint begins with {prefix}: give more digits")
    return located(found[0].path) if found else None


def _present(path: Path, text: str) -> Path:
    if not (path / LISTING_NAME).is_file():
        raise CheckpointError(
            f"checkpoint {text} was at {path}, which is gone: restore that folder"
        )
    return path
