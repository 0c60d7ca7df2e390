"""Single values that users give are checked, and the error names the parameter."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from adaptive_scheduler.errors import InvalidInputError
from adaptive_scheduler.run_folder.checks import (
    check_condition,
    check_flag,
    check_interval,
    check_job_name,
    check_keywords,
    check_path,
    check_runner_kwargs,
    one_of,
)


def refused(message):
    return pytest.raises(InvalidInputError, match=message)


@pytest.mark.parametrize("name", ["sweep", "a", "my_sweep-2.0+x", "A" * 200, "_x"])
def test_names_that_every_scheduler_takes(name):
    check_job_name("job_name", name)


@pytest.mark.parametrize(
    "name", [5, None, "", "my sweep", "1st", "-x", "a/b", "$HOME", "süß", "a\n", "a'b", "A" * 201]
)
def test_names_that_some_scheduler_refuses(name):
    with refused(f"{re.escape(repr(name))} can't be used"):
        check_job_name("job_name", name)


@pytest.mark.parametrize("seconds", [1, 0.5, 300, 1e-3])
def test_intervals_are_positive(seconds):
    check_interval("interval", seconds)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), "60", None, True])
def test_other_intervals_are_refused(seconds):
    with refused("`interval` is a positive number of seconds, not "):
        check_interval("interval", seconds)


def test_flags_are_true_or_false():
    for flag in (True, False, 0, 1, np.True_):
        check_flag("quiet", flag)
    for other in ("no", None, 2, []):
        with refused(f"`quiet` is True or False, not {re.escape(repr(other))}"):
            check_flag("quiet", other)


def test_names_of_folders_are_paths():
    for path in ("run", Path("run"), None):
        check_path("folder", path)
    with refused("`folder` is a path, or None, not 5"):
        check_path("folder", 5)


def test_keywords_are_a_dict():
    for keywords in ({}, {"interval": 3}, None):
        check_keywords("job_manager_kwargs", keywords)
    with refused(r"`job_manager_kwargs` is a dict of keywords, or None, not \['interval'\]"):
        check_keywords("job_manager_kwargs", ["interval"])


def test_a_choice_is_one_of_those_that_there_are():
    one_of(("a", "b"))("kind", "b")
    with refused("`kind` is one of 'a', 'b', not 'c'"):
        one_of(("a", "b"))("kind", "c")


def test_what_to_look_for_is_a_string_or_a_function():
    for condition in ("error", bool, None):
        check_condition("error", condition)
    with refused("`error` is a string to look for"):
        check_condition("error", 5)


def test_arguments_of_the_runner_are_those_that_are_left_to_the_user():
    check_runner_kwargs("runner_kwargs", None)
    check_runner_kwargs("runner_kwargs", {"retries": 3})
    with refused("`runner_kwargs` can't set 'goal'"):
        check_runner_kwargs("runner_kwargs", {"goal": bool})
    with refused("`runner_kwargs` has 'retry', which adaptive's runner does not know"):
        check_runner_kwargs("runner_kwargs", {"retry": 3})
