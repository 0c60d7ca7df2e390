"""A table as typed columns, and what has to travel when some of its rows change.

Numbers travel as bytes, and each text only once. So a table of ten thousand rows is
a message of a few hundred kilobytes, and a change of one row a message of a hundred
bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np

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
