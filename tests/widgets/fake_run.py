"""A run manager in memory, for tests that look at what is shown of it."""

from __future__ import annotations

from types import SimpleNamespace

import adaptive

from adaptive_scheduler.learners.goals import smart_goal
from adaptive_scheduler.learners.paths import Project
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.layout import RunFolder
from adaptive_scheduler.server_support.event_loop import event_loop
from adaptive_scheduler.server_support.live_view import LiveView
from adaptive_scheduler.server_support.monitor import Monitor
from tests.server_support.fake_manager import Job, Manager, fake_reconciler


class HeardJob(Job):
    """A job that is heard on the event loop, where others look meanwhile."""

    def send(self, message):
        return event_loop.call(super().send, message)


class FakeRun:
    """What the dashboard reads of a `RunManager`, with jobs that tests play."""

    def __init__(self, tmp_path, n_learners=3, goal=100, max_fails=50, **keywords):
        self.manager = Manager([0] * n_learners, max_fails=max_fails, **keywords)
        self.learners = [adaptive.Learner1D(abs, (0, 1)) for _ in range(n_learners)]
        self.fnames = [f"{i}.pickle" for i in range(n_learners)]
        self.run_folder = RunFolder.at(tmp_path / "run")
        self.job_name = "sweep"
        self.calls = []
        self.state_word = "running"
        self.kill_manager = None
        self.job_manager = SimpleNamespace(trouble="")
        self.database_manager = SimpleNamespace(
            state=self.manager.state,
            handler=self.manager.handler,
            learners=self.learners,
            groups=[0] * n_learners,
            record=self.manager.record,
            reconciler=fake_reconciler(self.manager, self.run_folder),
            disk_trouble="",
            resolved=Project.here().resolve_all(self.fnames),
        )
        self.monitor = Monitor(self.database_manager, smart_goal(goal, self.learners), lambda _: 2)
        self.view = LiveView(self)

    def status(self):
        return self.state_word

    def elapsed_time(self):
        return 3723.0

    def job(self, number):
        """Submit a job and have it take its learner."""
        return event_loop.call(self._play_job, number)

    def _play_job(self, number):
        self.manager.submit(number, token=f"t{number}-{len(self.manager.journal)}")
        job = HeardJob(self.manager, number)
        job.log_fname = str(self.run_folder.log_of(f"sweep-{number}", str(number)))
        job.hello()
        return job

    # What buttons call.

    def cancel(self):
        self.calls.append("cancel")

    def cancel_learners(self, learners):
        self.calls.append(("cancel", list(learners)))
        return len(learners)

    def retry(self, learners=None):
        self.calls.append(("retry", learners))
        return 2

    def pause(self):
        self.manager.record.append(events.Paused(time=0.0))

    def resume(self):
        self.manager.record.append(events.Resumed(time=0.0))

    def cleanup(self):
        self.calls.append("cleanup")

    def load_learners(self):
        self.calls.append("load")
