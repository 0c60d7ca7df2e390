"""Whether a job still has its learner: the journal knows, also when nobody answers."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import BinaryIO

from adaptive_scheduler import journal as j
from adaptive_scheduler.client_support.job_log import note
from adaptive_scheduler.errors import AdaptiveSchedulerError, RunFolderError
from adaptive_scheduler.outbox import Outbox
from adaptive_scheduler.protocol import Attempt, JobIdentity

#: Bytes that are read at once from the end of the journal.
_BLOCK = 1 << 16


class SupersededError(AdaptiveSchedulerError):
    """Another job has the learner by now."""


class JournalFollower:
    """Reads what is added to a journal from now on, and nothing twice.

    Parameters
    ----------
    path
        The journal. Where another file takes its place, all of that is new.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file_number, self._position = 0, 0
        # What can't be read now is read from its beginning when it can.
        with contextlib.suppress(OSError), path.open("rb") as file:
            position = _end_of_whole_lines(file)
            self._file_number, self._position = os.fstat(file.fileno()).st_ino, position

    def new_records(self) -> list[j.AnyRecord]:
        """Return the records that were added; none if there is no journal.

        Raises
        ------
        OSError, RunFolderError
            If it can't be read.
        """
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return []
        with file:
            number = os.fstat(file.fileno()).st_ino
            if number != self._file_number:
                self._file_number, self._position = number, 0
            file.seek(self._position)
            data = file.read()
        whole = data.rfind(b"\n") + 1
        records = [j.read_record(line) for line in data[:whole].splitlines()]
        self._position += whole
        return records


class Fence:
    """Keeps a job from saving over the data of another one that has its learner by now.

    That a learner was given to a job is on disk before the job hears of it. So
    a job that looks here right before it saves sees who came after it, be it
    that it was stopped for a day, or cut off from the network.

    Parameters
    ----------
    journal, outbox
        Where jobs are given learners, and where they take them unasked.
    job
        Who this job is.
    """

    def __init__(self, journal: Path, outbox: Outbox, job: JobIdentity) -> None:
        self._follower = JournalFollower(journal)
        self._outbox = outbox
        self._job = job
        #: The last attempt at each learner that was given to another job meanwhile.
        self._others: dict[int, int] = {}

    def check(self, attempt: Attempt) -> None:
        """Look whether this job still has its learner, in `attempt`. Blocks.

        Raises
        ------
        SupersededError
            If another job has it.
        """
        is_claimed = False
        try:
            for record in self._follower.new_records():
                self._note(record)
            is_claimed = self._outbox.is_claimed(Attempt(attempt.learner, attempt.number + 1))
        except (OSError, RunFolderError) as error:  # to lose our points would be worse
            note("the run folder can't be read", level=logging.WARNING, error=str(error))
        if is_claimed or self._others.get(attempt.learner, 0) >= attempt.number:
            raise SupersededError(f"Another job has learner {attempt.learner}.")

    def _note(self, record: j.AnyRecord) -> None:
        if not isinstance(record, j.Assigned | j.LearnerWas) or record.job in (None, self._job):
            return
        number = record.number if isinstance(record, j.Assigned) else record.attempt
        self._others[record.learner] = number


def _end_of_whole_lines(file: BinaryIO) -> int:
    """Return where the last line that is whole ends; another may be being written."""
    position = file.seek(0, os.SEEK_END)
    while position > 0:
        start = max(0, position - _BLOCK)
        file.seek(start)
        found = file.read(position - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        position = start
    return 0
