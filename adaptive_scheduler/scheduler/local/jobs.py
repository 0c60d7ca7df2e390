"""The jobs of `Local` as they run: started in their turn, adopted, ended."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from adaptive_scheduler.scheduler.local.database import Batch, Database, JobKey
from adaptive_scheduler.scheduler.local.processes import (
    Process,
    boot_id,
    is_alive,
    send_signal,
    watch,
)
from adaptive_scheduler.scheduler.local.spool import Spool, write_record
from adaptive_scheduler.scheduler.local.supervisor import (
    JobSpec,
    Supervisor,
    fork_supervisor,
)

#: What passes: no space, no processes, no descriptors. The work is tried again later.
TROUBLE = (OSError, sqlite3.OperationalError)

_WAITING = "waiting for cores"


@dataclass
class _Running:
    """A job that was started.

    Attributes
    ----------
    supervisor
        None if nobody knows any more which process it was.
    descriptor
        Becomes readable when the supervisor ends; None if it has to be looked at now and then.
    """

    cores: int
    supervisor: Process | None
    descriptor: int | None = None
    is_told_to_end: bool = False

    def tell_to_end(self) -> None:
        self.is_told_to_end = True
        if self.supervisor:
            # One that somebody has stopped goes on, too.
            send_signal(self.supervisor, signal.SIGTERM, signal.SIGCONT)


class LocalJobs:
    """All jobs of one spool. There is one of these at a time, in the daemon.

    Parameters
    ----------
    spool, database
        Where they are kept.
    wake_on, forget
        Called with a descriptor that becomes readable when a job's supervisor
        ends, and again when it is of no more use.
    """

    def __init__(
        self,
        spool: Spool,
        database: Database,
        wake_on: Callable[[int], None],
        forget: Callable[[int], object],
    ) -> None:
        self._spool = spool
        self._database = database
        self._wake_on = wake_on
        self._forget = forget
        self._running: dict[JobKey, _Running] = {}
        #: Why something could not be done; it is tried again.
        self._trouble = ""
        self._adopt()

    @property
    def must_poll(self) -> bool:
        """Whether there is something to do of which no descriptor will tell."""
        unwatched = any(job.descriptor is None for job in self._running.values())
        return bool(self._trouble) or unwatched

    # What the loop calls.

    def collect_ends(self) -> None:
        """Record the ends of jobs whose supervisors have ended."""
        for key, job in [*self._running.items()]:
            if job.supervisor and is_alive(job.supervisor):
                continue
            self._unwatch(job)
            status = self._spool.read_status(str(key))
            try:
                if status.get("state") not in (None, "COMPLETING"):
                    self._end(key, **status)
                elif job.supervisor and job.supervisor.boot != boot_id():
                    self._end(key, "NODE_FAIL", reason="the machine was restarted")
                else:
                    self._end_leftovers(key)
            except TROUBLE as error:
                self._trouble = f"can't be brought to an end now: {error}"

    def start_pending(self) -> None:
        """Start jobs in their order until one has to wait for cores.

        The others wait behind it; so a large job is not passed by small ones for ever.
        """
        self._trouble = ""
        try:
            while job := self._database.next_pending():
                key, cores, max_cores = job
                if cores + sum(job.cores for job in self._running.values()) > max_cores:
                    return
                self._start(key)
        except TROUBLE as error:
            self._trouble = f"can't be started now: {error}"

    def end_all(self) -> None:
        """Tell all jobs to end; their supervisors see to it that they do."""
        for job in self._running.values():
            job.tell_to_end()

    # What users ask for.

    def queue(self) -> list[tuple[Any, ...]]:
        """Return what there is: batch, what the queue shows of it, state, reason, numbers."""
        parts = defaultdict(list)
        for key, job in self._running.items():
            status = self._spool.read_status(str(key))
            state = "COMPLETING" if job.is_told_to_end or status else "RUNNING"
            parts[key.batch].append((state, str(status.get("reason", "")), [key.number]))
        waiting = groupby(self._database.jobs(running=False), lambda key: key.batch)
        for batch, keys in waiting:
            numbers = [key.number for key in keys]
            parts[batch].append(("PENDING", self._trouble or _WAITING, numbers))
        batches = self._database.batches().items()
        return [(batch, shown, *part) for batch, shown in batches for part in parts[batch]]

    def cancel(self, job_ids: Iterable[str]) -> None:
        """End jobs, those that run and those that don't yet.

        Raises
        ------
        sqlite3.OperationalError
            If this can't be recorded. Jobs that wait then go on waiting.
        """
        keys = [key for job_id in job_ids if (key := JobKey.parse(job_id))]
        for key in keys:
            if job := self._running.get(key):
                job.tell_to_end()
        if waiting := [key for key in keys if self._database.is_pending(key)]:
            self._database.end(waiting, "CANCELLED", reason="before it was started")
            for batch in {key.batch for key in waiting}:
                self._drop_script(batch)

    # Starts and ends.

    def _adopt(self) -> None:
        """Take over the jobs that an earlier daemon has started.

        A running job of which the database knows nothing, since it was
        damaged, is known by its file.
        """
        for job_id in self._spool.job_files():
            key, record = JobKey.parse(job_id), self._spool.read_record(job_id)
            if key and record and not self._database.knows(key):
                common = (record["cores"], record["cores"], record["kill_wait"], record["shown"])
                self._database.adopt(key, Batch(*common, launch={}))
        running = self._database.jobs(running=True)
        self._remove_strays(running)
        for key in running:
            supervisor = self._spool.read_record(str(key)).get("supervisor")
            cores = self._database.batch(key.batch).cores
            self._watch(key, cores, Process(*supervisor) if supervisor else None)

    def _remove_strays(self, running: Iterable[JobKey]) -> None:
        """Remove files of jobs that don't run. Scripts, if not whole, are written again."""
        needed = {self._spool.script(key.batch) for key in running}
        needed |= {self._spool.job_file(str(key)) for key in running}
        for path in self._spool.folder.iterdir():
            if path.suffix in {".sh", ".job"} and path not in needed:
                path.unlink(missing_ok=True)

    def _start(self, key: JobKey) -> None:
        """Start a job that waits, or leave it waiting if that fails."""
        batch = self._database.batch(key.batch)
        launch = dict(batch.launch)
        self._spool.write_script(key.batch, launch.pop("script"))
        name = f"{batch.shown['job_name']}-{key.number}"
        identity = {
            "ADAPTIVE_SCHEDULER_LOCAL_JOB_ID": str(key),
            "ADAPTIVE_SCHEDULER_LOCAL_NUMBER": str(key.number),
            "ADAPTIVE_SCHEDULER_LOCAL_JOB_NAME": name,
        }
        spec = JobSpec(
            script=str(self._spool.script(key.batch)),
            output=str(Path(launch.pop("log_folder"), f"{name}-{key}.out")),
            environment=launch.pop("environment") | identity,
            **launch,
        )
        self._supervise(key, batch, spec)

    def _end_leftovers(self, key: JobKey) -> None:
        """Replace a supervisor that was killed by one that ends what it has left."""
        self._supervise(key, self._database.batch(key.batch), None)

    def _supervise(self, key: JobKey, batch: Batch, spec: JobSpec | None) -> None:
        job_file = self._spool.create_job_file(str(key))
        try:
            supervisor = Supervisor(self._spool.mark(str(key)), batch.kill_wait, job_file)
            process, go = fork_supervisor(supervisor, spec)
            try:
                shared = {"cores": batch.cores, "kill_wait": batch.kill_wait, "shown": batch.shown}
                write_record(job_file, shared | {"supervisor": process})
                self._database.start(key)
                self._watch(key, batch.cores, process)
                with suppress(BrokenPipeError):  # killed already: seen like a later kill
                    os.write(go, b"!")
            finally:
                os.close(go)
        finally:
            os.close(job_file)

    def _end(self, key: JobKey, state: str, exit_code: int | None = None, reason: str = "") -> None:
        self._database.end([key], state, exit_code, reason)
        del self._running[key]
        self._spool.job_file(str(key)).unlink(missing_ok=True)
        self._drop_script(key.batch)

    def _drop_script(self, batch: int) -> None:
        if not self._database.has_batch(batch):
            self._spool.script(batch).unlink(missing_ok=True)

    def _watch(self, key: JobKey, cores: int, supervisor: Process | None) -> None:
        job = self._running[key] = _Running(cores, supervisor)
        if supervisor:
            with suppress(OSError):  # it is gone, or there are no more descriptors
                job.descriptor = watch(supervisor)
        if job.descriptor is not None:
            self._wake_on(job.descriptor)

    def _unwatch(self, job: _Running) -> None:
        if job.descriptor is not None:
            self._forget(job.descriptor)
            os.close(job.descriptor)
            job.descriptor = None
