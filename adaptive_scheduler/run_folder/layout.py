"""What a run keeps on disk, and where."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adaptive_scheduler._common.atomic import atomic_write
from adaptive_scheduler._common.trusted import belongs_to_us, check_private
from adaptive_scheduler.errors import RunFolderError

if TYPE_CHECKING:
    from typing import Self

#: What a run folder may hold before the first run.
_PARTS = frozenset({"logs", "old_logs", "scripts", "journal.jsonl"})


@dataclass(frozen=True)
class RunFolder:
    """The files of one run.

    Parameters
    ----------
    root
        The run folder itself.
    logs
        Where the jobs' logs go.
    scripts
        Where job scripts go.
    old_logs
        Where logs of jobs that have ended go; None deletes them at cleanup.
    journal
        The file that is the truth about the run.
    """

    root: Path
    logs: Path
    scripts: Path
    old_logs: Path | None
    journal: Path

    @classmethod
    def at(
        cls,
        root: str | Path,
        *,
        logs: str | Path | None = None,
        scripts: str | Path | None = None,
        old_logs: str | Path | None = "old_logs",
        journal: str | Path | None = None,
    ) -> Self:
        """Lay a run folder out. Relative `old_logs` lie inside it; the user's own paths don't."""
        root = Path(root).expanduser().absolute()
        return cls(
            root=root,
            logs=_absolute(logs) if logs else root / "logs",
            scripts=_absolute(scripts) if scripts else root / "scripts",
            old_logs=None if old_logs is None else root / Path(old_logs).expanduser(),
            journal=_absolute(journal) if journal else root / "journal.jsonl",
        )

    @classmethod
    def beside(
        cls, journal: Path, *, logs: str | Path | None = None, scripts: str | Path | None = None
    ) -> Self:
        """Lay a run folder out next to a journal that has a place of its own."""
        root = journal.with_name(f"{journal.stem}-run")
        return cls.at(root, logs=logs, scripts=scripts, journal=journal)

    @property
    def connection(self) -> Path:
        """Addresses and keys of the manager."""
        return self.root / "connection.json"

    @property
    def pack(self) -> Path:
        """All learners."""
        return self.root / "learners.pack"

    @property
    def spec(self) -> Path:
        """What the run is: see `RunSpec`."""
        return self.root / "spec.json"

    @property
    def functions(self) -> Path:
        """What belongs to it and JSON can't hold: see `Functions`."""
        return self.root / "functions.pickle"

    @property
    def history(self) -> Path:
        """How the run has gone so far."""
        return self.root / "history.json"

    @property
    def outbox(self) -> Path:
        """What jobs have to report while nobody listens."""
        return self.root / "outbox"

    @property
    def rescue(self) -> Path:
        """Points of jobs whose place was gone, see `adaptive_scheduler.learners.rescue`."""
        return self.root / "rescue"

    @property
    def lock(self) -> Path:
        """Who manages the run."""
        return self.root / "lock"

    def log_of(self, job_name: str, job_id: str) -> Path:
        """Return where a job logs what it does, one JSON object a line."""
        return self.logs / f"{job_name}-{job_id}.log"

    def log_now(self, recorded: str, job_name: str, job_id: str) -> Path | None:
        """Return where a log lies that a job said it would write; it moves with its folder."""
        if not recorded:
            return None
        usual = self.log_of(job_name, job_id)
        return usual if usual.name == Path(recorded).name else Path(recorded)

    def output_of(self, job_name: str, job_id: str) -> Path:
        """Return where the scheduler writes what a job prints."""
        return self.logs / f"{job_name}-{job_id}.out"

    def create(self) -> None:
        """Make the folders; the run folder is for its owner only.

        Raises
        ------
        RunFolderError
            If that can't be done, or the folder belongs to another user, or
            holds files that are no run's.
        """
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._check_that_it_is_ours()
            self._close_to_others()
            for folder in (self.logs, self.scripts, self.outbox):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                _check_writable(folder)
            self.journal.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(
                f"'{error.filename}' can't be used for the run in '{self.root}': "
                f"{error.strerror}. Name another folder: `folder=...` for all of the run, or "
                "`log_folder`, `batch_folder` or `db_fname` where you gave one."
            ) from error

    def _close_to_others(self) -> None:
        try:
            self.root.chmod(0o700)
        except PermissionError:
            if self.root.stat().st_uid == os.geteuid():
                raise
            # Trusted by name: a file system without owners has no modes to set, either.

    def is_ours(self) -> bool:
        """Whether the run folder belongs to the user; raises `OSError` if there is none."""
        return belongs_to_us(self.root)

    def _check_that_it_is_ours(self) -> None:
        if not self.is_ours():
            raise RunFolderError(
                f"The folder '{self.root}' belongs to another user. Name another one with "
                "`folder=...`."
            )
        is_run = self.outbox.exists()
        if not is_run and any(path.name not in _PARTS for path in self.root.iterdir()):
            raise RunFolderError(
                f"The folder '{self.root}' holds other files, and would be closed to everybody "
                "but you. Name a folder of the run's own with `folder=...`."
            )


def unwritable_error(folder: RunFolder, error: OSError) -> RunFolderError:
    """Say that a run can't be started, since its files can't be written, and what to do."""
    return RunFolderError(
        f"The run in '{folder.root}' can't be started, since its files can't be written: {error}. "
        "Its record is as it was: make room, or see what ails the file system, and start again."
    )


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all.

    Raises
    ------
    UntrustedFileError
        The file system gives it to others, too. Nothing was written.
    """
    with atomic_write(path, "wb", permissions=0o600, make_folders=False, return_path=True) as new:
        check_private(new, new.stat())
        new.write_bytes(data)


def _absolute(path: str | Path) -> Path:
    return Path(path).expanduser().absolute()


def _check_writable(folder: Path) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(13, os.strerror(13), str(folder))
