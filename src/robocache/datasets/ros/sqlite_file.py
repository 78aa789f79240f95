"""SQLite storage files (.db3), opened read-only and never trusted."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from robocache.core.errors import CorruptFileError
from robocache.datasets.native import reading
from robocache.datasets.ros.storage import LATEST_NS, Findings, Message, Topic, Where

MAGIC = b"SQLite format 3\0"
_FAILURES = (sqlite3.Error, OverflowError, UnicodeDecodeError, MemoryError)


class SqliteFile:
    """One database with the tables `topics` and `messages`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def messages(self, found: Findings) -> Iterator[Message]:
        if _has_content(self.path.with_name(self.path.name + "-wal")):
            notice = "has a write-ahead log (-wal) beside it; what is in it is not read"
            found.notices.append(CorruptFileError(notice, file=self.path))
        try:
            with closing(self._connect()) as database:
                with reading(self.path):
                    topics = self._topics(database)
                found.topics.extend(topics.values())
                yield from self._rows(database, topics)
        except CorruptFileError as error:
            found.damage.append(error.located(file=self.path))
        except _FAILURES as error:
            found.damage.append(CorruptFileError(f"SQLite says: {error}", file=self.path))

    def read(self, where: Where) -> bytes:
        try:
            with reading(self.path), closing(self._connect()) as database:
                found = database.execute("SELECT data FROM messages WHERE rowid = ?", where[1:2])
                row = found.fetchone()
        except _FAILURES as error:
            raise CorruptFileError(f"SQLite says: {error}", file=self.path) from error
        if row is None or not isinstance(row[0], bytes) or len(row[0]) != where[2]:
            raise CorruptFileError("the file changed while it was in use", file=self.path)
        return row[0]

    def _connect(self) -> sqlite3.Connection:
        address = f"file:{quote(str(self.path.absolute()))}?mode=ro&immutable=1"
        database = sqlite3.connect(address, uri=True, check_same_thread=False)
        size = self.path.stat().st_size if self.path.is_file() else 0
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, max(size, 2**16))
        database.execute("PRAGMA trusted_schema=OFF")
        return database

    def _topics(self, database: sqlite3.Connection) -> dict[int, Topic]:
        tables = {
            row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type='table'")
        }
        for table in ("topics", "messages"):
            if table not in tables:
                raise CorruptFileError(f"has no table {table!r}: not a rosbag2 database")
        definitions = {}
        if "message_definitions" in tables:
            columns = "topic_type, encoding, encoded_message_definition"
            for row in database.execute(f"SELECT {columns} FROM message_definitions"):
                definitions[row[0]] = (str(row[2]), str(row[1]))
        topics = {}
        columns = "id, name, type, serialization_format"
        for number, name, kind, encoding in database.execute(f"SELECT {columns} FROM topics"):
            definition, form = definitions.get(kind, ("", ""))
            topics[number] = Topic(str(name), str(kind), definition, form, str(encoding))
        return topics

    def _rows(self, database: sqlite3.Connection, topics: dict[int, Topic]) -> Iterator[Message]:
        size, total = self.path.stat().st_size, 0
        columns = "rowid, topic_id, timestamp, data"
        for row, number, log_ns, data in self._fetched(f"SELECT {columns} FROM messages", database):
            if not isinstance(data, bytes) or not isinstance(log_ns, int) or number not in topics:
                raise CorruptFileError(f"row {row} of messages is not a message of a topic")
            if not 0 <= log_ns < LATEST_NS:
                raise CorruptFileError(f"row {row} of messages says it is of {log_ns} ns")
            total += len(data) + 1
            if total > size:
                raise CorruptFileError(f"row {row}: the messages hold more bytes than the file")
            yield Message(topics[number], log_ns, log_ns, data, (-1, row, len(data)))

    def _fetched(self, query: str, database: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
        with reading(self.path):
            cursor = database.execute(query)
        while True:
            with reading(self.path):
                row = cursor.fetchone()
            if row is None:
                return
            yield row


def _has_content(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0
