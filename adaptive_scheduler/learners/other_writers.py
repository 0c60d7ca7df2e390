"""A word about data files that somebody else may have written: loading them runs their code."""

from __future__ import annotations

from collections.abc import Mapping

from adaptive_scheduler._common.user_warning import warn_user

#: How many files a warning names; there may be thousands.
_N_NAMED = 3


def describe_writers(writers: Mapping[str, str]) -> str:
    """Say which files were loaded that others may have written.

    Parameters
    ----------
    writers
        Who may have written each file, by its name.
    """
    named = [f"{path} ({who})" for path, who in list(writers.items())[:_N_NAMED]]
    rest = len(writers) - len(named)
    files = ", ".join(named) + (f" and {rest} more" if rest else "")
    return (
        f"Data was loaded that others may have written, and loading runs what is in it: {files}. "
        "Load only data of people you trust."
    )


def warn_of_writers(writers: Mapping[str, str]) -> None:
    """Give the user one warning that names those who may have written what was loaded, if any."""
    if writers:
        warn_user(describe_writers(writers))
