"""Learners' data as dataframes, one file beside each data file."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

from adaptive_scheduler._common.atomic import atomic_write
from adaptive_scheduler._common.formatting import first_of
from adaptive_scheduler._common.trusted import open_data
from adaptive_scheduler._common.user_warning import warn_user
from adaptive_scheduler.errors import InvalidInputError, MissingPackageError
from adaptive_scheduler.learners.paths import AnyFname, FnameTypes, given_name, resolve_here
from adaptive_scheduler.learners.storage import N_NAMED, warn_of_writers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pandas as pd
    from adaptive import BaseLearner

__all__ = ["expand_dict_columns", "fname_to_dataframe", "load_dataframes", "save_dataframe"]

_DATAFRAME_FORMATS: TypeAlias = Literal[
    "parquet", "csv", "hdf", "pickle", "feather", "excel", "json"
]


@dataclass(frozen=True)
class _FileFormat:
    """How a dataframe is written and read: names of pandas' functions."""

    suffix: str
    writer: str
    reader: str
    save_kwargs: Mapping[str, Any]
    #: The package that pandas needs for it.
    package: str | None = None
    #: Whether reading unpickles.
    has_pickles: bool = False


_FORMATS: Mapping[str, _FileFormat] = {
    "csv": _FileFormat(".csv", "to_csv", "read_csv", {}),
    "excel": _FileFormat(".xlsx", "to_excel", "read_excel", {"engine": "openpyxl"}, "openpyxl"),
    "feather": _FileFormat(".feather", "to_feather", "read_feather", {}, "pyarrow"),
    "hdf": _FileFormat(
        ".hdf", "to_hdf", "read_hdf", {"key": "data", "mode": "w"}, "tables", has_pickles=True
    ),
    "json": _FileFormat(".json", "to_json", "read_json", {}),
    "parquet": _FileFormat(".parquet", "to_parquet", "read_parquet", {}, "pyarrow"),
    "pickle": _FileFormat(".pickle", "to_pickle", "read_pickle", {}, has_pickles=True),
}


def fname_to_dataframe(fname: FnameTypes, format: _DATAFRAME_FORMATS = "pickle") -> Path:  # noqa: A002  the public name
    """Return where the dataframe of a learner is: ``dataframe.<name>`` beside its data.

    Parameters
    ----------
    fname
        The learner's data file. All learners of a `BalancingLearner` share
        one dataframe, named after the first of their files.
    format
        One of csv, excel, feather, hdf, json, parquet, pickle.

    Raises
    ------
    InvalidInputError
        There is no such format, or `fname` is empty.
    """
    fnames = [fname] if isinstance(fname, str | Path) else fname
    path = Path(fnames[0] if fnames else "")
    if not path.name:
        raise InvalidInputError(f"fname={fname!r} names no file, so its dataframe has no name.")
    return path.with_name(f"dataframe.{path.stem}{_file_format(format).suffix}")


def _place(fname: AnyFname, format: _DATAFRAME_FORMATS) -> tuple[Path, Path]:  # noqa: A002  as the public name
    """Return the absolute path of a learner's dataframe, and what the user would call it."""
    resolved = resolve_here(fname)
    shown = fname_to_dataframe(resolved.given, format)
    return resolved.paths[0].with_name(shown.name), shown


def save_dataframe(
    fname: AnyFname,
    *,
    format: _DATAFRAME_FORMATS = "pickle",  # noqa: A002  the public name
    save_kwargs: Mapping[str, Any] | None = None,
    expand_dicts: bool = True,
    atomically: bool = True,
    **to_dataframe_kwargs: Any,
) -> Callable[[BaseLearner], None]:
    """Make a function that saves a learner's data as a dataframe.

    Parameters
    ----------
    fname
        The learner's data file; `fname_to_dataframe` says where the dataframe goes.
        A relative name starts from the working directory as it is now.
    format
        One of csv, excel, feather, hdf, json, parquet, pickle.
    save_kwargs
        Passed to pandas' function that writes this format.
    expand_dicts
        Turn columns of dictionaries into columns of values; see `expand_dict_columns`.
    atomically
        Never leave half a file, whatever happens during writing.
    **to_dataframe_kwargs
        Passed to the learner's ``to_dataframe``.

    Returns
    -------
    callable
        Takes the learner, and can be pickled. It raises `MissingPackageError`
        if pandas needs another package for the format.

    Raises
    ------
    InvalidInputError
        There is no such format, or `fname` is empty.
    """
    return _SaveDataframe(
        path=_place(fname, format)[0],
        format=format,
        save_kwargs=dict(save_kwargs or {}),
        expand_dicts=expand_dicts,
        atomically=atomically,
        to_dataframe_kwargs=to_dataframe_kwargs,
    )


def save_dataframe_there(
    learner: BaseLearner,
    fname: AnyFname,
    format: _DATAFRAME_FORMATS,  # noqa: A002  as the public name
) -> None:
    """Save a learner's data as a dataframe in the folder of its data, which must exist.

    Raises
    ------
    MissingPackageError
        If pandas needs another package for the format.
    OSError
        If it can't be written.
    """
    _SaveDataframe(_place(fname, format)[0], format, make_folders=False)(learner)


@dataclass(frozen=True)
class _SaveDataframe:
    path: Path
    format: _DATAFRAME_FORMATS
    save_kwargs: dict[str, Any] = field(default_factory=dict)
    expand_dicts: bool = True
    atomically: bool = True
    to_dataframe_kwargs: dict[str, Any] = field(default_factory=dict)
    make_folders: bool = True

    def __call__(self, learner: BaseLearner) -> None:
        df = learner.to_dataframe(**self.to_dataframe_kwargs)
        if self.expand_dicts:
            df = expand_dict_columns(df)
        if self.atomically:
            with atomic_write(
                self.path, return_path=True, make_folders=self.make_folders
            ) as temporary:
                self._write(df, temporary)
        else:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._write(df, self.path)

    def _write(self, df: pd.DataFrame, path: Path) -> None:
        file_format = _file_format(self.format)
        with _saying_what_to_install(file_format):
            getattr(df, file_format.writer)(path, **{**file_format.save_kwargs, **self.save_kwargs})


@overload
def load_dataframes(
    fnames: Sequence[AnyFname],
    *,
    concat: Literal[True] = True,
    read_kwargs: Mapping[str, Any] | None = None,
    format: _DATAFRAME_FORMATS = "pickle",
) -> pd.DataFrame: ...
@overload
def load_dataframes(
    fnames: Sequence[AnyFname],
    *,
    concat: bool,
    read_kwargs: Mapping[str, Any] | None = None,
    format: _DATAFRAME_FORMATS = "pickle",
) -> pd.DataFrame | list[pd.DataFrame]: ...
def load_dataframes(
    fnames: Sequence[AnyFname],
    *,
    concat: bool = True,
    read_kwargs: Mapping[str, Any] | None = None,
    format: _DATAFRAME_FORMATS = "pickle",  # noqa: A002  the public name
) -> pd.DataFrame | list[pd.DataFrame]:
    """Load the dataframes of many learners.

    Those that are not there (yet) and those that can't be read are left out;
    one warning of each kind says which.

    Parameters
    ----------
    fnames
        The learners' data files.
    concat
        Return one dataframe instead of a list.
    read_kwargs
        Passed to pandas' function that reads this format.
    format
        One of csv, excel, feather, hdf, json, parquet, pickle.

    Returns
    -------
    DataFrame or list of DataFrame
        With a column "fname" that holds the element of `fnames` that a row belongs to.

    Raises
    ------
    InvalidInputError
        There is no such format, or `fnames` is not a list.
    MissingPackageError
        pandas needs another package for the format.
    """
    import pandas as pd

    if isinstance(fnames, str | Path):
        raise InvalidInputError(f"fnames is a list of files; for one file use [{str(fnames)!r}].")
    file_format = _file_format(format)
    dataframes: list[pd.DataFrame] = []
    missing: list[str] = []
    unreadable: list[str] = []
    writers: dict[str, str] = {}
    for fname in fnames:
        path, shown = _place(fname, format)
        try:
            with _saying_what_to_install(file_format):
                df = _read(file_format, path, shown, read_kwargs or {}, writers)
        except MissingPackageError:
            raise
        except FileNotFoundError:
            missing.append(str(shown))
        except Exception as error:  # noqa: BLE001  a torn file can raise anything, by format
            unreadable.append(f"{shown} ({type(error).__name__}: {error})")
        else:
            df["fname"] = [given_name(fname)] * len(df)
            dataframes.append(df)
    _warn("do not exist (yet)", missing, len(fnames))
    _warn("can't be read and are left out", unreadable, len(fnames))
    warn_of_writers(writers)
    if not concat:
        return dataframes
    return pd.concat(dataframes, axis=0) if dataframes else pd.DataFrame()


def _read(
    file_format: _FileFormat,
    path: Path,
    shown: Path,
    read_kwargs: Mapping[str, Any],
    writers: dict[str, str],
) -> Any:
    """Read a dataframe; add to `writers` who else may have written what was unpickled.

    What is `shown` to the user is the name of the file that lies at `path`.
    """
    import pandas as pd

    read = getattr(pd, file_format.reader)
    if not file_format.has_pickles:
        return read(path, **read_kwargs)
    with open_data(path) as opened:
        if opened.writers:
            writers[str(shown)] = opened.writers
        if file_format.reader == "read_pickle":
            return read(opened.file, **read_kwargs)
        content = opened.file.read()  # HDF5 opens files by their names
    in_memory: dict[str, Any] = {"driver": "H5FD_CORE", "driver_core_backing_store": 0}
    name = f"{path}.{secrets.token_hex(8)}"  # no file: nothing is read from there
    with pd.HDFStore(name, mode="r", driver_core_image=content, **in_memory) as store:
        return read(store, **read_kwargs)


def _file_format(name: str) -> _FileFormat:
    if name not in _FORMATS:
        raise InvalidInputError(
            f"There is no dataframe format {name!r}. There are: {', '.join(_FORMATS)}."
        )
    return _FORMATS[name]


def check_format(name: _DATAFRAME_FORMATS) -> None:
    """Check that dataframes can be saved in this format here.

    Raises
    ------
    InvalidInputError
        There is no such format.
    MissingPackageError
        pandas needs a package for it that is not installed.
    """
    file_format = _file_format(name)
    if file_format.package is not None and find_spec(file_format.package) is None:
        raise _missing(file_format, "is not installed")


@contextmanager
def _saying_what_to_install(file_format: _FileFormat) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        if file_format.package is None:
            raise
        raise _missing(file_format, f"can't be imported ({error})") from error


def _missing(file_format: _FileFormat, why: str) -> MissingPackageError:
    return MissingPackageError(
        f"Dataframes in {file_format.suffix} files need the package {file_format.package}, which "
        f"{why}. Install it (`pip install {file_format.package}`) where the notebook runs and "
        "where the jobs run, or use the format 'pickle'."
    )


def _warn(what: str, files: list[str], n_all: int) -> None:
    if files:
        warn_user(f"{len(files)} of {n_all} dataframes {what}: {first_of(files, N_NAMED)}.")


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
