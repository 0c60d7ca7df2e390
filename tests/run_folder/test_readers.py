"""Whoever reads a journal believes what the manager believes that has written it."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adaptive_scheduler.client_support.fence import FollowedRun
from adaptive_scheduler.protocol import messages
from adaptive_scheduler.protocol.messages import Attempt
from adaptive_scheduler.run_folder import commands, events
from adaptive_scheduler.run_folder.attempts import attempts_at
from adaptive_scheduler.run_folder.journal import JournalFollower, read_journal
from adaptive_scheduler.run_folder.layout import RunFolder
from adaptive_scheduler.run_folder.models import DELAYED, DONE, READY, RUNNING
from adaptive_scheduler.run_folder.outbox import Outbox
from adaptive_scheduler.run_folder.spec import RunSpec
from adaptive_scheduler.run_folder.state import RunState
from adaptive_scheduler.server_support.folder_view import FolderView
from tests.journals import BEGAN, RUN_ID, STARTED, open_journal
from tests.server_support.fake_manager import Job, Manager, everything

N = 4
GROUPS = [0, 0, 1, 0]
NEEDS = {3: [0]}
MAX_FAILS = 2
OPTIONS = {"dependencies": NEEDS, "max_fails": MAX_FAILS}

JOB_STEPS = ["submit", "ask", "take", "done", "failed", "released", "gone", "lost", "requeued"]
#: Jobs that nobody answers leave these in the outbox, which the manager reads later.
UNHEARD_STEPS = ["claim", "leave done", "leave failed", "leave released"]
RUN_STEPS = ["cancel", "retry", "reopen", "pause", "resume", "end", "trouble"]
MANAGER_STEPS = ["start", "wait", "read outbox"]
READER_STEPS = ["look", "look", "compact"]
STEP = st.tuples(
    st.sampled_from(JOB_STEPS * 3 + UNHEARD_STEPS + RUN_STEPS + MANAGER_STEPS + READER_STEPS),
    st.integers(0, N - 1),
    st.integers(0, N - 1),
)
#: Long ones, too: left to itself, Hypothesis makes lists of five on average.
STEPS = st.integers(0, 80).flatmap(lambda n: st.lists(STEP, min_size=n, max_size=n))


class Readers:
    """A manager that writes a journal, and all kinds of readers of it."""

    def __init__(self, root):
        shutil.rmtree(root, ignore_errors=True)
        folder = RunFolder.at(root)
        folder.create()
        self.path = folder.journal
        self.journal = open_journal(self.path)
        self.outbox = Outbox(folder.outbox)
        self.manager = Manager(GROUPS, **OPTIONS)
        self.manager.state.apply(BEGAN)
        self.jobs = [Job(self.manager, number) for number in range(N)]
        self.n_written = 0
        spec = RunSpec(
            run_id=RUN_ID,
            run_folder=folder,
            n_learners=N,
            groups=GROUPS,
            dependencies=OPTIONS["dependencies"],
            max_fails_per_job=OPTIONS["max_fails"],
        )
        folder.spec.write_bytes(spec.to_json())
        self.alone = FollowedRun(spec, N)
        self.looking, self.follower = RunState(GROUPS, **OPTIONS), JournalFollower(self.path)
        self.view = FolderView(root)

    def close(self):
        self.journal.close()

    def write(self):
        for record in self.manager.journal[self.n_written :]:
            self.journal.append(record)
        self.journal.flush()
        self.n_written = len(self.manager.journal)

    def look(self):
        """Have those who follow the journal read what is new."""
        self.write()
        list(self.alone.free_attempts(0))
        for record in self.follower.new_records():
            self.looking.apply(record)
        self.view.info()

    def read_outbox(self):
        """Have the manager answer what jobs have left, as it does when it is back."""
        for path, message in self.outbox.messages():
            self.manager.handler.answer(message)
            self.write()
            path.unlink()

    def compact(self):
        """Have the journal made shorter, as a manager does when it starts."""
        self.write()
        self.manager.now += 1  # it has begun at another time than the one before
        records, _ = self.manager.compacted()
        self.journal.compact(records)
        self.manager.record.append(STARTED)

    # What happens.

    def step(self, what, number, other):
        manager, job = self.manager, self.jobs[number]
        if manager.state.ended is not None and what not in (*READER_STEPS, *UNHEARD_STEPS):
            what = "start"  # before that, nobody manages the run
        if what in JOB_STEPS:
            self.play(job, what, other)
        elif what in UNHEARD_STEPS:
            self.leave(job, what)
        elif what in RUN_STEPS:
            for record in self.wanted(what, number):
                manager.record.append(record)
        else:
            self.read_or_manage(what)

    def read_or_manage(self, what):
        match what:
            case "look":
                self.look()
            case "compact":
                self.compact()
            case "start":
                self.manager.record.append(STARTED)
            case "wait":
                self.manager.now += 1000
                self.manager.record.watched.end_pauses(self.manager.now)
            case "read outbox":
                self.read_outbox()

    def play(self, job, what, other):
        manager, job_id = self.manager, job.identity.job_id
        match what:
            case "submit" if job_id not in manager.state.jobs:
                manager.submit(job.number, token=f"{job.number}")
            case "ask":
                job.hello()
            case "take":  # unheard, and told now
                job.hello(Attempt(other, manager.state.learners[other].attempt + 1))
            case "gone" | "lost":
                manager.job_gone(job_id, is_certain=what == "gone")
                self.jobs[job.number] = Job(manager, job.number)
            case "requeued":
                manager.record.append(events.Requeued(time=manager.now, job_id=job_id))
                self.jobs[job.number] = job.restarted()
            case "done" | "failed" | "released" if job.holding is not None:
                getattr(job, what)()

    def leave(self, job, what):
        """Have a job that nobody answers write into the outbox."""
        if what == "claim":
            self.write()
            free = self.alone.free_attempts(job.number) if job.holding is None else ()
            for attempt in free:
                if self.outbox.claim(attempt, job.greeting(attempt)):
                    job.holding = attempt
                    return
        elif job.holding is not None:
            self.outbox.put(REPORTS[what](job.identity, job.holding))
            job.holding = None

    def wanted(self, what, learner):
        now, state = self.manager.now, self.manager.state
        match what:
            case "end":
                return [events.RunEnded(time=now, status="failed")]
            case "reopen":
                return [events.Reopened(time=now, learner=learner)]
            case "trouble":
                is_running = state.learners.is_running(learner)
                record = events.Troubled(time=now, learner=learner, text="disk full")
                return [record] if is_running else []
            case _:
                return commands.records_of(what, state, [learner], now)

    # What everybody believes.

    def check(self):
        self.look()
        self.check_the_view()
        if any(self.outbox.messages()):
            self.manager.record.append(STARTED)
            self.read_outbox()
        self.look()
        manager = self.manager.state
        for each in (replayed(self.path), self.looking, self.view.state):
            assert each.run_id == manager.run_id
            assert everything(each) == everything(manager)
        self.check_the_job_alone()
        for entry in manager.learners:
            self.check_the_attempts(entry)

    def check_the_attempts(self, entry):
        attempts = attempts_at(RunFolder.at(self.path.parent), entry.index, N)
        running = [(a.number, a.job_id) for a in attempts if a.outcome == RUNNING]
        held = entry.state == RUNNING
        assert running == ([(entry.attempt, entry.job.job_id)] if held else [])
        if attempts and entry.state == DONE:
            assert attempts[-1].outcome == DONE

    def check_the_view(self):
        """It shows what a manager that is back will believe when it has read the outbox."""
        back = Manager(GROUPS, **OPTIONS)
        back.adopt(replayed(self.path))
        for _, message in self.outbox.messages():
            back.handler.answer(message)
        assert decisions(self.view.state) == decisions(back.state)

    def check_the_job_alone(self):
        manager, alone = self.manager.state, self.alone
        has_ended = manager.ended is not None
        free = {e.index: e.attempt + 1 for e in manager.learners if e.state in (READY, DELAYED)}
        for number in range(N):
            same = {i: n for i, n in free.items() if GROUPS[i] == GROUPS[number]}
            found = {a.learner: a.number for a in alone.free_attempts(number)}
            assert found == ({} if has_ended else same)
        for entry in manager.learners:
            assert alone.was_assigned(Attempt(entry.index, max(1, entry.attempt))) == (
                entry.attempt > 0
            )
            assert not alone.was_assigned(Attempt(entry.index, entry.attempt + 1))
            if entry.state == RUNNING:
                is_given = not (has_ended or entry.is_cancelled)
                given = Attempt(entry.index, entry.attempt) if is_given else None
                assert alone.given_attempt(entry.job) == given


REPORTS = {
    "leave done": lambda job, attempt: messages.Done(job, attempt, {"npoints": 7}),
    "leave failed": lambda job, attempt: messages.Failed(
        job, attempt, "ValueError: no", "Traceback"
    ),
    "leave released": lambda job, attempt: messages.Released(job, attempt, "The job got SIGTERM."),
}


def decisions(state):
    """Return what a state believes, without times: each reader has its own clock."""
    state.end_pauses(float("inf"))
    names = ("state", "attempt", "fails", "is_cancelled", "npoints", "error", "job")
    learners = [[getattr(entry, name) for name in names] for entry in state.learners]
    jobs = {job_id: (job.number, job.learner) for job_id, job in state.jobs.items()}
    return learners, jobs, state.ended, state.is_paused


def replayed(path):
    state = RunState(GROUPS, **OPTIONS)
    for record in read_journal(path):
        state.apply(record)
    return state


@pytest.fixture(scope="module")
def root():
    """Return a run folder in memory, where that is possible: journals wait for the disk often."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        yield Path(name) / "sweep-run"


#: A learner that is reopened before any attempt of it was known.
MADE_UNHEARD = [("submit", 0, 0), ("claim", 0, 0), ("done", 0, 0), ("gone", 0, 0), ("reopen", 0, 0)]


@settings(max_examples=3 * settings.default.max_examples)
@given(steps=STEPS)
@example(steps=MADE_UNHEARD)
def test_every_reader_believes_what_the_manager_believes(root, steps):
    readers = Readers(root)
    try:
        for step in steps:
            readers.step(*step)
        readers.check()
        readers.compact()
        readers.check()
    finally:
        readers.close()


@given(steps=STEPS)
def test_what_decides_is_the_same_without_a_history(root, steps):
    readers = Readers(root)
    try:
        for step in steps:
            readers.step(*step)
    finally:
        readers.close()
    full, lean = (RunState(GROUPS, **OPTIONS, keep_history=keep) for keep in (True, False))
    for record in readers.manager.journal:
        full.apply(record)
        lean.apply(record)
        for with_history, without in zip(full.learners, lean.learners, strict=True):
            decisive = ("state", "attempt", "fails", "is_cancelled", "ready_at")
            assert [getattr(without, f) for f in decisive] == [
                getattr(with_history, f) for f in decisive
            ]
        assert {i: asdict(job) for i, job in lean.jobs.items()} == {
            i: asdict(job) for i, job in full.jobs.items()
        }
        assert (lean.leaving, lean.over, lean.totals) == (full.leaving, full.over, full.totals)
