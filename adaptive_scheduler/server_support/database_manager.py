"""Who has which learner: answers the jobs, and writes everything down."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.learners.pack import replace_learner, write_pack
from adaptive_scheduler.learners.paths import AnyFname, Project, ResolvedFname, given_name
from adaptive_scheduler.protocol import curve, messages
from adaptive_scheduler.protocol.server import (
    Server,
    parse_url,
    published_addresses,
    raise_descriptor_limit,
)
from adaptive_scheduler.run_folder import events
from adaptive_scheduler.run_folder.dependencies import check_dependencies
from adaptive_scheduler.run_folder.layout import RunFolder, unwritable_error, write_private
from adaptive_scheduler.run_folder.lock import (
    Holder,
    RunFolderLock,
    living_holder,
    locked_error,
    read_holder,
)
from adaptive_scheduler.run_folder.models import DONE, FAILED
from adaptive_scheduler.run_folder.outbox import Outbox
from adaptive_scheduler.run_folder.outbox_reader import OutboxReader, delete
from adaptive_scheduler.run_folder.project import Standing
from adaptive_scheduler.run_folder.state import RunState
from adaptive_scheduler.server_support.base_manager import BaseManager
from adaptive_scheduler.server_support.event_loop import event_loop
from adaptive_scheduler.server_support.identity import standing_at_start
from adaptive_scheduler.server_support.listeners import Listeners
from adaptive_scheduler.server_support.message_handler import MessageHandler
from adaptive_scheduler.server_support.reconcile import Reconciler
from adaptive_scheduler.server_support.record import Record
from adaptive_scheduler.server_support.restore import (
    check_journal,
    keep_aside,
    leave_reports_to_original,
)
from adaptive_scheduler.server_support.tables import database_rows
from adaptive_scheduler.server_support.takeover import take_lock
from adaptive_scheduler.server_support.validation import (
    check_folders,
    check_initializers,
    check_learners,
)

if TYPE_CHECKING:
    from typing import Self

    import pandas as pd
    from adaptive import BaseLearner

    from adaptive_scheduler.scheduler.base import BaseScheduler


class DatabaseManager(BaseManager):
    """Keeps the record of a run, and gives learners to the jobs that ask.

    Parameters
    ----------
    url
        Where to listen: ``"tcp://host:port"``, see `get_allowed_url`; None
        finds a free port on all interfaces that the jobs may need.
    scheduler
        Where the jobs run.
    db_fname
        The journal. The rest of the record lies in a folder beside it.
    learners
        The learners.
    fnames
        Where the data of each is saved; a list of them for a `BalancingLearner`.
    dependencies
        For some learners (by index) those that must be done before.
    overwrite_db
        Begin anew where a record of a run with these fnames exists. The old
        journal is kept beside the new one; data files are never touched.
    initializers
        A function for each learner that its job calls in every worker, before
        the first point.
    with_progress_bar
        Show that learners are being packed, if there are many.
    run_folder
        What the run keeps on disk, and where.
    max_log_lines
        How many lines of the output of a failed job are kept.
    has_pack
        Whether the learners lie in the run folder already.
    project
        The folder from which relative names start, by default the working directory
        as it is now.

    Attributes
    ----------
    resolved
        The fnames, and the files that they name.

    Raises
    ------
    InvalidInputError
        If arguments don't fit each other.
    """

    def __init__(
        self,
        url: str | None,
        scheduler: BaseScheduler,
        db_fname: str | Path | None,
        learners: Sequence[BaseLearner],
        fnames: Sequence[AnyFname],
        *,
        dependencies: Mapping[int, Sequence[int]] | None = None,
        overwrite_db: bool = False,
        initializers: Sequence[Callable[[], None]] | None = None,
        with_progress_bar: bool = True,
        run_folder: RunFolder | None = None,
        max_log_lines: int = 500,
        has_pack: bool = False,
        project: Project | None = None,
    ) -> None:
        self.project = project or Project.here()
        check_learners(learners, fnames, self.project)
        check_dependencies(dependencies, len(learners))
        check_initializers(initializers, len(learners))
        scheduler.check_n_learners(len(learners))
        self.listening = parse_url(url, is_local=scheduler.is_local)
        super().__init__()
        self.run_folder = run_folder or RunFolder.beside(
            self.project.path(db_fname or "running.json"),
            logs=scheduler.log_folder or None,
            scripts=scheduler.batch_folder or None,
        )
        self.fnames = [given_name(fname) for fname in fnames]
        self.groups = [scheduler.group(i) for i in range(len(learners))]
        self.dependencies = {i: list(d) for i, d in (dependencies or {}).items()}
        self.resolved = self.project.resolve_all(fnames)
        _check_that_files_can_lie_there(self.run_folder, self.resolved)
        self.url = url
        self.scheduler = scheduler
        self.learners = list(learners)
        self.overwrite_db = overwrite_db
        self.initializers = initializers
        self.with_progress_bar = with_progress_bar
        self.max_log_lines = max_log_lines
        self._has_pack = has_pack
        self._retry_at_start: Collection[int] | None = None
        self._may_take_over = False
        self._is_moved = False
        #: How the run folder stood to the recorded place of its run at the start.
        self.standing = Standing.HERE
        self._lock = RunFolderLock(self.run_folder)
        self._stopping = asyncio.Event()
        self._server: Server | None = None
        #: What the journal says of learners and jobs.
        self.state = RunState(self.groups, dependencies=self.dependencies)
        self.record = Record(self.run_folder.journal, self.state)
        #: Who is told what happens.
        self.listeners = Listeners()
        self.record.observe(self._commit_soon)
        self.record.observe(self.listeners.change)
        self.handler = MessageHandler(
            self.record.watched,
            self.record.append,
            self.listeners.cancel,
            self.listeners.answer_command,
        )
        self.outbox = Outbox(self.run_folder.outbox)
        self.outbox_reader = OutboxReader(self.outbox, self.handler.answer, self.flushed)
        self.reconciler = Reconciler(
            self.record,
            scheduler,
            self.run_folder,
            self.handler,
            read_outbox=self.outbox_reader.read,
            flushed=self.flushed,
            max_log_lines=max_log_lines,
        )

    # Who manages.

    def other_holder(self) -> Holder | None:
        """Return who manages the run in another process, or elsewhere in this one."""
        return None if self._lock.is_ours() else living_holder(self.run_folder)

    def check_lock(self) -> None:
        """Check that nobody has taken the run over. Blocks.

        Raises
        ------
        RunFolderLockedError
            If another manager believed that this one is dead.
        """
        if not self._lock.is_ours():
            raise locked_error(self.run_folder, read_holder(self.run_folder))

    # For users.

    def update(self, queue: Mapping[str, Any] | None = None) -> None:
        """Ask for the queue now, or take a `queue` that was just asked for into account.

        Raises
        ------
        SchedulerUnavailableError
            If the scheduler doesn't answer.
        """
        asked_at = time.time()
        seen = self.scheduler.queue() if queue is None else queue
        event_loop.run(self.reconciler.reconcile(dict(seen), asked_at))

    def n_done(self) -> int:
        """Return how many learners have reached their goals."""
        self.record.refresh()
        return event_loop.call(lambda: self.state.learners.counts[DONE])

    def n_unscheduled(self) -> int:
        """Return how many learners no job has or is done with."""
        self.record.refresh()
        return event_loop.call(lambda: self.state.learners.n_unscheduled)

    def is_done(self) -> bool:
        """Return whether all learners have reached their goals."""
        return self.n_done() == len(self.fnames)

    def as_dicts(self) -> list[dict[str, Any]]:
        """Return the record as a list with a dictionary for each learner."""
        self.record.refresh()
        entries = event_loop.call(lambda: list(self.state.learners))
        return database_rows(entries, self.run_folder, self.fnames, self.dependencies)

    def as_df(self) -> pd.DataFrame:
        """Return the record as a table with a row for each learner."""
        import pandas as pd

        return pd.DataFrame(self.as_dicts())

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The rows of `as_dicts` of learners that have been given up."""
        return [row for row in self.as_dicts() if row["state"] == FAILED]

    def replace_learner(self, index: int, new_learner: BaseLearner) -> None:
        """Give the next job that takes learner `index` another one instead."""
        replace_learner(self.run_folder.pack, index, new_learner, project=self.project)
        self.learners[index] = new_learner

    # The life of a manager.

    def start(
        self,
        *,
        retry: Collection[int] | None = None,
        take_over: bool = False,
        is_moved: bool = False,
    ) -> Self:
        """Begin to answer jobs.

        Parameters
        ----------
        retry
            Learners that get new tries, by index; None for all that have failed.
        take_over
            Whether a manager on a host that can't be asked counts as dead.
        is_moved
            Whether the run was moved, if its recorded place can't be looked at.

        Raises
        ------
        AdaptiveSchedulerError
            If it was started before.
        RunFolderError
            If the run folder can't be used, or another manager holds it.
        """
        self._retry_at_start, self._may_take_over, self._is_moved = retry, take_over, is_moved
        return super().start()

    def _setup(self) -> None:
        raise_descriptor_limit()
        self.standing = standing_at_start(
            self.run_folder, self.project, self.resolved, is_moved=self._is_moved
        )
        is_copy = self.standing is Standing.COPIED
        self.run_folder.create()
        was_following = self.record.is_following
        try:
            take_lock(self._lock, self.run_folder, take_over=self._may_take_over, is_copy=is_copy)
            self._restore(is_copy=is_copy)
            self._pack()
            event_loop.run(self._serve())
        except BaseException as error:  # Ctrl-C as well: neither lock nor port is kept
            self._close()
            if was_following:
                self.record.follow()
            if isinstance(error, OSError) and not isinstance(error, AdaptiveSchedulerError):
                raise unwritable_error(self.run_folder, error) from error
            raise

    def _restore(self, *, is_copy: bool) -> None:
        """Read the record and go on with it; begin anew if that is asked for."""
        if self.overwrite_db:
            keep_aside(self.run_folder)
        if is_copy:
            leave_reports_to_original(self.run_folder)
        self.record.open(
            self._digest,
            retry=self._retry_at_start,
            may_write=self._lock.is_ours,
            is_copy=is_copy,
        )

    def _pack(self) -> None:
        """Write the learners for the jobs, unless they come from there."""
        if not self._has_pack:
            write_pack(
                self.run_folder.pack,
                self.learners,
                self.fnames,
                initializers=self.initializers,
                sys_path=sys.path,
                project=self.project,
            )

    @property
    def _digest(self) -> str:
        """What tells the fnames of this run from those of others."""
        return self.project.digest(self.fnames)

    def check_record(self) -> None:
        """Check that what the run folder holds is not the record of another run. Blocks.

        Raises
        ------
        RunFolderError
            If it is, and is to be kept, or can't be read.
        """
        if self.overwrite_db:
            return
        try:
            check_journal(self.run_folder.journal, self._digest)
        except OSError as error:
            raise unwritable_error(self.run_folder, error) from error

    async def _serve(self) -> None:
        # What jobs have left comes before what they say now.
        handled = await self.outbox_reader.handle()
        await asyncio.to_thread(self.record.flush)
        await asyncio.to_thread(delete, handled)
        server = Server(self._handle, self.record, self._confirm, self.listeners.hurry)
        port = server.start(self.listening.host, self.listening.port)
        try:
            await asyncio.to_thread(self._publish, server, port)
        except BaseException:  # Ctrl-C as well: no port is kept
            await server.stop()
            raise
        self._server = server

    def _publish(self, server: Server, port: int) -> None:
        """Tell the jobs where the manager is, and by which keys both sides prove who they are."""
        connection = curve.Connection(
            addresses=published_addresses(self.listening, port),
            manager_key=server.manager_keys.public,
            job_keys=server.job_keys,
        )
        write_private(self.run_folder.connection, connection.to_json())

    async def _manage(self) -> None:
        assert self._server is not None  # noqa: S101  `_setup` has opened it
        try:
            await self._stopping.wait()
        finally:
            await self._server.stop()
            self._close()

    def _close(self) -> None:
        self.record.close()
        self._lock.release()

    def cancel(self) -> None:
        """Stop answering jobs, and let go of the run folder. Jobs go on."""
        if self.task is not None and not self.task.done():
            event_loop.call(self._stopping.set)
            self.task.result()

    async def stop(self) -> None:
        """Do what `cancel` does, on the event loop."""
        self._stopping.set()
        await self.over()

    # The disk.

    def _commit_soon(self) -> None:
        if self._server is not None:
            self._server.commit_soon()

    async def flushed(self, patience: float | None = None) -> bool:
        """Wait until all that was recorded lies on disk, or for some seconds; return whether."""
        if self._server is not None:
            try:
                await asyncio.wait_for(self._server.flushed(), patience)
            except TimeoutError:
                return False
        return True

    @property
    def disk_trouble(self) -> str:
        """What can't be read or written in the run folder at the moment; empty if all can."""
        error = None if self._server is None else self._server.disk_error
        if error is not None:
            return f"The journal can't be written: {error}"
        return self.outbox_reader.trouble

    # What jobs say.

    def _handle(self, request: messages.Request) -> messages.Answer:
        answer = self.handler.handle(request)
        if isinstance(answer, messages.NothingLeft | messages.Stop):
            self.listeners.hurry()
        return answer

    def _confirm(self, request: messages.Request, answer: messages.Answer) -> bool:
        """Take an assignment back if a job that could not reach us has claimed the learner.

        The record of the assignment is on disk, and such a job reads the
        journal after it has left its claim: one of the two sees the other.
        """
        if not isinstance(answer, messages.Assigned) or not isinstance(
            request.message, messages.Hello
        ):
            return True
        if request.message.holding is not None or not self.outbox.is_claimed(answer.attempt):
            return True
        entry, job = self.state.learners[answer.attempt.learner], request.message.job
        if entry.is_held_by(job, answer.attempt.number):  # it may have been told otherwise since
            self.record.append(
                events.Released(
                    time=time.time(), learner=entry.index, reason="Claimed by another job."
                )
            )
        self.handler.forget(job.job_id)
        return False


def _check_that_files_can_lie_there(folder: RunFolder, fnames: Sequence[ResolvedFname]) -> None:
    needed = [folder.root, folder.logs, folder.scripts, folder.journal.parent]
    check_folders(needed, "The run's files")
    paths = (path for fname in fnames for path in fname.paths)
    check_folders((path.parent for path in paths), "Data files")
