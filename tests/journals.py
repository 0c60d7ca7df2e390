"""Journals of runs, as a manager would have begun them."""

from __future__ import annotations

from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.journal import Journal, read_journal
from adaptive_scheduler.version import __version__

RUN_ID = "0123456789abcdef"
BEGAN = events.RunBegan(
    time=1.0,
    format=events.FORMAT,
    run_id=RUN_ID,
    version=__version__,
    n_learners=9,
    fnames_digest="digest",
)
STARTED = events.ManagerStarted(time=2.0, host="login1", pid=1, version=__version__)


def open_journal(path, **options):
    """Return a journal that is continued, or has its first record."""
    journal = Journal(path, **options)
    if path.stat().st_size == 0:
        journal.append(BEGAN)
        journal.flush()
    return journal


def write(path, *records):
    """Append records to a journal, which is made if there is none."""
    journal = open_journal(path)
    for record in records:
        journal.append(record)
    journal.flush()
    journal.close()


def read(path):
    """Return the records of a journal but the first."""
    records = list(read_journal(path))
    assert records[:1] in ([], [BEGAN])
    return records[1:]
