"""The jobs of `Local` on disk, in one SQLite file that only the daemon writes.

A job is in the table `job` until it is over, and in the table `ended` then. Each
method that changes something is one transaction. Commits are safe from the end of
any process; that of `submit` is also safe from a crash of the machine, since
its caller is told that the jobs won't be lost.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from adaptive_scheduler.scheduler.local.spool import Message

#: How many ended jobs are remembered.
REMEMBERED_ENDS = 20_000
#: How many submissions are remembered, so that one which is sent again is not done again.
_REMEMBERED_SUBMISSIONS = 1_000
#: Errors that say nothing about what is in the file: the disk is full, slow or does not work.
_PASSING = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
    }
)
#: The first number of a batch is smaller.
_MAX_FIRST = 10**10
#: The largest number that SQLite keeps.
_MAX_INTEGER = 2**63 - 1

# What holds texts of the user is JSON: names may hold bytes that are no text in any encoding.
_SCHEMA = """
BEGIN;
CREATE TABLE submission (                 -- gives batches their numbers, none of them twice
    batch INTEGER PRIMARY KEY AUTOINCREMENT,
    idempotency_key TEXT NOT NULL UNIQUE  -- the same when a submission is sent again
);
CREATE TABLE batch (                      -- jobs that were submitted together, until all have ended
    id INTEGER PRIMARY KEY,
    cores INTEGER NOT NULL,               -- of each job
    max_cores INTEGER NOT NULL,           -- a job starts only if no more are in use then
    kill_wait REAL NOT NULL,              -- seconds between SIGTERM and SIGKILL
    shown TEXT NOT NULL,                  -- JSON: what the queue shows of it
    launch TEXT NOT NULL                  -- JSON: how its jobs are started
);
CREATE TABLE job (                        -- those that wait, and those that run
    batch INTEGER, number INTEGER,
    is_running INTEGER NOT NULL,
    PRIMARY KEY (batch, number)
) WITHOUT ROWID;
CREATE TABLE ended (
    position INTEGER PRIMARY KEY,         -- the last one is the largest
    batch INTEGER, number INTEGER,
    how TEXT NOT NULL,                    -- JSON: state, exit code, reason
    UNIQUE (batch, number)
);
INSERT INTO sqlite_sequence VALUES ('submission', {before_first});
PRAGMA user_version = 1;
COMMIT;
"""


class JobKey(NamedTuple):
    """Which job: its batch, and its number in the batch."""

    batch: int
    number: int

    def __str__(self) -> str:
        return f"{self.batch}_{self.number}"

    @classmethod
    def parse(cls, job_id: str) -> JobKey | None:
        """Return the job that has the id `job_id`; None if no job can have it."""
        batch, _, number = job_id.partition("_")
        if not (batch.isdecimal() and number.isdecimal()):
            return None
        key = cls(int(batch), int(number))
        return key if str(key) == job_id and max(key) <= _MAX_INTEGER else None


class Batch(NamedTuple):
    """What the jobs of a batch have in common.

    Attributes
    ----------
    cores
        Of each job.
    max_cores
        A job starts only if no more cores than these are in use then.
    kill_wait
        Seconds between SIGTERM and SIGKILL when a job has to end.
    shown
        What the queue shows of it: ``job_name``, ``token``, ``submitted``.
    launch
        How its jobs are started.
    """

    cores: int
    max_cores: int
    kill_wait: float
    shown: Message
    launch: Message


class Database:
    """The file with the jobs; it is made if it is not there.

    Parameters
    ----------
    path
        Where it is.

    Attributes
    ----------
    damaged
        Where a file that could not be read was put; None if all is well.

    Raises
    ------
    sqlite3.OperationalError
        If the disk is full or does not work. Each method may raise it; nothing has changed then.
    """

    def __init__(self, path: Path) -> None:
        self.damaged: Path | None = None
        try:
            self._connection = _connect(path)
        except (sqlite3.DatabaseError, ValueError) as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
            if code & 0xFF in _PASSING:  # the rest of the code says more about it
                raise
            self.damaged = _put_aside(path)
            self._connection = _connect(path)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    # What there is.

    @property
    def is_empty(self) -> bool:
        """Whether no jobs wait or run."""
        return self._one("SELECT 1 FROM batch LIMIT 1") is None

    def has_batch(self, number: int) -> bool:
        """Return whether jobs of a batch wait or run."""
        return self._one("SELECT 1 FROM batch WHERE id = ?", number) is not None

    def batch(self, number: int) -> Batch:
        """Return what the jobs of a batch, which wait or run, have in common."""
        query = "SELECT cores, max_cores, kill_wait, shown, launch FROM batch WHERE id = ?"
        cores, max_cores, kill_wait, shown, launch = self._one(query, number)
        return Batch(cores, max_cores, kill_wait, json.loads(shown), json.loads(launch))

    def batches(self) -> dict[int, Message]:
        """Return what the queue shows of each batch, in the order in which they came."""
        rows = self._connection.execute("SELECT id, shown FROM batch ORDER BY id")
        return {number: json.loads(shown) for number, shown in rows}

    def next_pending(self) -> tuple[JobKey, int, int] | None:
        """Return the job whose turn it is, with its cores and max_cores."""
        row = self._one(
            "SELECT batch, number, cores, max_cores FROM job JOIN batch ON id = batch"
            " WHERE NOT is_running ORDER BY batch, number LIMIT 1"
        )
        return row and (JobKey(*row[:2]), *row[2:])

    def jobs(self, *, running: bool) -> list[JobKey]:
        """Return the jobs that run, or those that wait, in the order in which they came."""
        query = "SELECT batch, number FROM job WHERE is_running = ? ORDER BY batch, number"
        return [JobKey(*row) for row in self._connection.execute(query, (running,))]

    def is_pending(self, key: JobKey) -> bool:
        """Return whether a job waits."""
        query = "SELECT 1 FROM job WHERE batch = ? AND number = ? AND NOT is_running"
        return self._one(query, *key) is not None

    def knows(self, key: JobKey) -> bool:
        """Return whether a job waits, runs or has ended."""
        tables = "(SELECT batch, number FROM job UNION ALL SELECT batch, number FROM ended)"
        query = f"SELECT 1 FROM {tables} WHERE batch = ? AND number = ?"  # noqa: S608  ours
        return self._one(query, *key) is not None

    def ends(self, job_ids: Iterable[str]) -> dict[str, Message]:
        """Return how jobs have ended, as far as it is remembered."""
        query = "SELECT how FROM ended WHERE batch = ? AND number = ?"
        keys = filter(None, map(JobKey.parse, job_ids))
        found = {str(key): self._one(query, *key) for key in keys}
        return {job_id: json.loads(row[0]) for job_id, row in found.items() if row}

    def _one(self, query: str, *values: object) -> Any:
        return self._connection.execute(query, values).fetchone()

    # What happens.

    def submit(self, idempotency_key: str, numbers: Iterable[int], batch: Batch) -> int:
        """Add jobs; return the number of their batch. With the same key again, the same."""
        key = (idempotency_key,)
        if known := self._one("SELECT batch FROM submission WHERE idempotency_key = ?", *key):
            return int(known[0])
        self._connection.execute("PRAGMA synchronous = FULL")
        try:
            with self._connection as change:
                query = "INSERT INTO submission (idempotency_key) VALUES (?)"
                added = change.execute(query, key)
                number = added.lastrowid or 0
                forgotten = (number - _REMEMBERED_SUBMISSIONS,)
                change.execute("DELETE FROM submission WHERE batch <= ?", forgotten)
                self._insert_batch(number, batch)
                rows = ((number, each) for each in numbers)
                change.executemany("INSERT INTO job VALUES (?, ?, FALSE)", rows)
        finally:
            self._connection.execute("PRAGMA synchronous = NORMAL")
        return number

    def start(self, key: JobKey) -> None:
        """Note that a job has a supervisor."""
        with self._connection as change:
            change.execute("UPDATE job SET is_running = TRUE WHERE batch = ? AND number = ?", key)

    def adopt(self, key: JobKey, batch: Batch) -> None:
        """Note that a job runs of which nothing was known."""
        with self._connection as change:
            self._insert_batch(key.batch, batch)
            change.execute("INSERT INTO job VALUES (?, ?, TRUE)", key)

    def end(
        self, keys: Iterable[JobKey], state: str, exit_code: int | None = None, reason: str = ""
    ) -> None:
        """Note that jobs are over, and how that came."""
        how = json.dumps({"state": state, "exit_code": exit_code, "reason": reason})
        rows = list(keys)
        with self._connection as change:
            change.executemany("DELETE FROM job WHERE batch = ? AND number = ?", rows)
            query = "INSERT OR REPLACE INTO ended (batch, number, how) VALUES (?, ?, ?)"
            change.executemany(query, [(*key, how) for key in rows])
            change.execute(
                "DELETE FROM ended WHERE position <= (SELECT max(position) FROM ended) - ?",
                (REMEMBERED_ENDS,),
            )
            change.executemany(
                "DELETE FROM batch WHERE id = ? AND NOT EXISTS"
                " (SELECT 1 FROM job WHERE batch = batch.id)",
                {(key.batch,) for key in rows},
            )

    def _insert_batch(self, number: int, batch: Batch) -> None:
        shown, launch = json.dumps(batch.shown), json.dumps(batch.launch)
        row = (number, batch.cores, batch.max_cores, batch.kill_wait, shown, launch)
        self._connection.execute("INSERT OR IGNORE INTO batch VALUES (?, ?, ?, ?, ?, ?)", row)


def _connect(path: Path) -> sqlite3.Connection:
    """Open the file and look whether it is whole.

    Raises
    ------
    sqlite3.DatabaseError, ValueError
        If it is not.
    """
    connection = sqlite3.connect(path)
    try:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        if connection.execute("PRAGMA user_version").fetchone() == (0,):
            # Far from the numbers of a database that was here before, which nobody knows.
            before_first = secrets.randbelow(_MAX_FIRST)
            connection.executescript(_SCHEMA.format(before_first=before_first))
        for row in connection.execute("SELECT shown, launch FROM batch"):
            _ = [json.loads(text) for text in row]  # SQLite does not look into texts
        for (text,) in connection.execute("SELECT how FROM ended"):
            json.loads(text)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
    except (sqlite3.Error, ValueError):
        connection.close()
        raise
    return connection


def _put_aside(path: Path) -> Path:
    """Rename a file that can't be read, with all that SQLite keeps beside it."""
    number = 1
    while (aside := path.with_name(f"damaged-{number}.sqlite")).exists():
        number += 1
    for suffix in ("-wal", "-shm", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return aside
