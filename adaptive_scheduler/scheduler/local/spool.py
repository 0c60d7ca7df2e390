"""The folder in which `Local` keeps its jobs."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from adaptive_scheduler.errors import SchedulerUnavailableError
from adaptive_scheduler.scheduler.local.supervisor import STATUS_SIZE

#: What is in a spool, and what its daemon understands. A version of this
#: package that changes either takes another number, and so another folder.
FORMAT = "2"
#: Names another place for the spool.
SPOOL_VARIABLE = "ADAPTIVE_SCHEDULER_LOCAL_DIR"


class Spool:
    """The files of one user's jobs on one machine.

    Parameters
    ----------
    folder
        A folder that only this user can enter.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        #: Says which process is the daemon. It holds a lock on the folder.
        self.daemon = folder / "daemon"
        #: Held by whoever starts a daemon.
        self.starting = folder / "starting"
        self.journal = folder / "journal.jsonl"
        #: What the daemon has to say to those who look after it.
        self.log = folder / "daemon.log"

    def script(self, batch: int) -> Path:
        """Return where the script of a batch lies while its jobs run."""
        return self.folder / f"{batch}.sh"

    def status(self, job_id: str) -> Path:
        """Return where the keeper of a job says how it is doing."""
        return self.folder / f"{job_id}.status"

    def create_status(self, job_id: str) -> int:
        """Make a job's status file, with all the space that it will ever need; open it."""
        descriptor = os.open(self.status(job_id), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(descriptor, b" " * STATUS_SIZE, 0)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def read_status(self, job_id: str) -> dict[str, Any]:
        """Return what the keeper has written, {} if nothing yet."""
        with suppress(OSError, ValueError):
            return dict(json.loads(self.status(job_id).read_bytes()))
        return {}

    @contextmanager
    def socket_address(self) -> Iterator[str]:
        """Name the daemon's socket, shorter than the 108 bytes that such a name may have."""
        folder = os.open(self.folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield f"/proc/self/fd/{folder}/socket"
        finally:
            os.close(folder)


def open_spool() -> Spool:
    """Return this user's spool on this machine; make it if need be.

    Raises
    ------
    SchedulerUnavailableError
        If it can't be made, or belongs to somebody else.
    """
    failures = []
    for root in _roots():
        try:
            return Spool(_private_folder(_private_folder(root) / FORMAT))
        except OSError as error:
            failures.append(f"{root} ({error.strerror})")
    raise SchedulerUnavailableError(
        "Local has no place to keep its jobs in; tried " + ", ".join(failures) + ". "
        f"Name a folder of yours on a local disk in the variable {SPOOL_VARIABLE}."
    )


def _roots() -> list[Path]:
    """Return where the spool may be, in order of preference.

    Each of them is this machine's alone, as the processes are; and none is
    emptied when the user logs out, since jobs go on then.
    """
    if named := os.environ.get(SPOOL_VARIABLE):
        return [Path(named).absolute() / "local"]
    name = f"adaptive-scheduler-{os.getuid()}"
    return [Path("/var/tmp", name), Path("/tmp", name)]  # noqa: S108  the owner is checked


def _private_folder(folder: Path) -> Path:
    """Make `folder` if it is not there, and see to it that it is this user's alone."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(0, "not a folder")
    if found.st_uid != os.getuid():
        raise PermissionError(0, "it belongs to somebody else")
    if stat.S_IMODE(found.st_mode) & 0o077:
        folder.chmod(0o700)
    return folder
