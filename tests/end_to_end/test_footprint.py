"""Promise 7: a small footprint."""

from __future__ import annotations

import adaptive
import pytest

from adaptive_scheduler.run_folder import events
from tests.end_to_end.looking import records
from tests.end_to_end.schedulers import Played
from tests.waiting import wait_until


class Counted(Played):
    """A queue that counts the calls. It is looked at as seldom as one that others look at, too."""

    is_local = False

    def __init__(self, folder):
        super().__init__(folder, max_cores=100)
        self.n_submissions = self.n_looks = 0
        self.hangs = self.is_awaited = False

    def submit(self, batch):
        self.n_submissions += 1
        return super().submit(batch)

    def queue(self, *, me_only=True):
        self.n_looks += 1
        self.is_awaited = self.hangs
        wait_until(lambda: not self.hangs)
        return super().queue(me_only=me_only)


@pytest.fixture
def start(here, make_run):
    """Return a function that starts a run and waits until its jobs are submitted."""

    def start(n_learners):
        folder = here / f"queue of {n_learners}"
        folder.mkdir()
        learners = [adaptive.SequenceLearner(abs, [i]) for i in range(n_learners)]
        run = make_run(
            learners,
            scheduler=Counted(folder),
            max_simultaneous_jobs=50,
            folder=here / f"run of {n_learners}",
            job_manager_interval=3600,
        )
        run.start()
        wait_until(lambda: records(events.Submitted, run.run_folder.journal))
        return run

    return start


def test_the_number_of_files_does_not_depend_on_the_number_of_learners(start):
    small, large = (start(n) for n in (50, 500))
    # The history is written a moment later, and under another name first.
    wait_until(lambda: "history.json" in files_of(small) and files_of(small) == files_of(large))
    assert len(files_of(small)) < 15


def files_of(run):
    root = run.run_folder.root
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_all_jobs_are_submitted_in_one_call_and_looked_at_in_one(start):
    run = start(500)
    (submitted,) = records(events.Submitted, run.run_folder.journal)
    assert len(submitted.job_ids) == 50
    assert run.scheduler.n_submissions == 1
    wait_until(lambda: run.scheduler.n_looks)  # when all are submitted
    before, n = run.scheduler.n_looks, 3
    for i in range(n):  # the first one during that look
        run.job_manager.trigger()
        wait_until(lambda i=i: run.scheduler.n_looks > before + i)
    assert run.scheduler.n_looks == before + n


def test_a_look_that_is_wanted_while_another_is_under_way_comes_after_it(start):
    run = start(50)
    run.scheduler.hangs = True
    run.job_manager.trigger()
    wait_until(lambda: run.scheduler.is_awaited)
    before = run.scheduler.n_looks
    run.job_manager.trigger()
    run.scheduler.hangs = False
    wait_until(lambda: run.scheduler.n_looks > before)
