"""What can't work is said at once: nothing is written, and nothing submitted."""

from __future__ import annotations

import threading
from functools import partial

import adaptive
import pytest

from adaptive_scheduler import RunManager
from adaptive_scheduler.errors import (
    DependencyError,
    InvalidGoalError,
    InvalidInputError,
    UnpicklableError,
)
from adaptive_scheduler.scheduler import Local


def double(x):
    return 2 * x


def make(n, function=double):
    return [adaptive.Learner1D(function, (-1, 1)) for _ in range(n)]


def waits_for_a_lock():
    my_lock = threading.Lock()
    return lambda x: my_lock.acquire() and x


GOOD = {"scheduler": Local(), "learners": make(2), "fnames": ["a.pickle", "b.pickle"], "goal": 5}


@pytest.fixture
def nothing_written(here, local_spool):
    """Check that there is nothing on disk that was not there before."""
    before = set(here.rglob("*"))
    yield
    assert set(here.rglob("*")) == before


@pytest.mark.usefixtures("nothing_written")
@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"fnames": ["a.pickle"]}, InvalidInputError, "2 learners and 1 fnames"),
        ({"fnames": ["a.pickle", "a.pickle"]}, InvalidInputError, "same fname 'a.pickle'"),
        ({"fnames": ["a.pickle", "./a.pickle"]}, InvalidInputError, "same fname"),
        ({"fnames": ["a.pickle", "x/../a.pickle"]}, InvalidInputError, "same fname"),
        ({"fnames": ["a.pickle", ["b.pickle"]]}, InvalidInputError, "Learner 1"),
        ({"fnames": "a.pickle"}, InvalidInputError, "`fnames` is a list"),
        ({"fnames": ["a.pickle", 1]}, InvalidInputError, "learner 1 is 1"),
        ({"learners": [], "fnames": []}, InvalidInputError, "empty"),
        ({"learners": [double, double]}, InvalidInputError, "function and no learner"),
        ({"learners": make(1)[0]}, InvalidInputError, "`learners` is a list"),
        ({"scheduler": Local}, InvalidInputError, "give Local"),
        ({"goal": "soon"}, InvalidGoalError, "'soon'"),
        ({"goal": -1}, InvalidGoalError, "-1"),
        ({"goal": lambda: True}, InvalidGoalError, "learner"),
        ({"job_name": "my run"}, InvalidInputError, "'my run'.*without spaces"),
        ({"job_name": "a/b"}, InvalidInputError, "'a/b'"),
        ({"job_name": ""}, InvalidInputError, "''"),
        ({"dependencies": {0: [2]}}, DependencyError, "learner 2.*from 0 to 1"),
        ({"dependencies": {0: [1], 1: [0]}}, DependencyError, "0 -> 1 -> 0"),
        ({"dependencies": {0: [0]}}, DependencyError, "0 -> 0"),
        ({"save_interval": 0}, InvalidInputError, "save_interval"),
        ({"log_interval": "often"}, InvalidInputError, "log_interval"),
        ({"job_manager_interval": -1}, InvalidInputError, "interval"),
        ({"kill_interval": 0}, InvalidInputError, "kill_interval"),
        ({"kill_on_error": 5}, InvalidInputError, "kill_on_error"),
        ({"max_log_lines": -1}, InvalidInputError, "max_log_lines"),
        ({"max_fails_per_job": 0}, InvalidInputError, "max_fails_per_job"),
        ({"max_simultaneous_jobs": 1.5}, InvalidInputError, "max_simultaneous_jobs"),
        ({"url": "http://localhost"}, InvalidInputError, "tcp://"),
        ({"dataframe_format": "xml"}, InvalidInputError, "xml"),
        ({"loky_start_method": "teleport"}, InvalidInputError, "teleport"),
        ({"initializers": [print]}, InvalidInputError, "initializers"),
        ({"initializers": print}, InvalidInputError, "initializers"),
        ({"initializers": [waits_for_a_lock()] * 2}, UnpicklableError, "my_lock"),
        ({"runner_kwargs": {"goal": 3}}, InvalidInputError, "goal"),
        ({"runner_kwargs": {"no_such_argument": 3}}, InvalidInputError, "no_such_argument"),
        ({"learners": make(2, waits_for_a_lock())}, UnpicklableError, "my_lock"),
        ({"goal": waits_for_a_lock()}, UnpicklableError, "goal"),
        ({"scheduler": Local(cores=(1, 1, 1))}, InvalidInputError, "3 learners.*2 learners"),
        ({"scheduler": Local(cores=4096)}, InvalidInputError, "4096 cores"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_mistake_is_named(wrong, error, message):
    with pytest.raises(error, match=f"(?s){message}"):
        RunManager(**{**GOOD, **wrong}, quiet=True).start()


def test_a_later_learner_that_cannot_be_pickled_is_named_before_anything_is_submitted():
    learners = [*make(1), *make(1, waits_for_a_lock())]
    with pytest.raises(UnpicklableError, match=r"(?s)Learner 1.*my_lock"):
        RunManager(**{**GOOD, "learners": learners}, quiet=True).start()
    assert Local().queue() == {}


@pytest.mark.usefixtures("nothing_written")
def test_a_partial_of_something_unpicklable_is_named_by_its_argument():
    function = partial(lambda x, the_lock: (x, the_lock), the_lock=threading.Lock())
    with pytest.raises(UnpicklableError, match="the_lock"):
        RunManager(**{**GOOD, "learners": make(2, function)})


@pytest.fixture
def obstacle(here):
    """Put a file where folders would have to be made."""
    path = here / "obstacle"
    path.touch()
    return path


@pytest.mark.parametrize("of_what", ["run", "data", "logs", "scripts", "journal"])
def test_a_folder_that_cannot_be_made_is_named(obstacle, nothing_written, of_what):
    inside = obstacle / "inside"
    more = {
        "run": {"folder": inside},
        "data": {"fnames": [inside / "a.pickle", "b.pickle"]},
        "logs": {"scheduler": Local(log_folder=inside)},
        "scripts": {"scheduler": Local(batch_folder=inside)},
        "journal": {"db_fname": inside / "db.json"},
    }[of_what]
    with pytest.raises(InvalidInputError, match="obstacle' is a file"):
        RunManager(**{**GOOD, **more})
