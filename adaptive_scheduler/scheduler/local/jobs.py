"""The jobs of `Local`: submitted, started, adopted, ended."""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

from adaptive_scheduler.scheduler.local.processes import is_alive, send_signal, watch
from adaptive_scheduler.scheduler.local.spool import Spool
from adaptive_scheduler.scheduler.local.state import (
    JobKey,
    LocalBatch,
    RunningJob,
    booted,
    ended,
    started_as,
    submitted,
)
from adaptive_scheduler.scheduler.local.store import Ledger
from adaptive_scheduler.scheduler.local.supervisor import Order, fork_keeper

_WAITING = "waiting for cores"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class LocalJobs:
    """All jobs of one spool. There is one of these at a time, in the daemon.

    Parameters
    ----------
    spool
        Where they are kept.
    wake_on, forget
        Called with a descriptor that becomes readable when a job's keeper
        ends, and again when it is of no more use.
    """

    def __init__(
        self, spool: Spool, wake_on: Callable[[int], None], forget: Callable[[int], object]
    ) -> None:
        self._spool = spool
        self._wake_on = wake_on
        self._forget = forget
        self._ledger = Ledger(spool.journal)
        self._state = self._ledger.state
        #: Running jobs, with the descriptor that tells when the keeper ends, if there is one.
        self._watched: dict[JobKey, int | None] = {}
        #: Why something could not be done; it is tried again.
        self._trouble = ""
        boot = _boot_id()
        self._was_restarted = boot != self._state.boot
        if self._was_restarted:
            self._ledger.record(booted(boot))
        self._remove_strays()

    @property
    def is_empty(self) -> bool:
        """Whether no jobs are left."""
        return not self._state.batches

    @property
    def must_look_again(self) -> bool:
        """Whether there is something to do of which no descriptor will tell."""
        return bool(self._trouble) or None in self._watched.values()

    # What the loop calls.

    def adopt(self) -> None:
        """Take over the jobs that an earlier daemon has started."""
        for key, job in [*self._state.running.items()]:
            if self._was_restarted and not self._has_final_status(key):
                self._end(key, "NODE_FAIL", reason="the machine was restarted")
            else:
                self._watch(key, job)
        self.note_ends()

    def start_what_fits(self) -> None:
        """Start jobs until one has to wait."""
        self._trouble = ""
        while (key := self._state.next_to_start()) and self._try_to_start(key):
            pass

    def note_ends(self) -> None:
        """Take note of jobs that have ended."""
        for key in [*self._watched]:
            if is_alive(self._state.running[key].keeper):
                continue
            if self._has_final_status(key):
                self._end(key, **self._spool.read_status(str(key)))
                continue
            # The keeper was killed; another one ends what it has left.
            self._unwatch(key)
            if not self._try_to_start(key, leftovers_only=True):
                self._watched[key] = None

    def give_up(self) -> None:
        """Tell all jobs to end; their keepers see to it that they do."""
        for job in self._state.running.values():
            _tell_to_end(job)

    # What users ask for.

    def submit(self, numbers: Collection[int], batch: LocalBatch) -> int:
        """Add jobs; return the number of their batch. A second time it returns the same.

        Raises
        ------
        OSError
            If they can't be kept. Nothing was submitted then.
        """
        known = self._state.submissions.get(batch.submission)
        if known is not None:
            return known
        number = self._state.next_batch
        self._ledger.record(submitted(number, numbers, batch), durable=True)
        return number

    def queue(self) -> list[tuple[Any, ...]]:
        """Return what there is: batch, job_name, token, submitted, state, reason, numbers."""
        running = defaultdict(list)
        for key, job in self._state.running.items():
            status = self._spool.read_status(str(key))
            state = "COMPLETING" if job.ending or status else "RUNNING"
            running[key.batch].append((state, str(status.get("reason", "")), [key.number]))
        groups = []
        for number, live in self._state.batches.items():
            parts = running[number]
            if live.pending:
                parts.append(("PENDING", self._trouble or _WAITING, list(live.pending)))
            batch = live.batch
            shared = (number, batch.job_name, batch.token, batch.submitted)
            groups += [(*shared, *part) for part in parts]
        return groups

    def cancel(self, job_ids: Iterable[str]) -> None:
        """End jobs, those that run and those that don't yet.

        Raises
        ------
        OSError
            If this can't be written down. Jobs that wait then go on waiting.
        """
        keys = [key for job_id in job_ids if (key := JobKey.parse(job_id))]
        for key in keys:
            if job := self._state.running.get(key):
                _tell_to_end(job)
        if pending := [key for key in keys if self._state.is_pending(key)]:
            reason = "before it was started"
            self._ledger.record(ended([*map(str, pending)], "CANCELLED", reason=reason))
            for batch in {key.batch for key in pending}:
                self._drop_script(batch)

    def ends(self, job_ids: Iterable[str]) -> dict[str, Any]:
        """Return how jobs have ended, as far as it is remembered."""
        known = self._state.ends
        return {job_id: known[job_id] for job_id in job_ids if job_id in known}

    # Starts and ends.

    def _remove_strays(self) -> None:
        """Remove files of jobs that don't run. Scripts, if not whole, are written again."""
        known = {self._spool.script(key.batch).name for key in self._state.running}
        known |= {self._spool.status(str(key)).name for key in self._state.running}
        for path in self._spool.folder.iterdir():
            if path.suffix in {".sh", ".status"} and path.name not in known:
                path.unlink(missing_ok=True)

    def _try_to_start(self, key: JobKey, *, leftovers_only: bool = False) -> bool:
        try:
            self._start(key, leftovers_only=leftovers_only)
        except OSError as error:
            self._trouble = f"can't be started now: {error}"
            return False
        return True

    def _start(self, key: JobKey, *, leftovers_only: bool) -> None:
        known = self._state.running.get(key)
        mark = known.mark if known else os.urandom(16).hex()
        self._write_script(key.batch)
        status = self._spool.create_status(str(key))
        try:
            order = self._order(key, mark)
            keeper, go = fork_keeper(order, status, leftovers_only=leftovers_only)
        finally:
            os.close(status)
        try:
            self._ledger.record(started_as(key, RunningJob(keeper=keeper, mark=mark)))
            os.write(go, b"!")
        finally:
            os.close(go)
        self._watch(key, self._state.running[key])

    def _write_script(self, batch: int) -> None:
        path = self._spool.script(batch)
        if path.exists():
            return
        try:
            path.write_text(self._state.batches[batch].batch.script, errors="surrogateescape")
        except OSError:
            path.unlink(missing_ok=True)
            raise

    def _order(self, key: JobKey, mark: str) -> Order:
        batch = self._state.batches[key.batch].batch
        name = f"{batch.job_name}-{key.number}"
        identity = {
            "ADAPTIVE_SCHEDULER_LOCAL_JOB_ID": str(key),
            "ADAPTIVE_SCHEDULER_LOCAL_NUMBER": str(key.number),
            "ADAPTIVE_SCHEDULER_LOCAL_JOB_NAME": name,
        }
        return Order(
            script=str(self._spool.script(key.batch)),
            output=str(Path(batch.log_folder, f"{name}-{key}.out")),
            workdir=batch.workdir,
            environment=batch.environment | identity,
            umask=batch.umask,
            affinity=batch.affinity,
            mark=mark,
            time=batch.time,
            kill_wait=batch.kill_wait,
        )

    def _has_final_status(self, key: JobKey) -> bool:
        return self._spool.read_status(str(key)).get("state") not in (None, "COMPLETING")

    def _end(self, key: JobKey, state: str, exit_code: int | None = None, reason: str = "") -> None:
        try:
            self._ledger.record(ended([str(key)], state, exit_code, reason))
        except OSError as error:
            self._trouble = f"can't be recorded now: {error}"
            self._unwatch(key)
            self._watched[key] = None
            return
        self._unwatch(key)
        self._spool.status(str(key)).unlink(missing_ok=True)
        self._drop_script(key.batch)

    def _drop_script(self, batch: int) -> None:
        if batch not in self._state.batches:
            self._spool.script(batch).unlink(missing_ok=True)

    def _watch(self, key: JobKey, job: RunningJob) -> None:
        try:
            descriptor = watch(job.keeper)
        except OSError:
            descriptor = None  # it is gone, or there are no more descriptors: look now and then
        self._watched[key] = descriptor
        if descriptor is not None:
            self._wake_on(descriptor)

    def _unwatch(self, key: JobKey) -> None:
        descriptor = self._watched.pop(key, None)
        if descriptor is not None:
            self._forget(descriptor)
            os.close(descriptor)


def _tell_to_end(job: RunningJob) -> None:
    job.ending = True
    # A keeper that somebody has stopped goes on, too.
    send_signal(job.keeper, signal.SIGTERM, signal.SIGCONT)


def _boot_id() -> str:
    """Return a word for the machine's last start; sandboxes may not have any."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""
