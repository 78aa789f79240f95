"""The ledger: which episodes a collection has, each exactly once.

A worker writes a shard, syncs and renames it, and only then are its episodes committed here. An
episode belongs to the first shard that is committed with it; a later one with the same content is
an orphan, one with other content proves that making episodes is not deterministic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, insert, select

from robocache.core.errors import StoreError
from robocache.runs.crash import crash_point
from robocache.runs.database import insert_missing, reading, writing
from robocache.runs.files import remove, sha256_lines
from robocache.runs.plain import canonical_json, plain, utc_now
from robocache.runs.tables import conflicts, episodes

_KEYS_A_QUERY = 500


@dataclass(frozen=True)
class LedgerRow:
    """One committed episode.

    Attributes:
        key: unique name of the episode within its collection.
        shard: name of its file relative to the folder of the collection, with forward slashes.
        sha256: hash of its content, the same whenever and wherever it is made.
        success: whether the task was solved; None when nobody judged it.
        steps: number of actions executed.
        task: task name.
        seed: root seed; None for what was not simulated.
        index: number of the episode under that seed.
        attempt: which attempt at the episode succeeded, from 0.
        details: further plain values.
    """

    key: str
    shard: str
    sha256: str
    success: bool | None = None
    steps: int = 0
    task: str = ""
    seed: int | None = None
    index: int = 0
    attempt: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)


class Ledger:
    """The episodes of one collection; one collection a folder."""

    def __init__(self, engine: Engine, collection: str) -> None:
        self._engine = engine
        self.collection = collection

    def keys(self) -> set[str]:
        """Keys of all committed episodes."""
        with reading(self._engine) as connection:
            return set(connection.scalars(self._select(episodes.c.key)))

    def rows(self) -> list[LedgerRow]:
        """All committed episodes, sorted by key."""
        columns = [column for column in episodes.c if column.name != "collection"]
        with reading(self._engine) as connection:
            found = [
                LedgerRow(**row._mapping) for row in connection.execute(self._select(*columns))
            ]
        return sorted(found, key=lambda row: row.key)

    def shards(self) -> set[str]:
        """Names of the files that hold committed episodes."""
        with reading(self._engine) as connection:
            return set(connection.scalars(self._select(episodes.c.shard).distinct()))

    def fingerprint(self) -> str:
        """Hex sha256 over the sorted pairs of key and content hash; shards do not count."""
        return sha256_lines(f"{row.key}\x00{row.sha256}\n" for row in self.rows())

    def digest(self) -> str | None:
        """Hex sha256 over all that the rows say of the episodes; None without rows."""
        rows = self.rows()
        return rows_digest(rows) if rows else None

    def commit(self, rows: Sequence[LedgerRow]) -> list[LedgerRow]:
        """Add episodes in one transaction; the rows whose key was taken already.

        Committing the same rows again changes nothing and returns them all.

        Raises:
            StoreError: a taken key was committed with other content before ("nondeterminism").
                The other rows are committed, and the conflict is recorded (`conflicts`).
        """
        if not rows:
            return []
        with writing(self._engine) as connection:
            taken = self._insert(connection, rows)
            different = self._different(connection, taken)
            if different:
                connection.execute(insert(conflicts), [self._conflict(row) for row, _ in different])
            crash_point("ledger-inserted")
        crash_point("ledger-committed")
        if different:
            raise self._nondeterminism(different)
        return taken

    def conflicts(self) -> list[dict[str, Any]]:
        """Every attempt that gave other content than what is committed, oldest first."""
        query = select(conflicts).where(conflicts.c.collection == self.collection)
        with reading(self._engine) as connection:
            found = connection.execute(query.order_by(conflicts.c.id)).mappings()
            return [dict(row) for row in found]

    def _select(self, *columns: Any) -> Any:
        return select(*columns).where(episodes.c.collection == self.collection)

    def _insert(self, connection: Connection, rows: Sequence[LedgerRow]) -> list[LedgerRow]:
        """Insert what is new; the rest."""
        values = [
            {**asdict(row), "details": plain(row.details), "collection": self.collection}
            for row in rows
        ]
        query = insert_missing(connection, episodes).returning(episodes.c.key)
        inserted = set(connection.scalars(query, values))
        taken = []
        for row in rows:  # of two rows with one key the first was inserted
            if row.key in inserted:
                inserted.remove(row.key)
            else:
                taken.append(row)
        return taken

    def _different(
        self, connection: Connection, taken: Sequence[LedgerRow]
    ) -> list[tuple[LedgerRow, str]]:
        """Rows whose committed content is another, with the committed hash."""
        committed: dict[str, str] = {}
        for start in range(0, len(taken), _KEYS_A_QUERY):
            keys = [row.key for row in taken[start : start + _KEYS_A_QUERY]]
            query = self._select(episodes.c.key, episodes.c.sha256)
            found = connection.execute(query.where(episodes.c.key.in_(keys)))
            committed.update((key, sha256) for key, sha256 in found)
        return [(row, committed[row.key]) for row in taken if row.sha256 != committed[row.key]]

    def _conflict(self, row: LedgerRow) -> dict[str, Any]:
        return {
            "collection": self.collection,
            "key": row.key,
            "shard": row.shard,
            "sha256": row.sha256,
            "attempt": row.attempt,
            "created": utc_now(),
        }

    def _nondeterminism(self, different: Sequence[tuple[LedgerRow, str]]) -> StoreError:
        row, committed = different[0]
        more = f" and {len(different) - 1} more" if len(different) > 1 else ""
        return StoreError(
            f"nondeterminism: episode {row.key!r} of {self.collection!r} was committed with "
            f"sha256 {committed}, another attempt gave {row.sha256} (shard {row.shard}){more}; "
            f"the first is kept: compare both, and pin what differs between the attempts"
        )


def rows_digest(rows: Sequence[LedgerRow]) -> str:
    """Hex sha256 over all that rows say of their episodes, not of shards and attempts."""
    ordered = sorted(rows, key=lambda row: row.key)
    return sha256_lines(canonical_json(content_of(row)) + "\n" for row in ordered)


def content_of(row: LedgerRow) -> dict[str, Any]:
    """What a row says of its episode, wherever it was made."""
    content = asdict(row)
    del content["shard"], content["attempt"]
    return content


def sweep(ledger: Ledger, folder: Path) -> list[Path]:
    """Remove shards and temporary files in `folder` that no row refers to; the paths removed.

    Only call it while no worker writes to the collection. Shards of recorded conflicts stay, to be
    compared.
    """
    kept = ledger.shards() | {row["shard"] for row in ledger.conflicts()}
    found = sorted({*folder.rglob("*.parquet"), *folder.rglob("*.tmp*")})
    orphans = [path for path in found if path.relative_to(folder).as_posix() not in kept]
    for path in orphans:
        remove(path)
    return orphans
