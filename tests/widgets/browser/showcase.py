"""A run that looks like one in the middle of a week, without a cluster.

Nothing is submitted: what jobs would say is played, so that a page can show as many
learners as a test likes, in every state, and looks the same each time.
"""

from __future__ import annotations

import time
from types import SimpleNamespace

import adaptive

from adaptive_scheduler import RunManager, scheduler
from adaptive_scheduler.protocol import messages
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.history import Sample
from adaptive_scheduler.scheduler import queued_job
from adaptive_scheduler.server_support.event_loop import event_loop

#: Of a thousand learners, how many are in each state; all others are ready.
SHARES = {"done": 620, "running": 80, "failed": 3, "delayed": 7, "cancelled": 10}
GOAL = 2_000
#: Seconds since the run began.
AGE = 93_000.0
ERRORS = (
    "ValueError: the matrix is singular at x=0.25, raised at (0.25, 3)",
    "MemoryError: Unable to allocate 7.63 GiB for an array with shape (32000, 32000)",
    "The job ended: NODE_FAIL.",
)
REASONS = ("Resources", "Priority", "QOSMaxJobsPerUserLimit")


class Showcase:
    """A run of so many learners, and what has happened to them.

    Attributes
    ----------
    run
        The run manager, which believes that it is running.
    """

    def __init__(self, n_learners, folder):
        learners = [adaptive.Learner1D(abs, (0, 1)) for _ in range(n_learners)]
        self.run = RunManager(
            scheduler.Local(cores=1),
            learners,
            [folder / f"{i}.pickle" for i in range(n_learners)],
            goal=GOAL,
            job_name="anderson-disorder",
            folder=folder / "run",
            max_fails_per_job=3,
        )
        self.database = self.run.database_manager
        self.state, self.handler = self.database.state, self.database.handler
        self.database.record._journal = SimpleNamespace(append=lambda _: None)  # nothing is written
        self.run.status = lambda: self.state.ended or "running"
        self.now = time.time()
        self.run._lifecycle.start_time = self.now - AGE
        event_loop.call(self._play)

    def _play(self):
        for index in range(len(self.state.learners)):
            self._play_learner(index, index * 619 % 1000)
        for number in range(3):
            self._play_pending(number)
        for i in range(400):
            t = (i + 1) / 400
            jobs = int(80 * min(1, 8 * t) * (1 - 0.3 * (0.4 < t < 0.55)))
            sample = (int(2e5 * t**1.3), 0.4 * (1.02 - t) ** 2, 0, jobs, 3, 3.6e5 * t)
            self.run.monitor.history.add(Sample(self.now - AGE * (1 - t), *sample))
        self.run.monitor.core_seconds, self.run.monitor._counted_until = 3.6e5, self.now

    def _play_learner(self, index, lot):
        for state, share in SHARES.items():
            if lot < share:
                getattr(self, f"_{state}")(index, lot / share)
                return
            lot -= share

    def _play_pending(self, number):
        self.state.apply(
            events.Submitting(
                time=self.now - 600, token=f"t{number}", job_name="anderson", numbers=[number]
            )
        )
        job_id = f"4711_{900 + number}"
        submitted = events.Submitted(
            time=self.now - 600, token=f"t{number}", job_ids={number: job_id}
        )
        self.state.apply(submitted)
        self.database.reconciler.queue[job_id] = queued_job(
            job_name=f"anderson-{number}",
            state="PENDING",
            phase="pending",
            reason=REASONS[number],
            token=f"t{number}",
        )

    # What a learner may have seen.

    def _begun(self, index, ago, number=1):
        job = messages.JobIdentity(f"4711_{index}")
        assigned = events.Assigned(
            time=self.now - ago,
            learner=index,
            number=number,
            job=job,
            job_name=f"anderson-{index}",
            job_number=index,
            host=f"node{index % 40:02}",
        )
        self.state.apply(assigned)
        return job, messages.Attempt(index, number)

    def _report(self, kind, index, part, *, ago, number=1):
        job, attempt = self._begun(index, ago, number)
        npoints = int(GOAL * part)
        figures = {"npoints": npoints, "latest_loss": 0.8 / (npoints + 1), "npoints/s": 0.21}
        self.handler.answer(kind(job, attempt, figures | {"cpu_usage": 96.5, "mem_usage": 3.25}))

    def _gone(self, index, end):
        job_id = f"4711_{index}"
        gone = events.JobGone(time=self.now, job_id=job_id, end=end, state=end, is_certain=True)
        self.state.apply(gone)

    def _done(self, index, lot):
        self._report(messages.Done, index, 1, ago=AGE * (1 - lot / 2))
        self._gone(index, "COMPLETED")

    def _running(self, index, lot):
        self._report(messages.Status, index, lot, ago=9_000 * lot, number=1 + (index % 7 == 0))

    def _failed(self, index, lot, times=3):
        for number in range(1, times + 1):
            job, attempt = self._begun(index, 7_000 * (lot + 1) - 60 * number, number)
            self.handler.answer(messages.Failed(job, attempt, ERRORS[index % 3], "Traceback ..."))
        self._gone(index, "FAILED")

    def _delayed(self, index, lot):
        self._failed(index, lot, times=2)

    def _cancelled(self, index, lot):
        del lot  # it has seen nothing
        self.state.apply(events.Cancelled(time=self.now, learner=index))
