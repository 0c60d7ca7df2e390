"""Dataframes as tables of the dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from adaptive_scheduler.widgets.columns import Columns, columns_of_rows

if TYPE_CHECKING:
    import pandas as pd

#: Rows that are shown; all of them are in the dataframe.
MOST_ROWS: Final = 20_000


def columns_of_dataframe(frame: pd.DataFrame) -> Columns:
    """Return a dataframe, or the beginning of a long one, as a table."""
    head = frame.head(MOST_ROWS)
    named = head.set_axis([str(name) for name in head.columns], axis=1)
    records = named.astype(object).where(named.notna(), None).to_dict("records")
    rows = [{str(name): value for name, value in record.items()} for record in records]
    return columns_of_rows(rows, list(named.columns))


def words_about(frame: pd.DataFrame) -> str:
    """Say how large a dataframe is."""
    shown = f", of which the first {MOST_ROWS:,} are shown" if len(frame) > MOST_ROWS else ""
    return f"{len(frame):,} rows and {len(frame.columns)} columns{shown}."
