"""The tables of the dashboard: typed columns, the rows of each table, and what travels.

Numbers travel as bytes, and each text only once. So a table of ten thousand rows is
a message of a few hundred kilobytes, and a change of one row a message of a hundred
bytes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np

from adaptive_scheduler._common.formatting import counted
from adaptive_scheduler.run_folder.models import DONE, RUNNING

if TYPE_CHECKING:
    import pandas as pd

    from adaptive_scheduler.learners.paths import ResolvedFname
    from adaptive_scheduler.scheduler.base import BaseScheduler
    from adaptive_scheduler.server_support.view import JobRow, LearnerRow, RunView, Version

#: What a column holds, which decides how it is stored and shown.
Kind: TypeAlias = Literal[
    "integer", "number", "share", "percent", "time", "seconds", "state", "text"
]

_DTYPES: Final[dict[str, str]] = {
    "integer": "f8",
    "number": "f8",
    "share": "f4",
    "percent": "f4",
    "time": "f8",
    "seconds": "f4",
    "state": "i4",
    "text": "i4",
}
_OF_TEXTS: Final = frozenset({"state", "text"})
#: Above this share of changed rows the whole table is as cheap.
_WHOLE_ABOVE = 0.4


@dataclass(frozen=True)
class Column:
    """What a column is called, and what it holds.

    Attributes
    ----------
    name
        For programs.
    label
        For people.
    kind
        How values are stored and shown. None stands for "nothing known".
    width
        In pixels, to begin with.
    """

    name: str
    label: str
    kind: Kind = "text"
    width: int = 90


class Columns:
    """The rows of a table, column by column.

    Parameters
    ----------
    columns
        What there is.
    n_rows
        How many rows there are; at first nothing is known of any.
    """

    def __init__(self, columns: Sequence[Column], n_rows: int) -> None:
        self.columns = tuple(columns)
        self._values = [_empty(column, n_rows) for column in columns]
        self._texts: list[dict[str, int]] = [{"": 0} for _ in columns]
        #: How many texts of each column have travelled.
        self._n_sent = [1] * len(columns)
        self._changed: set[int] = set()
        self._n_rows = n_rows
        #: Number of the last message that said anything.
        self.sequence = 0

    def __len__(self) -> int:
        return self._n_rows

    def set_row(self, row: int, values: Sequence[Any]) -> None:
        """Take note of the values of a row, in the order of the columns."""
        for i, value in enumerate(values):
            self._values[i][row] = self._stored(i, value)
        self._changed.add(row)

    def replace(self, rows: Sequence[Sequence[Any]]) -> None:
        """Let the table have other rows."""
        self._n_rows = len(rows)
        self._texts = [{"": 0} for _ in self.columns]
        self._values = [_empty(column, len(rows)) for column in self.columns]
        for row, values in enumerate(rows):
            self.set_row(row, values)

    def row(self, row: int) -> dict[str, Any]:
        """Return a row as it will be shown; None where nothing is known."""
        values: dict[str, Any] = {}
        for column, stored, texts in zip(self.columns, self._values, self._texts, strict=True):
            if column.kind in _OF_TEXTS:
                values[column.name] = list(texts)[int(stored[row])] or None
            else:
                value = float(stored[row])
                values[column.name] = None if math.isnan(value) else value
        return values

    def _stored(self, i: int, value: Any) -> float | int:
        if self.columns[i].kind in _OF_TEXTS:
            text = "" if value is None else str(value)
            return self._texts[i].setdefault(text, len(self._texts[i]))
        return math.nan if value is None else float(value)

    # What travels.

    def whole(self) -> dict[str, Any]:
        """Return everything, and forget what has changed until now."""
        self._n_sent = [len(texts) for texts in self._texts]
        self._changed.clear()
        return self.snapshot()

    def snapshot(self) -> dict[str, Any]:
        """Return everything: JSON with bytes in it."""
        columns = [
            {
                "name": column.name,
                "label": column.label,
                "kind": column.kind,
                "width": column.width,
                "texts": list(texts) if column.kind in _OF_TEXTS else [],
                "data": memoryview(values.tobytes()),
            }
            for column, values, texts in zip(self.columns, self._values, self._texts, strict=True)
        ]
        return {"sequence": self.sequence, "n_rows": len(self), "columns": columns}

    def changes(self) -> tuple[dict[str, Any], list[memoryview]] | None:
        """Return what has changed since the last time; None if nothing has.

        Returns
        -------
        (dict, list of memoryview) or None
            JSON that says what it is, and the bytes: the rows, and the values of each
            column there. The JSON has ``whole=True`` if everything should travel.
        """
        if not self._changed:
            return None
        self.sequence += 1
        if len(self._changed) > _WHOLE_ABOVE * len(self):
            return {"whole": True}, []
        rows = np.fromiter(sorted(self._changed), "i4", len(self._changed))
        new_texts = [
            list(texts)[n:] if len(texts) > n else []
            for texts, n in zip(self._texts, self._n_sent, strict=True)
        ]
        self._n_sent = [len(texts) for texts in self._texts]
        self._changed.clear()
        buffers = [memoryview(rows.tobytes())]
        buffers += [memoryview(values[rows].tobytes()) for values in self._values]
        return {"sequence": self.sequence, "texts": new_texts}, buffers


def _empty(column: Column, n_rows: int) -> np.ndarray[Any, Any]:
    dtype = _DTYPES[column.kind]
    return np.zeros(n_rows, dtype) if column.kind in _OF_TEXTS else np.full(n_rows, np.nan, dtype)


def columns_of_rows(rows: Iterable[dict[str, Any]], names: Sequence[str] | None = None) -> Columns:
    """Return a table of rows whose columns are guessed from what they hold.

    Parameters
    ----------
    rows
        All with the same keys, such as the records of a dataframe.
    names
        The columns, if there may be no rows.
    """
    records = list(rows)
    names = list(records[0]) if records else list(names or [])
    columns = []
    for name in names:
        values = [record.get(name) for record in records]
        kind: Kind = "number" if _all_numbers(values) else "text"
        longest = max((len(str(value)) for value in values[:200]), default=0)
        width = min(420, max(70, 8 * max(longest, len(str(name))) + 20))
        columns.append(Column(str(name), str(name).replace("_", " "), kind, width))
    table = Columns(columns, len(records))
    for row, record in enumerate(records):
        table.set_row(row, [_plain(record.get(n), c) for n, c in zip(names, columns, strict=True)])
    return table


def _all_numbers(values: Iterable[Any]) -> bool:
    known = [value for value in values if value is not None]
    return bool(known) and all(
        isinstance(value, int | float | np.number) and not isinstance(value, bool)
        for value in known
    )


def _plain(value: Any, column: Column) -> Any:
    if column.kind == "text" and isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return value


LEARNER_COLUMNS: Final = (
    Column("state", "state", "state", 104),
    Column("npoints", "points", "integer", 76),
    Column("loss", "loss", "number", 74),
    Column("progress", "progress", "share", 100),
    Column("job", "job", "text", 84),
    Column("node", "node", "text", 74),
    Column("cpu", "CPU", "percent", 66),
    Column("memory", "memory", "percent", 76),
    Column("seen", "last seen", "time", 82),
    Column("attempts", "attempts", "integer", 78),
    Column("error", "last error", "text", 170),
)
JOB_COLUMNS: Final = (
    Column("job_id", "job", "text", 130),
    Column("job_name", "name", "text", 170),
    Column("queue_state", "in the queue", "text", 120),
    Column("learner", "learner", "integer", 80),
    Column("submitted", "submitted", "time", 96),
    Column("started", "started", "time", 96),
    Column("reason", "why it waits", "text", 260),
)
QUEUE_COLUMNS: Final = (
    Column("job_id", "job", "text", 130),
    Column("job_name", "name", "text", 220),
    Column("queue_state", "state", "text", 130),
    Column("reason", "reason", "text", 320),
)
#: Rows of a dataframe that are shown; all of them are in the dataframe.
MOST_ROWS: Final = 20_000
#: Characters of an error that are shown in a row.
_LONGEST_ERROR: Final = 300


class FollowedLearners:
    """The table with a row for each learner, of which only what has changed is read.

    Parameters
    ----------
    view
        Whose learners.

    Attributes
    ----------
    columns
        The table.
    """

    def __init__(self, view: RunView) -> None:
        self._view = view
        self._seen: Version | None = None
        self.columns = Columns(LEARNER_COLUMNS, view.n_learners)

    def update(self) -> None:
        """Read what has changed."""
        new = self._view.rows(self._seen)
        for row in new.rows:
            self.columns.set_row(row.index, _learner(row))
        self._seen = new.version


def _learner(row: LearnerRow) -> tuple[Any, ...]:
    return (
        row.state,
        row.npoints,
        row.loss,
        row.share,
        row.job_id,
        row.host,
        row.cpu,
        row.memory,
        row.seen,
        row.attempt,
        " ".join((row.error or row.trouble).split())[:_LONGEST_ERROR],
    )


class FollowedJobs:
    """The table with a row for each job in the queue.

    Parameters
    ----------
    view
        Whose jobs.

    Attributes
    ----------
    columns
        The table.
    """

    def __init__(self, view: RunView) -> None:
        self._view = view
        self._rows: list[JobRow] = []
        self.columns = Columns(JOB_COLUMNS, 0)

    def update(self) -> None:
        """Read the jobs anew; nothing has changed if they are the same."""
        rows = self._view.jobs()
        if rows != self._rows:
            self._rows = rows
            self.columns.replace([_job(row) for row in rows])


def _job(row: JobRow) -> tuple[Any, ...]:
    times = (row.submitted, row.started)
    return (row.job_id, row.job_name, row.state, row.learner, *times, row.reason)


# Tables that are loaded when somebody asks for them, and a sentence about each.


def load_database(view: RunView) -> tuple[Columns, str]:
    """Return the record of a run: a row for each learner."""
    rows = sorted(view.rows().rows, key=lambda row: row.index)
    fnames = view.fnames
    columns = columns_of_rows([_database_row(row, fnames[row.index]) for row in rows])
    return columns, f"{counted(len(rows), 'row')}, as of {time.strftime('%H:%M:%S')}."


def _database_row(row: LearnerRow, fname: ResolvedFname) -> dict[str, Any]:
    started = row.started
    return {
        "fname": fname.given,
        "job_id": row.job_id or None,
        "is_pending": row.state == RUNNING,
        "is_done": row.state == DONE,
        "log_fname": row.log,
        "job_name": row.job_name or None,
        "output_logs": row.output,
        "start_time": None if started is None else datetime.fromtimestamp(started),  # noqa: DTZ006  shown to people
        "depends_on": row.depends_on,
        "state": row.state,
        "attempt": row.attempt,
        "fails": row.fails,
        "error": row.error or None,
        "trouble": row.trouble or None,
        "last_end": row.last_end or None,
        "host": row.host or None,
    }


def load_queue(scheduler: BaseScheduler) -> tuple[Columns, str]:
    """Ask a scheduler for your jobs.

    Raises
    ------
    SchedulerUnavailableError
        If it doesn't answer.
    """
    queue = scheduler.queue()
    columns = Columns(QUEUE_COLUMNS, 0)
    columns.replace([(i, job["job_name"], job["state"], job["reason"]) for i, job in queue.items()])
    return columns, f"{counted(len(columns), 'job')}, as of {time.strftime('%H:%M:%S')}."


def load_dataframe(frame: pd.DataFrame) -> tuple[Columns, str]:
    """Return a dataframe, or the beginning of a long one."""
    head = frame.head(MOST_ROWS)
    named = head.set_axis([str(name) for name in head.columns], axis=1)
    records = named.astype(object).where(named.notna(), None).to_dict("records")
    rows = [{str(name): value for name, value in record.items()} for record in records]
    shown = f", of which the first {MOST_ROWS:,} are shown" if len(frame) > MOST_ROWS else ""
    words = f"{counted(len(frame), 'row')} and {counted(len(frame.columns), 'column')}{shown}."
    return columns_of_rows(rows, list(named.columns)), words
