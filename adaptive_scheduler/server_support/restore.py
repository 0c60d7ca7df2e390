"""How a manager opens the record of a run: reads it, makes it shorter, and goes on with it."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import msgspec

from adaptive_scheduler.errors import RunFolderError
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.commands import to_retry_at_start
from adaptive_scheduler.run_folder.compaction import as_records
from adaptive_scheduler.run_folder.journal import Journal, read_beginning, read_journal
from adaptive_scheduler.run_folder.layout import RunFolder
from adaptive_scheduler.run_folder.outbox import Outbox
from adaptive_scheduler.run_folder.state import RunState
from adaptive_scheduler.version import __version__

log = logging.getLogger(__name__)

#: A journal with more lines than this for each learner, and more than
#: `_COMPACT_ABOVE` in all, is compacted when a manager starts.
_COMPACT_LINES_PER_LEARNER = 4
_COMPACT_ABOVE = 10_000


def open_journal(
    path: Path,
    state: RunState,
    apply: Callable[[events.AnyRecord], None],
    digest: str,
    *,
    retry: Collection[int] | None,
    may_write: Callable[[], bool],
    is_copy: bool = False,
) -> Journal:
    """Have `state` become what a journal says, and write down that a manager has started.

    A journal that is new begins with the id that the run has from then on.

    Parameters
    ----------
    path
        The journal; it is made if there is none.
    state
        What the journal makes of it.
    apply
        Applies a record to the state.
    digest
        Tells the fnames of this run from those of others.
    retry
        Learners that get new tries; None for all that have failed: who starts
        a run again has mended what made them fail.
    may_write
        See `Journal`.
    is_copy
        Whether it is a copy of another run's journal: what is done stays done, but the
        run gets an id of its own, and the jobs are left to the original.

    Raises
    ------
    RunFolderError
        If it is the record of another run, or can't be read.
    OSError
        If it can't be written.
    """
    n_records = _replay(path, apply, digest)
    journal = Journal(path, may_write=may_write)
    try:
        if is_copy and state.beginning is not None:
            own = _parted_from_original(state, apply, time.time())
            journal.compact(own)
        elif n_records > max(_COMPACT_ABOVE, _COMPACT_LINES_PER_LEARNER * len(state.learners)):
            _compact(journal, as_records(state, time.time()))
        records: list[events.AnyRecord] = []
        if n_records == 0:
            records.append(_beginning(len(state.learners), digest))
        records.append(
            events.ManagerStarted(
                time=time.time(),
                host=socket.gethostname(),
                pid=os.getpid(),
                version=__version__,
            )
        )
        chosen = to_retry_at_start(state) if retry is None else retry
        records += [events.Retried(time=time.time(), learner=i) for i in chosen]
        for record in records:
            apply(record)
            journal.append(record)
        journal.flush()
    except BaseException:  # Ctrl-C as well: nobody else would close it
        journal.close()
        raise
    return journal


def check_journal(path: Path, digest: str) -> None:
    """Check that a journal is of a run whose fnames have this digest, by its first records.

    Raises
    ------
    RunFolderError
        If it is the record of another run, or can't be read.
    """
    if (beginning := read_beginning(path)) is not None:
        _check_digest(path, beginning, digest)


def _beginning(n_learners: int, digest: str) -> events.RunBegan:
    return events.RunBegan(
        time=time.time(),
        format=events.FORMAT,
        run_id=secrets.token_hex(8),
        version=__version__,
        n_learners=n_learners,
        fnames_digest=digest,
    )


def _replay(path: Path, apply: Callable[[events.AnyRecord], None], digest: str) -> int:
    """Apply all records of a journal, and return how many there were."""
    n_records = 0
    for record in read_journal(path):
        n_records += 1
        if isinstance(record, events.RunBegan):
            _check_digest(path, record, digest)
        apply(record)
    return n_records


def _check_digest(path: Path, beginning: events.RunBegan, digest: str) -> None:
    if beginning.fnames_digest != digest:
        raise RunFolderError(
            f"'{path}' is the record of a run with other fnames ({beginning.n_learners} learners). "
            "Use another `job_name` or `folder`, or begin anew with `overwrite_db=True`: that "
            "keeps the old record aside and touches no data."
        )


def _parted_from_original(
    state: RunState, apply: Callable[[events.AnyRecord], None], now: float
) -> list[events.AnyRecord]:
    """Give a run that was copied an id of its own, and no jobs; return the records of that."""
    end = "it belongs to the run that this one was copied from"
    for job_id in list(state.jobs):
        apply(events.JobGone(time=now, job_id=job_id, end=end, is_no_fault=True))
    for token in list(state.submissions):
        apply(events.NotSubmitted(time=now, token=token, reason=end))
    apply(events.JobsWereOver(time=now, ended={}, missed=[]))
    run_id = secrets.token_hex(8)
    own = [
        msgspec.structs.replace(record, run_id=run_id)
        if isinstance(record, events.RunBegan)
        else record
        for record in as_records(state, now)
    ]
    for record in own:  # the first one has the state forget what the others tell again
        apply(record)
    return own


def _compact(journal: Journal, records: Iterable[events.AnyRecord]) -> None:
    """Make a journal shorter; without room for that, it stays as it is."""
    try:
        journal.compact(records)
    except OSError as error:
        log.warning("The journal can't be compacted, and stays as long as it is: %s", error)


def keep_aside(folder: RunFolder) -> None:
    """Rename what the next run must not take for its own: journal, outbox, rescued points."""
    until = time.strftime("-until-%Y%m%d-%H%M%S")
    journal = folder.journal
    if journal.exists():
        journal.rename(journal.with_name(f"{journal.stem}{until}{journal.suffix}"))
    if folder.rescue.exists():
        folder.rescue.rename(folder.rescue.with_name(f"{folder.rescue.name}{until}"))
    Outbox(folder.outbox).put_aside(until)


def leave_reports_to_original(folder: RunFolder) -> None:
    """Rename what jobs of its original had left in a run folder when that was copied.

    They have told the original, too, and the copy has what they had saved by then.
    """
    Outbox(folder.outbox).put_aside(time.strftime("-of-the-original-%Y%m%d-%H%M%S"))
