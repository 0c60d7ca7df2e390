"""What jobs of release 2.x have left in the user's home goes away when they are gone."""

from __future__ import annotations

import pytest

from adaptive_scheduler.errors import InvalidInputError, SchedulerUnavailableError
from adaptive_scheduler.server_support import periodically_clean_ipython_profiles
from adaptive_scheduler.server_support.old_profiles import remove_old_profiles
from tests.waiting import wait_until


class Queue:
    """A scheduler with some jobs, which does not answer at first."""

    def __init__(self, *job_ids):
        self.job_ids = job_ids
        self.n_looks = 0

    def queue(self):
        self.n_looks += 1
        if self.n_looks == 1:
            raise SchedulerUnavailableError("not now")
        return dict.fromkeys(self.job_ids)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Return the folder in which IPython keeps profiles."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    return tmp_path


def test_profiles_of_jobs_that_are_gone_are_removed_and_others_stay(home):
    of_jobs = [f"profile_adaptive_scheduler_{i}" for i in ("11", "12.server", "13", "14.server")]
    others = ["profile_default", "profile_adaptive_scheduler_mine", "history"]
    for name in of_jobs + others:
        (home / name / "security").mkdir(parents=True)
    scheduler = Queue("13", "14.server", "15_0")
    cleaning = periodically_clean_ipython_profiles(scheduler, 0.01)
    try:
        wait_until(lambda: scheduler.n_looks >= 3)
    finally:
        cleaning.cancel()
    assert sorted(path.name for path in home.iterdir()) == sorted(of_jobs[2:] + others)


def test_the_queue_is_not_asked_where_there_is_nothing_to_remove(home):
    scheduler = Queue()
    remove_old_profiles(scheduler)
    assert scheduler.n_looks == 0


def test_an_interval_that_is_none_is_refused(home):
    with pytest.raises(InvalidInputError, match="interval"):
        periodically_clean_ipython_profiles(Queue(), -1)
