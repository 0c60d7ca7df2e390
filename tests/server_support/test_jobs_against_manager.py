"""Jobs that ask, end, die, come back and repeat themselves, in any order that there can be."""

from __future__ import annotations

from collections import Counter, defaultdict
from types import SimpleNamespace
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from adaptive_scheduler.protocol import messages
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.commands import to_retry, to_retry_at_start
from adaptive_scheduler.run_folder.models import CANCELLED, DONE, RUNNING
from adaptive_scheduler.server_support.planning import numbers_to_submit
from tests.server_support.fake_manager import Job, Manager, check_consistency, everything

MAX_JOBS = 4


class JobsAgainstManager(RuleBasedStateMachine):
    """A job here is a process; several may bear the same id, when the scheduler starts it again."""

    processes = Bundle("processes")

    @initialize(target=processes, data=st.data(), n=st.integers(1, 5), max_fails=st.integers(1, 4))
    def begin(self, data, n, max_fails):
        groups = data.draw(st.lists(st.sampled_from("ab"), min_size=n, max_size=n))
        earlier = {i: data.draw(st.lists(st.integers(0, i - 1), max_size=2)) for i in range(1, n)}
        self.manager = Manager(groups, dependencies=earlier, max_fails=max_fails)
        clock = SimpleNamespace(time=lambda: self.manager.now)
        self.clock = mock.patch("adaptive_scheduler.server_support.message_handler.time", clock)
        self.clock.start()
        self.n_submissions = 0
        self.restarts = Counter()
        #: Who was told that it has a learner in an attempt.
        self.holders = {}
        self.done = set()
        self.last_numbers = defaultdict(int)
        self.n_seen = 0
        return self.submit_missing()

    def teardown(self):
        if hasattr(self, "clock"):
            self.clock.stop()

    @property
    def state(self):
        return self.manager.state

    def told(self, job, answer):
        """Have a process do as it was told, and note what was promised to it."""
        if isinstance(answer, messages.Assigned):
            attempt = (answer.attempt.learner, answer.attempt.number)
            assert self.holders.setdefault(attempt, job.identity) == job.identity
            assert not self.state.is_over(job.identity)
            entry = self.state.learners[answer.attempt.learner]
            assert self.state.learners.groups[entry.index] == self.state.learners.groups[job.number]
            known = self.state.jobs[job.identity.job_id]
            assert (known.learner, known.restarts) == (entry.index, job.identity.restarts)
            job.holding = answer.attempt
        elif not isinstance(answer, messages.Accepted):
            job.holding = None

    # The scheduler.

    @rule(target=processes)
    def submit_missing(self):
        numbers = numbers_to_submit(self.state, len(self.state.learners), MAX_JOBS)
        assert not set(numbers) & self.state.live_numbers()
        assert len(self.state.jobs) + len(numbers) <= MAX_JOBS or not numbers
        self.n_submissions += 1
        first_id = 100 * self.n_submissions
        self.manager.submit(*numbers, token=str(first_id), first_id=first_id)
        jobs = [Job(self.manager, n, str(first_id + i)) for i, n in enumerate(numbers)]
        return multiple(*jobs)

    @rule(target=processes, job=processes)
    def start_again(self, job):
        """Start a job again; the process from before may not have noticed that it was killed."""
        self.restarts[job.identity.job_id] += 1
        restarts = self.restarts[job.identity.job_id]
        return Job(self.manager, job.number, job.identity.job_id, restarts)

    @rule(job=consumes(processes))
    def die_and_be_missed(self, job):
        self.manager.job_gone(job.identity.job_id)

    @rule(job=processes)
    def be_missed_alive(self, job):
        self.manager.job_gone(job.identity.job_id)

    @rule(job=processes)
    def be_ended_and_live_on(self, job):
        """Have the scheduler end a job, on a node that it can't reach."""
        self.manager.job_gone(job.identity.job_id, is_certain=True)

    # The jobs.

    @rule(job=processes)
    def ask(self, job):
        job.holding = None
        self.told(job, job.hello())

    @rule(job=processes)
    def ask_in_vain(self, job):
        """Ask, and give up before the answer is there."""
        job.holding = None
        answer = job.hello()
        job.holding = None
        if isinstance(answer, messages.Assigned):
            attempt = (answer.attempt.learner, answer.attempt.number)
            self.holders.setdefault(attempt, job.identity)

    @rule(job=processes)
    def take_unasked(self, job):
        """Take a learner from the run folder; another job may have got it meanwhile."""
        if job.holding is None:
            job.holding = messages.Attempt(job.number, self.last_numbers[job.number] + 1)

    @rule(job=processes)
    def tell_status(self, job):
        if job.holding is None:
            return
        learner, number = job.holding.learner, job.holding.number
        answer = job.status(npoints=1)
        is_held = self.state.learners[learner].is_held_by(job.identity, number)
        is_wanted = not self.state.learners[learner].is_cancelled
        assert answer == (
            (messages.Accepted() if is_wanted else messages.Stop())
            if is_held
            else messages.Superseded()
        )
        if answer == messages.Superseded():
            self.told(job, job.hello(job.holding))

    @rule(job=processes, how=st.sampled_from(["done", "failed", "released"]))
    def report(self, job, how):
        if job.holding is None:
            return
        learner = job.holding.learner
        answer = getattr(job, how)()
        if how == "done" and answer == messages.Accepted():
            assert self.state.learners[learner].state == DONE
        job.holding = None

    @rule(job=processes, data=st.data())
    def repeat_itself(self, job, data):
        """Have an earlier request arrive once more."""
        if job.requests:
            request = data.draw(st.sampled_from(job.requests))
            self.manager.handler.handle(request)

    # The manager.

    @rule(seconds=st.sampled_from([0.1, 1.0, 1000.0]))
    def wait(self, seconds):
        self.manager.now += seconds
        self.state.end_pauses(self.manager.now)

    @rule()
    def try_again(self):
        for index in to_retry_at_start(self.state):
            self.manager.record.append(events.Retried(time=self.manager.now, learner=index))

    # The user.

    @rule(data=st.data())
    def cancel(self, data):
        index = data.draw(st.integers(0, len(self.state.learners) - 1))
        self.manager.record.append(events.Cancelled(time=self.manager.now, learner=index))
        assert self.state.learners[index].state in (RUNNING, DONE, CANCELLED)

    @rule(data=st.data())
    def retry(self, data):
        index = data.draw(st.integers(0, len(self.state.learners) - 1))
        for each in to_retry(self.state, [index]):
            self.manager.record.append(events.Retried(time=self.manager.now, learner=each))
        assert not self.state.learners.is_given_up(index)

    @rule()
    def restart(self):
        """Have another manager take over, from the journal."""
        replayed = self.manager.replayed()
        assert everything(replayed) == everything(self.state)
        self.manager.adopt(replayed)

    @rule()
    def compact(self):
        records, state = self.manager.compacted()
        assert everything(state) == everything(self.state)
        self.manager.journal = records
        self.n_seen = len(records)
        self.manager.adopt(state)

    # What always holds.

    @invariant()
    def all_parts_of_the_state_tell_the_same(self):
        if hasattr(self, "manager"):
            check_consistency(self.state)

    @invariant()
    def numbers_of_attempts_only_grow(self):
        if not hasattr(self, "manager"):
            return
        for record in self.manager.journal[self.n_seen :]:
            if isinstance(record, events.Assigned):
                assert record.number > self.last_numbers[record.learner]
                self.last_numbers[record.learner] = record.number
        self.n_seen = len(self.manager.journal)

    @invariant()
    def what_is_done_stays_done(self):
        if hasattr(self, "manager"):
            done = {entry.index for entry in self.state.learners if entry.state == DONE}
            assert self.done <= done
            self.done = done


TestJobsAgainstManager = JobsAgainstManager.TestCase
TestJobsAgainstManager.settings = settings(
    max_examples=4 * settings.default.max_examples, stateful_step_count=40
)
