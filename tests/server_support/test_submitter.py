"""Jobs are submitted in batches, and each step is on disk before the next is done."""

from __future__ import annotations

import time

import pytest

from adaptive_scheduler.errors import (
    RunFolderLockedError,
    SchedulerUnavailableError,
    SubmissionRejectedError,
)
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.layout import RunFolder
from adaptive_scheduler.scheduler import Local
from adaptive_scheduler.server_support.submitter import Submitter
from tests.asynchronous import in_a_loop
from tests.server_support.fake_manager import Manager, fake_reconciler

N_LEARNERS = 4


class Database(Manager):
    """A manager with what a submission needs besides, and a disk that can be full."""

    def __init__(self, folder):
        super().__init__([0] * N_LEARNERS)
        self.run_folder = RunFolder.at(folder)
        self.run_folder.create()
        self.reconciler = fake_reconciler(self, self.run_folder)
        self.submitting = self.reconciler._submitting
        #: Whether the disk takes what is recorded, one try after another; then it does.
        self.disk_takes_it = []
        self.has_lost_its_lock = False
        self.steps = []

    def _keep(self, record):
        super()._keep(record)
        self.steps.append(type(record).__name__)

    async def flushed(self, patience=None):
        assert patience is not None  # it must not wait forever: the manager may be to end
        takes_it = self.disk_takes_it.pop(0) if self.disk_takes_it else True
        if takes_it:
            self.steps.append("on disk")
        return takes_it

    def check_lock(self):
        if self.has_lost_its_lock:
            raise RunFolderLockedError("Another manager has this run.")


class Noting(Local):
    """A scheduler that takes jobs, or raises what it is told to."""

    def __init__(self, database, **keywords):
        super().__init__(**keywords)
        self.database = database
        self.batches = []
        self.raises = []

    def submit(self, batch):
        assert batch.token in self.database.submitting  # a look at the queue lets it be
        self.batches.append(batch)
        self.database.steps.append("submit")
        if self.raises:
            raise self.raises.pop(0)
        return {number: f"{batch.token}_{number}" for number in batch.numbers}


@pytest.fixture
def database(tmp_path):
    return Database(tmp_path / "sweep-run")


@pytest.fixture
def scheduler(database):
    return Noting(database, cores=1)


@pytest.fixture
def troubles():
    return []


@pytest.fixture
def submitter(database, scheduler, troubles, tmp_path):
    return Submitter("sweep", database, scheduler, tmp_path, troubles.append)


@in_a_loop
async def test_what_is_wanted_is_on_disk_before_it_is_asked_for(submitter, database, scheduler):
    assert await submitter.submit_missing(100)
    assert database.steps == ["Submitting", "on disk", "submit", "Submitted", "on disk"]
    (batch,) = scheduler.batches
    assert (batch.job_name, batch.numbers) == ("sweep", (0, 1, 2, 3))
    assert batch.script == batch.script_path.read_text()
    assert len(database.state.jobs) == N_LEARNERS
    assert database.submitting == set()


@in_a_loop
async def test_a_script_that_was_changed_on_disk_is_not_submitted(submitter, scheduler):
    """Somebody may have put another run folder in the place of this one."""
    await submitter.submit_missing(2)
    (first,) = scheduler.batches
    first.script_path.write_text("echo 'whatever they want'")
    await submitter.submit_missing(4)
    assert [batch.script for batch in scheduler.batches] == [first.script] * 2
    assert "run_learner" in first.script


@in_a_loop
async def test_only_the_first_jobs_of_a_run_are_worth_a_look_out_of_turn(submitter):
    assert await submitter.submit_missing(2)
    assert not await submitter.submit_missing(4)


@in_a_loop
async def test_there_are_never_more_jobs_than_may_be(submitter, database, scheduler):
    await submitter.submit_missing(3)
    await submitter.submit_missing(3)
    assert [batch.numbers for batch in scheduler.batches] == [(0, 1, 2)]
    database.job_gone(next(iter(database.state.jobs)), is_certain=True)
    await submitter.submit_missing(3)
    assert len(scheduler.batches) == 2


@in_a_loop
async def test_jobs_that_ask_for_the_same_go_together_and_share_a_script(
    database, troubles, tmp_path
):
    scheduler = Noting(database, cores=(1, 2, 1, 2))
    await Submitter("sweep", database, scheduler, tmp_path, troubles.append).submit_missing(100)
    assert [batch.numbers for batch in scheduler.batches] == [(0, 2), (1, 3)]
    assert len({batch.script_path for batch in scheduler.batches}) == 2
    assert len({batch.token for batch in scheduler.batches}) == 2


@in_a_loop
async def test_a_paused_run_submits_nothing(submitter, database, scheduler):
    database.record.append(events.Paused(time=database.now))
    assert not await submitter.submit_missing(100)
    assert scheduler.batches == []
    database.record.append(events.Resumed(time=database.now))
    await submitter.submit_missing(100)
    assert len(scheduler.batches) == 1


@in_a_loop
async def test_nothing_is_submitted_during_a_pause_after_failed_starts(submitter, scheduler):
    for n_failed in range(1, 10):
        submitter.pause.note(n_failed, time.time())
    assert not await submitter.submit_missing(100)
    assert scheduler.batches == []


@in_a_loop
async def test_a_full_disk_is_waited_for_before_anything_is_submitted(submitter, database):
    database.disk_takes_it = [False, False, True]
    await submitter.submit_missing(100)
    assert database.steps[:3] == ["Submitting", "on disk", "submit"]


@in_a_loop
async def test_a_manager_that_is_to_end_does_not_wait_for_a_full_disk(
    submitter, database, scheduler
):
    database.disk_takes_it = [False] * 10
    submitter.stop_soon()
    assert not await submitter.submit_missing(100)
    assert scheduler.batches == []
    assert database.submitting == set()


@in_a_loop
async def test_a_manager_that_has_lost_its_run_submits_nothing(submitter, database, scheduler):
    database.disk_takes_it = [False] * 10
    database.has_lost_its_lock = True
    with pytest.raises(RunFolderLockedError):
        await submitter.submit_missing(100)
    assert scheduler.batches == []
    assert database.submitting == set()


@in_a_loop
async def test_a_script_that_can_not_be_written_is_tried_again_after_a_pause(
    submitter, database, scheduler, troubles
):
    database.run_folder.scripts.rmdir()
    before = time.time()
    assert not await submitter.submit_missing(100)
    assert [type(trouble) for trouble in troubles] == [FileNotFoundError]
    assert submitter.pause.until > before
    assert database.steps == []
    database.run_folder.scripts.mkdir()
    submitter.pause.until = 0.0
    await submitter.submit_missing(100)
    assert len(scheduler.batches) == 1


@pytest.mark.parametrize("error", [SchedulerUnavailableError("no answer"), ValueError("a bug")])
@in_a_loop
async def test_a_submission_without_an_answer_stays_in_doubt(
    submitter, database, scheduler, troubles, error
):
    scheduler.raises = [error]
    assert await submitter.submit_missing(100)  # the queue tells what became of it
    assert troubles == [error]
    assert [s.numbers for s in database.state.submissions.values()] == [(0, 1, 2, 3)]
    assert database.submitting == set()
    await submitter.submit_missing(100)
    assert len(scheduler.batches) == 1  # not a second time, as long as it is in doubt


@in_a_loop
async def test_one_batch_without_an_answer_does_not_keep_back_the_others(
    database, troubles, tmp_path
):
    scheduler = Noting(database, cores=(1, 2, 1, 2))
    scheduler.raises = [SchedulerUnavailableError("no answer")]
    await Submitter("sweep", database, scheduler, tmp_path, troubles.append).submit_missing(100)
    assert [job.job_name for job in database.state.jobs.values()] == ["sweep-1", "sweep-3"]


@in_a_loop
async def test_a_rejected_submission_is_on_record_and_ends_the_run(submitter, database, scheduler):
    scheduler.raises = [SubmissionRejectedError("Invalid partition")]
    with pytest.raises(SubmissionRejectedError, match="Invalid partition"):
        await submitter.submit_missing(100)
    assert database.steps == ["Submitting", "on disk", "submit", "NotSubmitted"]
    assert database.state.submissions == {}
    assert database.submitting == set()
