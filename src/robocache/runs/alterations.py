"""What of a run is not as it was recorded: its row, manifest, files, ledger rows, checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from robocache.core.errors import DataError, RoboCacheError
from robocache.runs.artifacts import altered, list_artifact_names
from robocache.runs.checkpoints import (
    LISTING_NAME,
    altered_files,
    list_checkpoints,
    read_listing,
)
from robocache.runs.database import reading
from robocache.runs.home import located
from robocache.runs.ledger import Ledger, LedgerRow, content_of, rows_digest
from robocache.runs.manifest import MANIFEST_NAME, digests, read_manifest
from robocache.runs.plain import first_difference, plain
from robocache.runs.records import RunRecord
from robocache.runs.removal import REMOVING
from robocache.runs.tables import checkpoints

EPISODES = "episodes"

ReadRows = Callable[[Path], Sequence[LedgerRow]]
"""The ledger rows that follow from a shard's own content."""

Found = tuple[str, str]
"""Place, and what is wrong with it."""


def altered_parts(
    engine: Engine, record: RunRecord, read_rows: ReadRows | None = None
) -> Iterator[Found]:
    """What of a run is not as it was recorded, each thing once."""
    if record.status == REMOVING:
        yield "its removal", "was begun and not ended: run robocache runs gc"
        return
    if not record.folder.is_dir():
        yield f"folder {record.folder.name}", "is gone"
        return
    if record.status == "running":
        return
    named = set()
    if record.status == "complete" or record.manifest is not None:
        for place, problem in _manifest_problems(record):
            named.add(place)
            yield place, problem
        yield from _ledger_problems(engine, record, read_rows)
    yield from _checkpoint_problems(engine, record, named)


def _manifest_problems(record: RunRecord) -> Iterator[Found]:
    try:
        manifest = read_manifest(record.folder)
    except (RoboCacheError, OSError) as error:
        yield MANIFEST_NAME, f"cannot be read: {error}"
        return
    sealed, found = record.manifest, digests(manifest)
    if sealed is None and manifest["schema_version"] > 1:
        yield "row of the run", "has lost the digests of its manifest"
        return
    edited = set()
    if sealed is not None:
        edited = {n for n in {*sealed, *found} if sealed.get(n) != found.get(n)}
    recorded = _of_both(record)
    for name in sorted(edited):
        yield MANIFEST_NAME, f"is altered: {_what_changed(recorded, manifest, name)}"
    for name in sorted(recorded.keys() - edited):
        difference = first_difference(manifest.get(name), recorded[name], name)
        if difference:
            where, was, now = difference
            yield f"row of the run, {where},", f"is {now!r}, was {was!r}"
    if "artifacts" in manifest and "artifacts" not in edited:
        yield from _artifact_problems(record, manifest["artifacts"])


def _of_both(record: RunRecord) -> dict[str, Any]:
    """What the row of a run says in the words of the manifest."""
    return {
        "run": record.id,
        "verb": record.verb,
        "status": record.status,
        "ended": record.ended,
        "error": record.error,
        "config": record.config,
        "config_hash": record.config_hash,
        "metrics": plain(dict(record.metrics)),
        **record.inputs,
    }


def _what_changed(recorded: Mapping[str, Any], manifest: Mapping[str, Any], name: str) -> str:
    """A manifest field that is not what it was, as exactly as the database knows."""
    if name in recorded:
        difference = first_difference(recorded[name], manifest.get(name), name)
        if difference:
            where, was, now = difference
            return f"{where} was {was!r}, is {now!r}"
    return name


def _artifact_problems(
    record: RunRecord, artifacts: Mapping[str, Mapping[str, Any]]
) -> Iterator[Found]:
    for name, recorded in artifacts.items():
        problem = altered(record.folder, name, recorded)
        if problem and name not in record.removed:
            yield name, problem
    for name in list_artifact_names(record.folder):
        # A note beside the folders of results harms nobody.
        if "/" in name and name not in artifacts and name not in record.removed:
            yield name, "was added after the run had ended"


def _ledger_problems(
    engine: Engine, record: RunRecord, read_rows: ReadRows | None
) -> Iterator[Found]:
    rows = {row.key: row for row in Ledger(engine, record.id).rows()}
    shards = {path.name: path for path in (record.folder / EPISODES).glob("*.parquet")}
    stray = [row for row in rows.values() if shards and row.shard not in shards]
    for row in stray:
        yield f"ledger row of episode {row.key}", f"names shard {row.shard}, which is not there"
    found = rows_digest(list(rows.values())) if rows else None
    if record.manifest is not None and found == record.ledger:
        return
    named = bool(stray)
    for difference in _differing_rows(rows, shards, read_rows) if read_rows else ():
        named = True
        yield difference
    if record.manifest is not None and not named:
        yield "its ledger rows", "are not those it ended with"


def _differing_rows(
    rows: Mapping[str, LedgerRow], shards: Mapping[str, Path], read_rows: ReadRows
) -> Iterator[Found]:
    """Rows that do not say what their shard says, and rows that are gone."""
    seen = set()
    for name, shard in sorted(shards.items()):
        try:
            recorded = read_rows(shard)
        except DataError as error:
            yield f"{EPISODES}/{name}", f"cannot be read: {error}"
            continue
        for truth in recorded:
            seen.add(truth.key)
            place = f"ledger row of episode {truth.key}"
            row = rows.get(truth.key)
            if row is None:
                yield place, "is gone"
                continue
            if row.shard != name:
                continue  # this shard was made a second time; the first counts
            difference = first_difference(plain(content_of(truth)), plain(content_of(row)))
            if difference:
                where, was, now = difference
                yield place, f"is altered: {where} was {was!r}, is {now!r}"
    for key in sorted(rows.keys() - seen if shards else ()):
        yield f"ledger row of episode {key}", "names an episode that no shard holds"


def _checkpoint_problems(engine: Engine, record: RunRecord, named: set[str]) -> Iterator[Found]:
    """Checkpoints that are altered, gone or not recorded.

    Args:
        named: places that are known to be altered already.
    """
    identities = {}
    for path in list_checkpoints(record.folder).values():
        place = path.relative_to(record.folder).as_posix()
        if f"{place}/{LISTING_NAME}" in named:
            continue
        try:
            identities[path] = read_listing(path).sha256
        except RoboCacheError as error:
            named.add(f"{place}/{LISTING_NAME}")
            yield f"{place}/{LISTING_NAME}", f"cannot be read: {error}"
            continue
        for name, problem in altered_files(path):
            yield f"{place}/{name}", problem
    known, here = _recorded_checkpoints(engine, record, set(identities.values()))
    for path, identity in identities.items():
        place = path.relative_to(record.folder).as_posix()
        if identity not in known and f"{place}/{LISTING_NAME}" not in record.removed:
            yield place, f"({identity[:12]}) is not in the database"
        elif here.get(path, identity) != identity:
            yield place, f"is now {identity[:12]}, was {here[path][:12]}"
    for path in sorted(here.keys() - identities.keys()):
        place = path.relative_to(record.folder).as_posix()
        if f"{place}/{LISTING_NAME}" not in named:
            yield place, f"({here[path][:12]}) is gone"


def _recorded_checkpoints(
    engine: Engine, record: RunRecord, identities: set[str]
) -> tuple[set[str], dict[Path, str]]:
    """Which of these identities the database knows, and folder -> identity of those of the run."""
    query = select(checkpoints.c.sha256, checkpoints.c.path).where(
        checkpoints.c.sha256.in_(identities) | (checkpoints.c.run_id == record.id)
    )
    with reading(engine) as connection:
        rows = {row.sha256: located(row.path) for row in connection.execute(query)}
    here = {path: h for h, path in rows.items() if path.is_relative_to(record.folder)}
    return set(rows), here
