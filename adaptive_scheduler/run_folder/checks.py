"""Checks of single values that users give; each names the parameter in its error."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Collection, Mapping
from typing import Final

from adaptive_scheduler.errors import InvalidInputError

#: Names that every scheduler takes: PBS allows these characters, up to 230 of them.
_JOB_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.+-]{0,199}")
#: Arguments of adaptive's runner that are not the user's.
_OURS: Final = frozenset(
    {
        "duration_goal",
        "end_time_goal",
        "executor",
        "goal",
        "ioloop",
        "learner",
        "loss_goal",
        "npoints_goal",
    }
)


def check_interval(name: str, seconds: object) -> None:
    """Check that a number of seconds is positive.

    Raises
    ------
    InvalidInputError
        If it isn't.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        raise InvalidInputError(f"`{name}` is a positive number of seconds, not {seconds!r}.")


def check_flag(name: str, value: object) -> None:
    """Check that this is True or False; also as a number, or as numpy has them.

    Raises
    ------
    InvalidInputError
        If it isn't.
    """
    if isinstance(value, str) or not any(value is flag or value == flag for flag in (True, False)):
        raise InvalidInputError(f"`{name}` is True or False, not {value!r}.")


def check_path(name: str, value: object) -> None:
    """Check that this is the name of a file or folder, or None.

    Raises
    ------
    InvalidInputError
        If it isn't.
    """
    if value is not None and not isinstance(value, str | os.PathLike):
        raise InvalidInputError(f"`{name}` is a path, or None, not {value!r}.")


def check_keywords(name: str, value: object) -> None:
    """Check that these are keywords with their values, or None.

    Raises
    ------
    InvalidInputError
        If they aren't.
    """
    if value is not None and not isinstance(value, Mapping):
        raise InvalidInputError(f"`{name}` is a dict of keywords, or None, not {value!r}.")


def one_of(choices: Collection[str]) -> Callable[[str, object], None]:
    """Return a check that a value is one of these.

    Raises
    ------
    InvalidInputError
        By the check, if it isn't.
    """

    def check(name: str, value: object) -> None:
        if value not in choices:
            words = ", ".join(map(repr, choices))
            raise InvalidInputError(f"`{name}` is one of {words}, not {value!r}.")

    return check


def check_job_name(name: str, value: object) -> None:
    """Check that schedulers take `value` as the beginning of a job's name.

    Raises
    ------
    InvalidInputError
        If they don't.
    """
    if not isinstance(value, str) or not _JOB_NAME.fullmatch(value):
        raise InvalidInputError(
            f"The job name {value!r} can't be used as `{name}`: it begins with a letter or '_', "
            "goes on with letters, digits and any of '_.+-', without spaces, and has at most 200 "
            "characters."
        )


def check_condition(name: str, condition: object) -> None:
    """Check that this can be looked for in the output of jobs.

    Raises
    ------
    InvalidInputError
        If it can't.
    """
    if condition is not None and not isinstance(condition, str) and not callable(condition):
        raise InvalidInputError(
            f"`{name}` is a string to look for in the output of jobs, or a function of its lines, "
            f"not {condition!r}."
        )


def check_runner_kwargs(name: str, runner_kwargs: Mapping[str, object] | None) -> None:
    """Check that these are arguments of `adaptive.Runner`, and left to the user.

    Raises
    ------
    InvalidInputError
        If one isn't.
    """
    if not runner_kwargs:
        return
    from adaptive import AsyncRunner

    known = inspect.signature(AsyncRunner.__init__).parameters.keys() - {"self"}
    for keyword in runner_kwargs:
        if keyword in _OURS:
            raise InvalidInputError(
                f"`{name}` can't set {keyword!r}: a run sets it, from its own `goal` and the "
                "scheduler's `executor_type`."
            )
        if keyword not in known:
            left = ", ".join(sorted(known - _OURS))
            raise InvalidInputError(
                f"`{name}` has {keyword!r}, which adaptive's runner does not know. It knows {left}."
            )
