"""What has happened to the jobs of `Local`, on disk and in memory."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from adaptive_scheduler.scheduler.local.state import LocalState, Record

#: Records after which the journal is rewritten, without those that don't count any more.
_MAX_OLD_RECORDS = 5_000


class Journal:
    """A file to which one process appends records, each of them whole or not at all."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._descriptor).st_size
        #: How many records are in the file.
        self.n_records = 0

    def replay(self) -> Iterator[Record]:
        """Yield what is in the file, up to where it can be read.

        A record that was cut off is dropped. When a crash of the machine has
        left worse than that, the damaged file is kept beside the good one.
        """
        end = 0
        with self._path.open("rb") as file:
            for line in file:
                try:
                    record = json.loads(line) if line.endswith(b"\n") else None
                except ValueError:
                    record = None
                    shutil.copyfile(self._path, self._path.with_suffix(".damaged"))
                if record is None:
                    break
                end += len(line)
                self.n_records += 1
                yield record
        self._cut(end)

    def append(self, record: Record, *, durable: bool = False) -> None:
        """Add `record`; with `durable`, return when the disk has it.

        Raises
        ------
        OSError
            If it can't be written. The file is then as before.
        """
        line = json.dumps(record).encode() + b"\n"
        to_write = memoryview(line)
        try:
            while to_write:
                to_write = to_write[os.write(self._descriptor, to_write) :]
            if durable:
                os.fsync(self._descriptor)
        except OSError:
            self._cut(self._size)
            raise
        self._size += len(line)
        self.n_records += 1

    def rewrite(self, records: Iterable[Record]) -> None:
        """Replace all records by `records`, at once.

        Raises
        ------
        OSError
            If they can't be written. The file is then as before.
        """
        lines = [json.dumps(record).encode() + b"\n" for record in records]
        new = self._path.with_suffix(".new")
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(new, flags, 0o600)
        try:
            with os.fdopen(os.dup(descriptor), "wb") as file:
                file.writelines(lines)
            os.fsync(descriptor)
            new.replace(self._path)
        except OSError:
            os.close(descriptor)
            raise
        os.close(self._descriptor)
        self._descriptor = descriptor
        self._size = sum(map(len, lines))
        self.n_records = len(lines)

    def _cut(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)
        self._size = size


class Ledger:
    """The state of all jobs, and the journal from which it can be had again.

    Parameters
    ----------
    path
        Where the journal is; it is read, and made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.state = LocalState()
        self._journal = Journal(path)
        for record in self._journal.replay():
            self.state.apply(record)
        self._tidy_at = _MAX_OLD_RECORDS
        self._tidy()

    def record(self, record: Record, *, durable: bool = False) -> None:
        """Write `record` down, then let it change the state.

        Raises
        ------
        OSError
            If it can't be written. The state is then as before.
        """
        self._journal.append(record, durable=durable)
        self.state.apply(record)
        self._tidy()

    def _tidy(self) -> None:
        """Rewrite the journal when much of it is of no more use."""
        if self._journal.n_records < self._tidy_at:
            return
        try:
            self._journal.rewrite(self.state.snapshot())
        except OSError as error:
            sys.stderr.write(f"The journal could not be rewritten: {error}\n")
        self._tidy_at = self._journal.n_records + _MAX_OLD_RECORDS
