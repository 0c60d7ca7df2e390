"""Columns of dictionaries, as functions return them, turned into columns of values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["expand_dict_columns"]


def expand_dict_columns(df: pd.DataFrame) -> pd.DataFrame:
    """Turn columns of dictionaries into columns of values.

    A column ``y`` that holds ``{"a": 1, "b": {"c": 2}}`` becomes the columns
    ``y.a`` and ``y.b.c``, which come last. A column is expanded if its first
    value is a dictionary, the others are dictionaries or missing, and no other
    column has one of the new names.

    Parameters
    ----------
    df
        The dataframe; it is not changed.
    """
    import pandas as pd

    result = df
    for name in df.columns.unique():
        column = df[name]
        if not _holds_dicts(column):
            continue
        dicts = [value if isinstance(value, dict) else {} for value in column]
        expanded = pd.json_normalize(dicts).add_prefix(f"{name}.").set_axis(df.index, axis=0)
        rest = result.drop(columns=name)
        if rest.columns.intersection(expanded.columns).empty:
            result = pd.concat([rest, expanded], axis=1)
    result.attrs = dict(df.attrs)
    return result


def _holds_dicts(column: pd.Series[Any] | pd.DataFrame) -> bool:
    """Tell whether all values can be expanded. Two columns of one name, a dataframe, can't."""
    if column.ndim > 1 or column.empty or not isinstance(column.iloc[0], dict):
        return False
    return all(isinstance(value, dict) or _is_missing(value) for value in column)


def _is_missing(value: Any) -> bool:
    import pandas as pd

    return pd.api.types.is_scalar(value) and bool(pd.isna(value))
