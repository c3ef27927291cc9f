"""The entries, in SQLite. Sync code that knows nothing of event loops."""

import logging
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

log = logging.getLogger(__name__)

HOST = "The host"
"""The author whose entries are answers: see `bot`."""


@dataclass(frozen=True)
class Entry:
    id: int
    author: str
    text: str
    written: str
    """When, in UTC, as ISO 8601."""


class Store:
    """One connection, opened at the first use, on the thread of the first use.

    sqlite3 checks that every later use is on that thread. So this class works only because each sync call of
    the site, from wherever it comes, runs on one thread: `thread_sensitive=True`, the default, is for that.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    @cached_property
    def _connection(self) -> sqlite3.Connection:
        log.info("open the database")
        connection = sqlite3.connect(self._path, check_same_thread=True)
        connection.execute(
            "CREATE TABLE IF NOT EXISTS entry"
            " (id INTEGER PRIMARY KEY, author TEXT NOT NULL, text TEXT NOT NULL, written TEXT NOT NULL)"
        )
        return connection

    def add(self, author: str, text: str) -> Entry:
        log.info("write an entry by %s", author)
        written = datetime.now(UTC).isoformat(timespec="seconds")
        with self._connection as transaction:
            cursor = transaction.execute(
                "INSERT INTO entry (author, text, written) VALUES (?, ?, ?)", (author, text, written)
            )
        assert cursor.lastrowid is not None
        return Entry(cursor.lastrowid, author, text, written)

    def latest(self, limit: int = 100) -> list[Entry]:
        """The newest entries, newest first."""
        log.info("read the latest entries")
        rows = self._connection.execute(
            "SELECT id, author, text, written FROM entry ORDER BY id DESC LIMIT ?", (limit,)
        )
        return [Entry(*row) for row in rows]

    def after(self, entry_id: int) -> list[Entry]:
        """The entries that came after one, oldest first."""
        log.info("read the entries after %d", entry_id)
        rows = self._connection.execute(
            "SELECT id, author, text, written FROM entry WHERE id > ? ORDER BY id", (entry_id,)
        )
        return [Entry(*row) for row in rows]

    def newest(self) -> int:
        """The id of the last entry, or 0."""
        log.info("look up the newest entry")
        return int(self._connection.execute("SELECT coalesce(max(id), 0) FROM entry").fetchone()[0])

    def count(self) -> int:
        log.info("count the entries")
        return int(self._connection.execute("SELECT count(*) FROM entry").fetchone()[0])

    def close(self) -> None:
        log.info("close the database")
        self._connection.close()
