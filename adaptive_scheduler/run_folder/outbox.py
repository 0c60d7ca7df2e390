"""What jobs leave in the run folder while the manager does not answer.

Each file of the outbox holds one message, as it would have gone over the wire.
A claim is a `Hello` that holds an attempt: its file name carries the attempt,
so that of several jobs that want the same learner only one can create it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Container, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from adaptive_scheduler._common.atomic import atomic_write
from adaptive_scheduler._common.revalidate import revalidate
from adaptive_scheduler.protocol.messages import Attempt, Hello, Message

_decoder = msgspec.json.Decoder(Message)


class Outbox:
    """The outbox of a run.

    Parameters
    ----------
    folder
        Where its files lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def claim(self, attempt: Attempt, hello: Hello) -> bool:
        """Claim `attempt`, which `hello` holds; False if another job has it."""
        try:
            file = self._claim_path(attempt).open("xb")
        except FileExistsError:
            return False
        try:
            with file:
                _write(file, hello)
        except OSError:
            self.unclaim(attempt)  # else nobody could have it
            raise
        return True

    def unclaim(self, attempt: Attempt) -> None:
        """Take a claim back."""
        self._claim_path(attempt).unlink(missing_ok=True)

    def is_claimed(self, attempt: Attempt) -> bool:
        """Whether a job works on this attempt by itself."""
        revalidate(self.folder)
        return self._claim_path(attempt).exists()

    def put(self, message: Message) -> None:
        """Leave a report."""
        name = f"report-{time.time_ns()}-{os.getpid()}"
        with atomic_write(self.folder / f"{name}.json", "wb", make_folders=False) as file:
            _write(file, message)

    def messages(self, *, but: Container[Path] = ()) -> Iterator[tuple[Path, Message | None]]:
        """Yield all messages in the order in which they were left; None where it can't be read.

        Such a file may be being written just now.

        Parameters
        ----------
        but
            Files that are known already.
        """
        found = []
        whole = (each for each in self.folder.glob("*.json") if not each.name.startswith("."))
        for path in (each for each in whole if each not in but):
            with contextlib.suppress(FileNotFoundError):  # a claim that was taken back
                found.append((path.stat().st_mtime_ns, path))
        for _, path in sorted(found):
            try:
                yield path, _decoder.decode(path.read_bytes())
            except FileNotFoundError:
                continue
            except (msgspec.DecodeError, UnicodeDecodeError, OSError):
                yield path, None

    def put_aside(self, suffix: str) -> None:
        """Begin anew: keep what has been left under another name."""
        if any(self.folder.glob("*.json")):
            self.folder.rename(self.folder.with_name(f"{self.folder.name}{suffix}"))
            self.folder.mkdir(mode=0o700)

    def _claim_path(self, attempt: Attempt) -> Path:
        return self.folder / f"claim-{attempt.learner}.{attempt.number}.json"


def _write(file: BinaryIO, message: Message) -> None:
    file.write(msgspec.json.encode(message))
    file.flush()
    os.fsync(file.fileno())
