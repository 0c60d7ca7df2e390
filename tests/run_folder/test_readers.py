"""Whoever reads a journal believes what the manager believes that has written it."""

from __future__ import annotations

from dataclasses import asdict

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adaptive_scheduler.client_support.fence import FollowedRun
from adaptive_scheduler.protocol.messages import Attempt
from adaptive_scheduler.run_folder import commands, events
from adaptive_scheduler.run_folder.journal import JournalFollower, read_journal
from adaptive_scheduler.run_folder.layout import RunFolder
from adaptive_scheduler.run_folder.models import DELAYED, READY, RUNNING
from adaptive_scheduler.run_folder.spec import RunSpec
from adaptive_scheduler.run_folder.state import RunState
from tests.journals import BEGAN, STARTED, open_journal
from tests.server_support.fake_manager import Job, Manager, everything

N = 4
GROUPS = [0, 0, 1, 0]
NEEDS = {3: [0]}
MAX_FAILS = 2
OPTIONS = {"dependencies": NEEDS, "max_fails": MAX_FAILS}

JOB_STEPS = ["submit", "ask", "take", "done", "failed", "released", "gone", "lost", "requeued"]
RUN_STEPS = ["cancel", "retry", "reopen", "pause", "resume", "end", "start", "wait", "trouble"]
READER_STEPS = ["look", "look", "compact"]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(JOB_STEPS * 3 + RUN_STEPS + READER_STEPS),
        st.integers(0, N - 1),
        st.integers(0, N - 1),
    ),
    max_size=60,
)


class Readers:
    """A manager that writes a journal, and all kinds of readers of it."""

    def __init__(self, path):
        path.unlink(missing_ok=True)
        self.journal = open_journal(path)
        self.path = path
        self.manager = Manager(GROUPS, **OPTIONS)
        self.manager.state.apply(BEGAN)
        self.jobs = [Job(self.manager, number) for number in range(N)]
        self.n_written = 0
        spec = RunSpec(
            run_folder=RunFolder.at("/run", journal=path),
            groups=GROUPS,
            dependencies=OPTIONS["dependencies"],
            max_fails_per_job=OPTIONS["max_fails"],
        )
        self.alone = FollowedRun(spec, N)
        self.looking, self.follower = RunState(GROUPS, **OPTIONS), JournalFollower(path)

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
        if manager.state.ended is not None and what not in ("look", "compact"):
            what = "start"  # before that, nobody manages the run
        match what:
            case "look":
                self.look()
            case "compact":
                self.compact()
            case "wait":
                manager.now += 1000
                manager.record.watched.end_pauses(manager.now)
            case "end":
                manager.record.append(events.RunEnded(time=manager.now, status="failed"))
            case "start":
                manager.record.append(STARTED)
            case _ if what in JOB_STEPS:
                self.play(job, what, other)
            case _:
                for record in self.wanted(what, number):
                    manager.record.append(record)

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

    def wanted(self, what, learner):
        now, state = self.manager.now, self.manager.state
        match what:
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
        manager = self.manager.state
        for each in (replayed(self.path), self.looking):
            assert each.run_id == manager.run_id
            assert everything(each) == everything(manager)
        self.check_the_job_alone()

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


def replayed(path):
    state = RunState(GROUPS, **OPTIONS)
    for record in read_journal(path):
        state.apply(record)
    return state


@settings(
    max_examples=3 * settings.default.max_examples,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS)
def test_every_reader_believes_what_the_manager_believes(tmp_path, steps):
    readers = Readers(tmp_path / "journal.jsonl")
    try:
        for step in steps:
            readers.step(*step)
        readers.check()
        readers.compact()
        readers.check()
    finally:
        readers.close()


@given(steps=STEPS)
def test_what_decides_is_the_same_without_a_history(tmp_path_factory, steps):
    readers = Readers(tmp_path_factory.mktemp("run") / "journal.jsonl")
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
