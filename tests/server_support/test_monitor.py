"""What jobs report is counted as it comes, and kept as a curve."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import adaptive
import pytest

from adaptive_scheduler.learners.goals import smart_goal
from adaptive_scheduler.protocol import messages
from adaptive_scheduler.server_support.monitor import Monitor
from tests.server_support.fake_manager import Job, Manager, fake_reconciler


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr("time.time", lambda: clock.now)
    return clock


class Run:
    """A monitor beside a manager in memory."""

    def __init__(self, goal, n_learners=3):
        manager = Manager([0] * n_learners)
        self.manager = manager
        learners = [adaptive.Learner1D(abs, (0, 1)) for _ in range(n_learners)]
        database = SimpleNamespace(
            state=manager.state,
            handler=manager.handler,
            learners=learners,
            groups=[0] * n_learners,
            record=manager.record,
            reconciler=fake_reconciler(manager, None),
        )
        self.monitor = Monitor(database, smart_goal(goal, learners), lambda _: 4)
        self.monitor._cores[0] = 4

    def counted(self, now):
        """Return what is counted by now."""
        monitor = self.monitor
        monitor.catch_up(now)
        figures = monitor.figures
        return SimpleNamespace(
            npoints=figures.npoints,
            rate=figures.rate,
            loss=figures.loss,
            cpu=figures.cpu,
            time_left=figures.time_left(self.manager.state, now),
            core_seconds=monitor.core_seconds,
        )

    def job(self, number):
        self.manager.submit(number, token=f"t{number}")
        job = Job(self.manager, number)
        job.hello()
        return job


def test_points_and_rates_of_all_jobs_are_added(clock):
    run = Run(100)
    first, second = run.job(0), run.job(1)
    first.status(**{"npoints": 10, "npoints/s": 2.0, "latest_loss": 0.5, "cpu_usage": 50.0})
    second.status(**{"npoints": 30, "npoints/s": 1.0, "latest_loss": 0.1, "cpu_usage": 100.0})
    tally = run.counted(clock.now)
    assert (tally.npoints, tally.rate, tally.loss, tally.cpu) == (40, 3.0, 0.3, 75.0)
    assert [run.monitor.figures.share(i) for i in range(2)] == [0.1, 0.3]


@pytest.mark.parametrize(
    "npoints", [1e300, -1e300, "many", None, messages.MAX_NUMBER, -messages.MAX_NUMBER]
)
def test_whatever_a_job_tells_the_others_are_counted(clock, npoints):
    run = Run(100)
    first, second = run.job(0), run.job(1)
    first.status(npoints=npoints, latest_loss=npoints)
    run.monitor.catch_up(clock.now)
    first.status(npoints=10)
    second.status(npoints=30)
    assert run.counted(clock.now).npoints == 40


def test_time_left_follows_the_jobs(clock):
    run = Run(100)
    job = run.job(0)
    assert run.counted(clock.now).time_left is None
    clock.now += 10
    job.status(**{"npoints": 50, "npoints/s": 5.0})
    assert run.counted(clock.now).time_left == timedelta(seconds=10 + 2 * 20)
    clock.now += 10
    job.done(npoints=100)
    job.hello()
    assert run.counted(clock.now).time_left == timedelta(seconds=2 * 20)


def test_cores_are_counted_while_jobs_have_them(clock):
    run = Run(100)
    job = run.job(0)
    run.monitor.catch_up(clock.now)
    clock.now += 100
    assert run.counted(clock.now).core_seconds == 400
    assert run.counted(clock.now).core_seconds == 400
    run.manager.job_gone(job.identity.job_id)
    clock.now += 100
    assert run.counted(clock.now).core_seconds == 400


def test_learners_that_fail_or_have_trouble_are_known_without_a_look_at_all(clock):
    run = Run(100)
    first, second = run.job(0), run.job(1)
    first.failed()
    second.send(messages.Status(second.identity, second.holding, {}, "the disk is full"))
    run.monitor.catch_up(clock.now)
    assert run.monitor.figures.ailing == {0, 1}
    second.status()
    run.monitor.catch_up(clock.now)
    assert run.monitor.figures.ailing == {0}


def test_samples_make_a_history(clock):
    run = Run(100)
    job = run.job(0)
    for npoints in (10, 20, 30):
        job.status(npoints=npoints)
        run.monitor.sample()
        clock.now += 5
    assert [s.npoints for s in run.monitor.history.samples] == [10, 20, 30]
    assert [s.jobs_running for s in run.monitor.history.samples] == [1, 1, 1]


@pytest.mark.parametrize("value", ["many", True, None, float("inf"), float("nan")])
def test_nonsense_from_a_job_counts_as_nothing(clock, value):
    run = Run(100)
    job = run.job(0)
    job.status(**{"npoints": value, "npoints/s": value, "latest_loss": value, "cpu_usage": value})
    tally = run.counted(clock.now)
    assert (tally.npoints, tally.rate, tally.loss, tally.cpu) == (0, 0.0, None, None)


def test_a_look_costs_what_has_changed(clock):
    run = Run(100, n_learners=1000)
    run.monitor.catch_up(clock.now)
    job = run.job(7)
    job.status(npoints=1)
    noted = []
    run.monitor.figures.note = lambda entry, *_: noted.append(entry.index)
    run.monitor.catch_up(clock.now)
    assert noted == [7]
