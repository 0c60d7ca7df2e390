"""The folder in which `Local` keeps its jobs, and the files in it."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

from adaptive_scheduler._common.trusted import who_can_replace
from adaptive_scheduler.errors import InvalidInputError, SchedulerUnavailableError

#: What one program writes for another: an object of JSON.
Message: TypeAlias = dict[str, Any]

#: The format of the files. A version of this package that changes it takes
#: another number, and so another folder.
FORMAT = 3
#: The language of daemon and clients. A daemon that speaks another one than
#: a client makes room for a daemon of the client's version.
PROTOCOL = 3
#: Names another place for the spool.
SPOOL_VARIABLE = "ADAPTIVE_SCHEDULER_LOCAL_DIR"

#: A job's file has two blocks of this size: what the daemon writes before the job starts, and
#: what its supervisor overwrites later. All of it is written before the job starts: a full
#: disk can't lose the end of a job.
_BLOCK = 4096


class Spool:
    """The files of one user's jobs on one machine.

    Parameters
    ----------
    folder
        A folder that only this user can enter.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        #: Names the process that is the daemon. It holds a lock on the folder.
        self.daemon = folder / "daemon"
        #: Locked by whoever starts a daemon.
        self.starting = folder / "starting"
        self.database = folder / "jobs.sqlite"
        #: What the daemon has to say to those who look after it.
        self.log = folder / "daemon.log"

    @contextmanager
    def socket_address(self) -> Iterator[str]:
        """Name the daemon's socket, shorter than the 108 bytes that such a name may have."""
        folder = os.open(self.folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield f"/proc/self/fd/{folder}/socket"
        finally:
            os.close(folder)

    def script(self, batch: int) -> Path:
        """Return where the script of a batch lies while its jobs run."""
        return self.folder / f"{batch}.sh"

    def write_script(self, batch: int, text: str) -> None:
        """Write the script of a batch, if it is not there.

        Raises
        ------
        OSError
            If it can't be written; nothing of it is left then.
        """
        path = self.script(batch)
        if path.exists():
            return
        try:
            path.write_text(text, errors="surrogateescape")
        except OSError:
            path.unlink(missing_ok=True)
            raise

    def mark(self, job_id: str) -> str:
        """Return a word by which the processes of a job are known; no other job has it."""
        folder = self.folder.stat()
        return f"{folder.st_dev}:{folder.st_ino}:{job_id}"

    def job_file(self, job_id: str) -> Path:
        """Return where daemon and supervisor of a running job write what they know of it."""
        return self.folder / f"{job_id}.job"

    def job_files(self) -> list[str]:
        """Return the ids of the jobs that have a file."""
        return sorted(path.stem for path in self.folder.glob("*.job"))

    def create_job_file(self, job_id: str) -> int:
        """Make a job's file, with all the space that it will ever need; return a descriptor."""
        path = self.job_file(job_id)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(descriptor, b" " * 2 * _BLOCK, 0)
        except OSError:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        return descriptor

    def read_record(self, job_id: str) -> Message:
        """Return what the daemon wrote before the job started, {} if there is nothing."""
        return self._read_block(job_id, 0)

    def read_status(self, job_id: str) -> Message:
        """Return the supervisor's last word, {} if there is none yet."""
        return self._read_block(job_id, 1)

    def _read_block(self, job_id: str, number: int) -> Message:
        with suppress(OSError, ValueError):
            content = self.job_file(job_id).read_bytes()
            return dict(json.loads(content[number * _BLOCK : (number + 1) * _BLOCK]))
        return {}


def write_record(job_file: int, record: Message) -> None:
    """Write what `Spool.read_record` returns."""
    os.pwrite(job_file, json.dumps(record).encode().ljust(_BLOCK), 0)


def write_status(job_file: int, status: Message) -> None:
    """Write what `Spool.read_status` returns."""
    os.pwrite(job_file, json.dumps(status).encode().ljust(_BLOCK), _BLOCK)


def open_spool(environment: Mapping[str, str] = os.environ) -> Spool:
    """Return this user's spool on this machine; make it if need be.

    Parameters
    ----------
    environment
        The variables of which one may name another place.

    Raises
    ------
    InvalidInputError
        If a relative place is named.
    SchedulerUnavailableError
        If it can't be made, belongs to somebody else, or could be replaced by them.
    """
    failures = []
    for root in _roots(environment):
        try:
            return Spool(_private_folder(_private_folder(root) / str(FORMAT)))
        except OSError as error:
            failures.append(f"{root} ({error.strerror})")
    raise SchedulerUnavailableError(
        "Local has no place to keep its jobs in; tried " + ", ".join(failures) + ". "
        f"Name a folder of yours on a local disk in the variable {SPOOL_VARIABLE}."
    )


def older_jobs(spool: Spool) -> dict[Path, int]:
    """Return where jobs of formats before this one have not ended, and how many there are."""
    found = {}
    for number in (1, 2):  # they kept a journal
        folder = spool.folder.with_name(str(number))
        left: set[str] = set()
        with suppress(OSError, ValueError):  # it is not there, or ends within a line
            for line in folder.joinpath("journal.jsonl").read_text().splitlines():
                record = json.loads(line)
                if record["event"] == "submitted":
                    left |= {f"{record['batch']}_{number}" for number in record["numbers"]}
                elif record["event"] == "ended":
                    left -= set(record["jobs"])
        if left:
            found[folder] = len(left)
    return found


def _roots(environment: Mapping[str, str]) -> list[Path]:
    """Return where the spool may be, in order of preference.

    Each of them is this machine's alone, as the processes are; and none is
    emptied when the user logs out, since jobs go on then.
    """
    if named := environment.get(SPOOL_VARIABLE):
        if not Path(named).is_absolute():
            raise InvalidInputError(
                f"{SPOOL_VARIABLE} must name a folder by its absolute path, not {named!r}: the "
                "daemon and its jobs run in other folders."
            )
        return [Path(named) / "local"]
    name = f"adaptive-scheduler-{os.getuid()}"
    return [Path("/var/tmp", name), Path("/tmp", name)]  # noqa: S108  the owner is checked


def _private_folder(folder: Path) -> Path:
    """Make `folder` and its missing parents, and check that it is this user's alone."""
    missing = [path for path in [folder, *folder.parents] if not path.exists()]
    for path in reversed(missing):  # each with its mode: `parents=True` leaves theirs to the umask
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(0, "not a folder")
    if found.st_uid != os.getuid():
        raise PermissionError(0, "it belongs to somebody else")
    if who := who_can_replace(folder):  # and have their scripts run by the daemon
        raise PermissionError(0, f"{who} can put another folder in its place")
    if stat.S_IMODE(found.st_mode) & 0o077:
        folder.chmod(0o700)
    return folder
