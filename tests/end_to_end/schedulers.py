"""`Local`, with the faults of the schedulers of clusters."""

from __future__ import annotations

import json
from pathlib import Path

from adaptive_scheduler.errors import SchedulerUnavailableError
from adaptive_scheduler.scheduler import JobEnd, Local, queued_job


class Forgetful(Local):
    """Leaves jobs out of the queue that still run, as after the loss of a node.

    The file `forgotten` has their ids, one a line.
    """

    def __init__(self, forgotten: Path, **keywords):
        super().__init__(**keywords)
        self.forgotten = forgotten

    def queue(self, *, me_only=True):
        lost = self.forgotten.read_text().split() if self.forgotten.exists() else []
        return {i: job for i, job in super().queue(me_only=me_only).items() if i not in lost}


class Unreliable(Local):
    """Fails as often as it answers; submissions sometimes after the jobs were taken."""

    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.n_looks = 0
        self.n_submissions = 0

    def queue(self, *, me_only=True):
        self.n_looks += 1
        if self.n_looks % 2:
            raise SchedulerUnavailableError("no answer to a look at the queue")
        return super().queue(me_only=me_only)

    def submit(self, batch):
        self.n_submissions += 1
        if self.n_submissions == 1:
            raise SchedulerUnavailableError("no answer, and the jobs were not taken")
        job_ids = super().submit(batch)
        if self.n_submissions == 2:
            raise SchedulerUnavailableError("no answer, though the jobs were taken")
        return job_ids


class Played(Local):
    """A queue that is a folder; who plays the jobs takes them from there.

    A file of a batch lists its jobs. Those that have ended are in ``over``.
    """

    min_poll_interval = 0.05

    def __init__(self, folder: Path, **keywords):
        super().__init__(**keywords)
        self.folder = folder

    def submit(self, batch):
        path = self.folder / f"{batch.token}.json"
        new = path.with_suffix(".new")
        new.write_text(json.dumps({"job_name": batch.job_name, "numbers": batch.numbers}))
        new.rename(path)
        return {number: f"{batch.token}_{number}" for number in batch.numbers}

    def queue(self, *, me_only=True):  # noqa: ARG002  all jobs are mine
        over = self._over()
        jobs = {}
        for path in self.folder.glob("*.json"):
            submitted = json.loads(path.read_text())
            for number in submitted["numbers"]:
                jobs[f"{path.stem}_{number}"] = queued_job(
                    job_name=f"{submitted['job_name']}-{number}",
                    state="RUNNING",
                    phase="running",
                    token=path.stem,
                )
        return {job_id: job for job_id, job in jobs.items() if job_id not in over}

    def cancel_ids(self, job_ids):
        for job_id in job_ids:
            self.end(job_id)

    def ends(self, job_ids):
        over = self._over()
        return {i: JobEnd(state="COMPLETED", exit_code=0) for i in job_ids if i in over}

    def end(self, job_id):
        """Have a job be over; what plays it hears of that."""
        with (self.folder / "over").open("a") as file:
            file.write(f"{job_id}\n")

    def _over(self):
        path = self.folder / "over"
        return set(path.read_text().split()) if path.exists() else set()
