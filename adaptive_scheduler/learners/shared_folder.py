"""A temporary folder for the processes of one user on one host."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import time
from contextlib import suppress
from multiprocessing.util import Finalize
from pathlib import Path

from adaptive_scheduler._common.trusted import may_be_anothers, read_trusted
from adaptive_scheduler.errors import DataFileError, UntrustedFileError

__all__ = ["SharedFolder"]

#: Begins the names of files that are being written.
_UNFINISHED = "."


class SharedFolder:
    """A temporary folder that holds values by key, the same for all processes with its token.

    What can't be written, is gone, or may be another user's, is as if it had never been
    there: the folder is for what can be had again.

    Parameters
    ----------
    token
        Names the folder. Random, so that nobody else's has the same.
    """

    def __init__(self, token: str) -> None:
        self.token = token
        name = f"adaptive-scheduler-cache-{os.getuid()}-{token}"
        self.path = Path(tempfile.gettempdir()) / name

    def make(self, owner: object | None) -> None:
        """Make the folder. Who makes it removes it, with `owner` or when the process ends.

        Raises
        ------
        DataFileError
            Somebody else made it, or can write into it: what lies in it is not to be unpickled.
        """
        try:
            self.path.mkdir(mode=0o700)
        except FileExistsError:
            if may_be_anothers(self.path):
                raise DataFileError(
                    f"Somebody else may have written into {self.path}: remove it, or set TMPDIR."
                ) from None
        except OSError:
            return  # There is no place for it: then nothing is remembered.
        else:
            kwargs = {"ignore_errors": True}
            Finalize(owner, shutil.rmtree, (self.path,), kwargs, exitpriority=0)

    def read(self, key: str) -> bytes | None:
        """Return the value, now the latest used, or None."""
        path = self.path / key
        try:
            data = read_trusted(path)
            _set_time_of_use(path)
        except (OSError, UntrustedFileError):
            return None
        return data

    def read_all(self) -> dict[str, bytes]:
        """Return all values by key, the latest used last."""
        found = {}
        for path in self._by_time_of_use():
            with suppress(OSError, UntrustedFileError):
                found[path.name] = read_trusted(path)
        return found

    def write(self, key: str, data: bytes, max_size: int) -> None:
        """Add a value, and remove those that are not among the `max_size` latest used."""
        unfinished = self.path / f"{_UNFINISHED}{secrets.token_hex(8)}"
        try:
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            _set_time_of_use(unfinished)
            unfinished.replace(self.path / key)
        except OSError:
            with suppress(OSError):
                unfinished.unlink()
        for path in self._by_time_of_use()[:-max_size]:
            with suppress(OSError):
                path.unlink()

    def _by_time_of_use(self) -> list[Path]:
        times: dict[str, int] = {}
        try:
            with os.scandir(self.path) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):  # Another process may just have removed it.
                        times[entry.name] = entry.stat().st_mtime_ns
        except OSError:
            return []
        names = [name for name in times if not name.startswith(_UNFINISHED)]
        return [self.path / name for name in sorted(names, key=times.__getitem__)]


def _set_time_of_use(path: Path) -> None:
    """Set it to the nanosecond; the file system's own clock is thousands of times coarser."""
    now = time.time_ns()
    os.utime(path, ns=(now, now))
