"""What a look at the queue tells: who is gone, how it ended, and what became of doubtful jobs."""

from __future__ import annotations

import time

import pytest

from adaptive_scheduler._common.scratch import scratch_of
from adaptive_scheduler.errors import SchedulerUnavailableError
from adaptive_scheduler.protocol import messages
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.layout import RunFolder
from adaptive_scheduler.run_folder.models import DONE, READY, RUNNING
from adaptive_scheduler.scheduler import JobEnd, queued_job
from adaptive_scheduler.scheduler.jobs import new_token
from adaptive_scheduler.server_support.planning import numbers_to_submit
from adaptive_scheduler.server_support.reconcile import LONGEST_END, gone_jobs
from tests.asynchronous import in_a_loop
from tests.journals import BEGAN, STARTED
from tests.server_support.fake_manager import (
    Job,
    Manager,
    check_consistency,
    everything,
    fake_reconciler,
)

#: Long after everything that the manager below has recorded.
NOW = 1e12


class Database(Manager):
    """A manager with what a look at the queue needs besides."""

    def __init__(self, folder, n_learners=3):
        super().__init__([0] * n_learners)
        self.run_folder = RunFolder.at(folder)
        self.run_folder.create()
        self.scheduler = self
        self.max_log_lines = 3
        self.how_they_ended = {}
        self.in_the_outbox = []
        self.n_flushes = 0
        self.cancelled = []
        self.asked_for = []
        self.reconciler = fake_reconciler(
            self, self.run_folder, self, read_outbox=self.read_outbox, flushed=self.flushed
        )

    async def read_outbox(self):
        for report in self.in_the_outbox:
            report()

    async def flushed(self, patience=None):
        del patience
        self.n_flushes += 1
        return True

    def ends(self, job_ids):
        self.asked_for += job_ids
        return {i: self.how_they_ended[i] for i in job_ids if i in self.how_they_ended}

    def cancel_ids(self, job_ids):
        self.cancelled += job_ids

    def gone(self):
        return [record for record in self.journal if isinstance(record, events.JobGone)]


@pytest.fixture
def database(tmp_path):
    return Database(tmp_path / "sweep-run")


def seen(number=0, phase="running", *, reason="", token="t"):
    return queued_job(
        job_name=f"sweep-{number}", state="ITS STATE", phase=phase, reason=reason, token=token
    )


def working(database, number):
    """Submit a job and have it take its learner."""
    database.submit(number, token=f"token of {number}")
    job = Job(database, number)
    job.hello()
    return job


# Who is there.


@in_a_loop
async def test_jobs_in_the_queue_live(database):
    working(database, 0)
    database.submit(1)
    queue = {"0": seen(0), "1": seen(1, "pending"), "99": seen(7, token="")}
    await database.reconciler.reconcile(queue, NOW)
    assert set(database.state.jobs) == set(database.reconciler.queue) == {"0", "1"}
    assert database.gone() == []
    assert database.asked_for == []
    assert database.n_flushes == 1


@in_a_loop
async def test_a_job_that_the_queue_shows_running_has_started(database):
    database.submit(0, 1)
    await database.reconciler.reconcile({"0": seen(0), "1": seen(1, "pending")}, database.now + 5)
    first, second = database.state.jobs.values()
    assert database.reconciler.started_at(first) == database.now + 5
    assert database.reconciler.started_at(second) is None
    assert database.reconciler.started() == {"0"}
    # What the queue shows is no record.
    assert everything(database.replayed()) == everything(database.state)
    Job(database, 0).hello()
    assert database.reconciler.started_at(first) == database.now + 5


@in_a_loop
async def test_jobs_of_another_run_are_as_if_they_were_not_there(database):
    database.state.apply(BEGAN)
    working(database, 0)
    database.submit(1)
    theirs = new_token("fedcba9876543210")
    await database.reconciler.reconcile(
        {"0": seen(0, token=theirs), "1": seen(1, "stuck", token=theirs)}, NOW
    )
    assert database.state.jobs == database.reconciler.queue == {}
    assert [gone.job_id for gone in database.gone()] == ["0", "1"]
    assert database.cancelled == []


# Who waits for another start.


@in_a_loop
async def test_a_job_that_is_in_line_again_has_let_go_of_its_learner(database):
    job = working(database, 0)
    await database.reconciler.reconcile({"0": seen(0, "pending")}, NOW)
    entry = database.state.learners[0]
    assert (entry.state, entry.fails) == (READY, 0)
    assert entry.error == "Job 0 waits in the queue again."
    assert database.reconciler.started() == set()
    check_consistency(database.state)
    # It lives on where its node has lost the network, and is to end.
    assert job.status() == messages.Superseded()
    assert job.hello() == messages.Superseded()
    assert job.hello(job.holding) == messages.Superseded()


@in_a_loop
async def test_a_job_that_begins_again_gets_back_what_it_had(database):
    job = working(database, 0)
    job.done(npoints=1)
    job.hello()
    had = job.holding.learner
    await database.reconciler.reconcile({"0": seen(0, "pending")}, NOW)
    database.record.append(events.Reopened(time=NOW, learner=0))
    assert job.restarted().hello() == messages.Assigned(messages.Attempt(had, 2))


@in_a_loop
async def test_what_a_job_in_line_had_goes_to_whoever_asks(database):
    job, other = working(database, 0), working(database, 1)
    await database.reconciler.reconcile({"0": seen(0, "pending"), "1": seen(1)}, NOW)
    other.done()
    assert other.hello() == messages.Assigned(messages.Attempt(2, 1))  # it may still get it back
    other.done()
    assert other.hello() == messages.Assigned(messages.Attempt(0, 2))
    assert job.restarted().hello() == messages.NothingLeft()


@in_a_loop
async def test_a_job_that_was_interrupted_and_is_in_line_again_is_counted_on(database):
    working(database, 0).released()
    database.record.append(events.Done(time=NOW, learner=1))
    assert numbers_to_submit(database.state, 3, 9) == [2, 1]
    await database.reconciler.reconcile({"0": seen(0, "pending")}, NOW)
    assert numbers_to_submit(database.state, 3, 9) == [2]


@in_a_loop
async def test_a_look_from_before_a_job_began_tells_nothing_of_it(database):
    working(database, 0)
    before = database.state.learners[0].started
    await database.reconciler.reconcile({"0": seen(0, "pending")}, before)
    assert database.state.learners[0].state == RUNNING


@in_a_loop
async def test_a_job_of_which_nothing_is_known_keeps_its_learner(database):
    working(database, 0)
    moved = seen(0, "unknown")
    await database.reconciler.reconcile({"0": moved}, NOW)
    assert database.state.learners[0].state == RUNNING


# Who can't start.


@in_a_loop
async def test_a_job_that_the_scheduler_could_not_start_is_cancelled_and_has_failed(database):
    database.submit(0, 1)
    stuck = seen(0, "stuck", reason="launch failed requeued held")
    await database.reconciler.reconcile({"0": stuck, "1": seen(1, "pending")}, NOW)
    assert database.cancelled == ["0"]
    assert list(database.state.jobs) == ["1"]
    assert database.state.totals.failed_starts_in_a_row == 1
    assert database.state.totals.ends == {"HELD": 1}
    assert "HELD (launch failed requeued held)" in database.state.learners[0].error


@in_a_loop
async def test_a_job_that_had_worked_and_could_not_be_started_again_has_not_failed(database):
    working(database, 0)
    await database.reconciler.reconcile({"0": seen(0, "stuck")}, NOW)
    assert database.state.jobs == {}
    assert database.state.totals.failed_starts_in_a_row == 0
    assert (database.state.learners[0].state, database.state.learners[0].fails) == (READY, 0)


@in_a_loop
async def test_a_job_that_can_not_be_started_nor_cancelled_is_cancelled_at_the_next_look(
    database, monkeypatch
):
    database.submit(0)
    queue = {"0": seen(0, "stuck")}
    with monkeypatch.context() as patch:
        patch.setattr(database, "cancel_ids", refuse)
        await database.reconciler.reconcile(queue, NOW)
    assert list(database.state.jobs) == ["0"]
    await database.reconciler.reconcile(queue, NOW)
    assert database.cancelled == ["0"]
    assert database.state.jobs == {}


def refuse(job_ids):
    raise SchedulerUnavailableError("no answer")


@in_a_loop
async def test_jobs_of_others_that_are_stuck_are_left_alone(database):
    await database.reconciler.reconcile({"99": seen(0, "stuck")}, NOW)
    assert database.cancelled == []


# Who can't end.


@in_a_loop
async def test_a_job_that_can_not_be_brought_to_its_end_is_not_waited_for(database):
    job = working(database, 0)
    for late in (0, LONGEST_END):
        await database.reconciler.reconcile({"0": seen(0, "ending")}, NOW + late)
        assert database.state.learners[0].state == RUNNING
    await database.reconciler.reconcile({"0": seen(0, "ending")}, NOW + LONGEST_END + 1)
    entry = database.state.learners[0]
    assert (entry.state, entry.fails) == (READY, 0)
    assert entry.last_end == "ENDLESS (it did not come to its end in 10 minutes)"
    assert database.state.jobs == {}
    # Should it ever go on, it saves beside what others have computed.
    assert job.hello(job.holding) == messages.Superseded()


@pytest.mark.parametrize("looks", [("pending", "running"), ("pending",), ("running",)])
@in_a_loop
async def test_a_job_that_begins_again_has_as_long_for_its_next_end(database, looks):
    working(database, 0)
    await database.reconciler.reconcile({"0": seen(0, "ending")}, NOW)
    for later, phase in enumerate(looks, 1):
        await database.reconciler.reconcile({"0": seen(0, phase)}, NOW + later)
    await database.reconciler.reconcile({"0": seen(0, looks[-1])}, NOW + LONGEST_END + 1)
    await database.reconciler.reconcile({"0": seen(0, "ending")}, NOW + LONGEST_END + 2)
    assert list(database.state.jobs) == ["0"]


# Who is gone.


@pytest.mark.parametrize("queue", [{}, {"0": seen(0, "over")}])
@in_a_loop
async def test_a_job_that_is_not_alive_in_the_queue_has_failed_at_its_learner(database, queue):
    working(database, 0)
    database.how_they_ended["0"] = JobEnd(state="OUT_OF_MEMORY", exit_code=137)
    database.run_folder.output_of("sweep-0", "0").write_text("1\n2\n3\n4\nKilled\n")
    await database.reconciler.reconcile(queue, NOW)
    entry = database.state.learners[0]
    assert (entry.state, entry.fails) == (READY, 1)
    assert entry.error == "The job ended: OUT_OF_MEMORY, exit code 137."
    assert entry.traceback == "3\n4\nKilled"
    assert database.state.jobs == {}


@in_a_loop
async def test_what_a_killed_job_has_left_on_disk_is_removed(database):
    folders = [scratch_of(database.run_folder.root, job_id) for job_id in "01"]
    for number, folder in enumerate(folders):
        working(database, number)
        (folder / "profile").mkdir(parents=True)
    await database.reconciler.reconcile({"1": seen(1)}, NOW)
    assert [folder.exists() for folder in folders] == [False, True]
    await database.reconciler.reconcile({}, NOW)
    assert not folders[1].parent.exists()


@in_a_loop
async def test_a_job_that_the_site_has_ended_was_no_failure(database):
    working(database, 0)
    database.submit(1)
    lost = JobEnd(state="NODE_FAIL", is_no_fault=True)
    database.how_they_ended |= {"0": lost, "1": lost}
    await database.reconciler.reconcile({}, NOW)
    assert [entry.fails for entry in database.state.learners] == [0, 0, 0]
    assert database.state.totals.failed_starts_in_a_row == 0
    assert database.state.totals.ends == {"NODE_FAIL": 2}


@in_a_loop
async def test_pending_jobs_that_somebody_has_cancelled_together_are_one_failed_start(database):
    database.submit(0, 1, 2)
    await database.reconciler.reconcile({}, NOW)
    assert len(database.gone()) == 3
    assert database.state.totals.failed_starts_in_a_row == 1


@in_a_loop
async def test_jobs_that_have_run_or_written_something_are_failed_starts_each(database):
    database.submit(0, 1, 2)
    phases = ("running", "pending", "pending")
    await database.reconciler.reconcile(
        {str(i): seen(i, phase) for i, phase in enumerate(phases)}, NOW
    )
    database.run_folder.output_of("sweep-1", "1").write_text("module: command not found\n")
    await database.reconciler.reconcile({}, 2 * NOW)
    assert database.state.totals.failed_starts_in_a_row == 3


@in_a_loop
async def test_the_scheduler_is_asked_once_how_all_of_them_ended(database):
    for number in range(3):
        working(database, number)
    await database.reconciler.reconcile({}, NOW)
    assert sorted(database.asked_for) == ["0", "1", "2"]
    assert len(database.gone()) == 3


@in_a_loop
async def test_a_job_of_whose_end_nothing_is_known_is_gone_all_the_same(database):
    working(database, 0)
    await database.reconciler.reconcile({}, NOW)
    assert database.gone()[0].end == "nothing is known of its end"


@in_a_loop
async def test_a_scheduler_that_cannot_tell_ends_does_not_keep_jobs_alive(database):
    def fail(job_ids):
        raise SchedulerUnavailableError(f"No accounting for {job_ids}.")

    database.ends = fail
    working(database, 0)
    await database.reconciler.reconcile({}, NOW)
    assert database.state.jobs == {}


@in_a_loop
async def test_a_job_that_was_submitted_after_the_question_is_not_missed(database):
    working(database, 0)
    await database.reconciler.reconcile({}, database.now - 1)
    assert database.states()[0] == RUNNING
    assert set(database.state.jobs) == {"0"}


@in_a_loop
async def test_a_job_that_ended_when_nothing_was_left_harms_nobody(database):
    job = working(database, 0)
    job.done()
    for number in (1, 2):
        working(database, number)
    job.hello()
    await database.reconciler.reconcile({"1": seen(1), "2": seen(2)}, NOW)
    assert database.states() == [DONE, RUNNING, RUNNING]
    (gone,) = database.gone()
    assert (gone.job_id, gone.output, gone.is_failed_start) == ("0", "", False)


@in_a_loop
async def test_a_job_that_never_said_hello_is_a_failed_start_with_its_output(database):
    database.submit(1)
    database.run_folder.output_of("sweep-1", "1").write_text("python: command not found\n")
    await database.reconciler.reconcile({}, NOW)
    (gone,) = database.gone()
    assert gone.is_failed_start
    assert database.state.learners[1].traceback == "python: command not found"
    assert database.state.totals.failed_starts_in_a_row == 1


@in_a_loop
async def test_what_a_job_left_in_the_outbox_was_said_before_its_end(database):
    job = working(database, 0)
    database.in_the_outbox.append(job.done)
    await database.reconciler.reconcile({}, NOW)
    assert database.states()[0] == DONE
    assert database.state.learners[0].fails == 0


@in_a_loop
async def test_a_job_that_is_gone_is_forgotten(database):
    job = working(database, 0)
    await database.reconciler.reconcile({}, NOW)
    await database.reconciler.reconcile({}, NOW)
    assert len(database.gone()) == 1
    # Another job with its id, as there are with some schedulers, is no repetition of it.
    assert job.requests[0].seq == 1
    assert Job(database, 0).hello().attempt.number == 2
    check_consistency(database.state)


@in_a_loop
async def test_jobs_that_are_cancelled_have_not_failed(database):
    working(database, 0)
    database.submit(1)
    database.handler.stop()
    await database.reconciler.reconcile({}, NOW)
    assert database.states() == [READY] * 3
    assert [entry.fails for entry in database.state.learners] == [0, 0, 0]
    assert database.state.learners[0].error == "The run was cancelled."
    assert not any(gone.is_failed_start for gone in database.gone())


def test_who_is_gone_can_be_asked_without_consequences(database):
    database.submit(0, 1)
    gone = gone_jobs(database.state, {"0": seen(0)}, NOW)
    assert [job.job_id for job in gone] == ["1"]
    assert set(database.state.jobs) == {"0", "1"}


# Submissions without an answer.


def begin_submission(database, *numbers):
    database.record.append(
        events.Submitting(time=database.now, token="t", job_name="sweep", numbers=list(numbers))
    )


def test_jobs_whose_submission_had_no_answer_are_found_by_their_token(database):
    begin_submission(database, 0, 2)
    queue = {"7_0": seen(0), "7_2": seen(2), "8": seen(1, token="another's")}
    database.reconciler.find_submissions(queue, NOW)
    assert {i: job.number for i, job in database.state.jobs.items()} == {"7_0": 0, "7_2": 2}
    assert database.state.submissions == {}


def test_a_submission_that_is_missed_twice_never_was(database):
    begin_submission(database, 0)
    database.reconciler.find_submissions({}, NOW)
    assert database.state.live_numbers() == {0}
    database.reconciler.find_submissions({}, NOW)
    assert database.state.live_numbers() == set()
    assert isinstance(database.journal[-1], events.NotSubmitted)


def test_jobs_of_a_submission_that_come_late_are_waited_for(database):
    begin_submission(database, 0, 1)
    database.reconciler.find_submissions({"7": seen(0)}, NOW)
    assert database.state.live_numbers() == {0, 1}
    assert database.state.jobs == {}
    database.reconciler.find_submissions({"7": seen(0), "8": seen(1)}, NOW)
    assert set(database.state.jobs) == {"7", "8"}


def test_jobs_of_a_submission_that_never_come_are_submitted_again(database):
    begin_submission(database, 0, 1)
    for _ in range(2):
        database.reconciler.find_submissions({"7": seen(0)}, NOW)
    assert set(database.state.jobs) == {"7"}
    assert database.state.live_numbers() == {0}


def test_a_submission_that_is_under_way_is_left_alone(database):
    begin_submission(database, 0)
    with database.reconciler.submitting("t"):
        for _ in range(5):
            database.reconciler.find_submissions({"7": seen(0)}, NOW)
        assert set(database.state.submissions) == {"t"}


def test_a_submission_that_began_after_the_question_is_left_alone(database):
    begin_submission(database, 0)
    for _ in range(5):
        database.reconciler.find_submissions({}, database.now - 1)
    assert set(database.state.submissions) == {"t"}


@in_a_loop
async def test_a_job_that_was_found_by_its_token_is_not_missed_at_once(database):
    begin_submission(database, 0)
    await database.reconciler.reconcile({"7": seen(0, "over")}, time.time())
    assert set(database.state.jobs) == {"7"}


# Clocks.


@in_a_loop
async def test_what_another_manager_submitted_by_a_clock_of_its_own_is_not_waited_for(database):
    working(database, 0)
    database.record.append(
        events.Submitting(time=NOW, token="theirs", job_name="sweep", numbers=[1, 2])
    )
    database.record.append(STARTED)
    early = 1.0  # by the clock of this host
    assert [job.job_id for job in gone_jobs(database.state, {}, early)] == ["0"]
    queue = {"8": seen(1, token="theirs"), "9": seen(2, token="theirs")}
    database.reconciler.find_submissions(queue, early)
    assert set(database.state.jobs) == {"0", "8", "9"}


# Jobs that somebody has cancelled.


@in_a_loop
async def test_a_pending_job_that_somebody_cancels_has_not_failed_to_start(database):
    database.submit(0, 1)
    database.how_they_ended = {str(i): JobEnd(state="CANCELLED") for i in range(2)}
    await database.reconciler.reconcile({"0": seen(0, "pending"), "1": seen(1)}, NOW - 1)
    await database.reconciler.reconcile({}, NOW)
    assert [record.is_failed_start for record in database.gone()] == [False, True]
    assert [entry.fails for entry in database.state.learners] == [0, 1, 0]
