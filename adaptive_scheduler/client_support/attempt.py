"""One attempt at one learner, from loading its data to saving it for the last time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.client_support.fence import SupersededError
from adaptive_scheduler.client_support.figures import Usage, runner_figures
from adaptive_scheduler.client_support.job_log import note, note_fields
from adaptive_scheduler.client_support.manager_client import ManagerClient, Verdict
from adaptive_scheduler.client_support.place import Place, PlaceGoneError
from adaptive_scheduler.client_support.saver import Saver
from adaptive_scheduler.executors.worker import FunctionError
from adaptive_scheduler.learners.paths import Project
from adaptive_scheduler.learners.rescue import rescue_folders, rescue_name
from adaptive_scheduler.protocol import messages

if TYPE_CHECKING:
    from adaptive import AsyncRunner, BaseLearner

    from adaptive_scheduler.executors.base import FunctionExecutor, Workers
    from adaptive_scheduler.learners.pack import Pack
    from adaptive_scheduler.run_folder.spec import RunSpec

#: Seconds before a manager that did not answer is called again, and the most that this grows to.
_FIRST_CALL_PAUSE = 2.0
_LONGEST_CALL_PAUSE = 60.0


@dataclass(frozen=True)
class Interrupt:
    """Why an attempt ends before its goal."""

    reason: str


class AttemptRun:
    """Runs one learner until its goal, an interrupt, or an error.

    Parameters
    ----------
    pack
        Where the learner lies.
    attempt
        Which attempt this is.
    manager
        Where progress is told.
    spec
        What the run is.
    workers
        Who evaluates.
    place
        The folders that the job works in.
    run_id
        Of which run this is.
    interrupted
        Resolves when the job must end.
    """

    def __init__(
        self,
        pack: Pack,
        attempt: messages.Attempt,
        manager: ManagerClient,
        spec: RunSpec,
        *,
        workers: Workers,
        place: Place,
        run_id: str,
        interrupted: asyncio.Future[Interrupt],
    ) -> None:
        self._pack = pack
        self._attempt = attempt
        self._manager = manager
        self._spec = spec
        self._workers = workers
        self._place = place
        self._run_id = run_id
        self._interrupted = interrupted
        self._usage = Usage()
        self._figures: messages.Figures = {}

    async def run(self) -> messages.Report | None:
        """Return what there is to report; nothing if another job has the learner."""
        try:
            self._load()
        except Exception as error:  # noqa: BLE001  unpickling runs the user's code
            return self._failed_with(error)
        try:
            return await self._learn_and_save()
        except SupersededError as error:
            self._saver.save_beside(self._attempt.number, self._manager.job.job_id, error)
            return None
        except PlaceGoneError as error:
            return await self._rescue(error)

    async def _rescue(self, error: PlaceGoneError) -> messages.Released:
        """Keep the points somewhere else, and have the job end: it has no place any more."""
        job, attempt = self._manager.job, self._current
        name = rescue_name(attempt.learner, attempt.number, job.job_id)
        where = await asyncio.to_thread(self._saver.rescue, name, self._run_id, error)
        if not self._interrupted.done():
            self._interrupted.set_result(Interrupt(str(error)))
        kept = f"Its points are in {where}." if where else "Its points could not be saved."
        return messages.Released(job, attempt, f"{error} {kept}")

    async def _learn_and_save(self) -> messages.Report:
        interrupt, error = None, None
        try:
            interrupt = await self._learn()
        except (SupersededError, PlaceGoneError):
            raise
        except Exception as raised:  # noqa: BLE001  the user's function may raise anything
            error = raised
        is_saved = await self._save_for_good(give_up_early=bool(interrupt or error))
        if error is not None:
            return self._failed_with(error)
        if not is_saved:
            return self._failed(f"The data could not be saved: {self._saver.error}", "")
        if interrupt is not None:
            return messages.Released(self._manager.job, self._current, interrupt.reason)
        return messages.Done(self._manager.job, self._current, self._figures)

    @property
    def _current(self) -> messages.Attempt:
        """The attempt as it is known now: its number may have changed on the way."""
        return self._manager.holding or self._attempt

    def _load(self) -> None:
        packed = self._pack.read(self._attempt.learner)
        self._learner, self._initializer = packed.learner, packed.initializer
        project = Project.at(self._pack.folder)
        self._saver = Saver(
            packed.learner,
            project.resolve(packed.fname),
            interval=self._spec.save_interval,
            dataframe_format=self._spec.saved_dataframe_format,
            may_save=self._manager.check_holding,
            place=self._place,
        )
        self._saver.load()
        folders = rescue_folders(self._spec.run_folder.rescue, self._run_id)
        self._saver.add_rescued(self._attempt.learner, folders)
        note("loaded", learner=self._attempt.learner, npoints=self._learner.npoints)

    async def _learn(self) -> Interrupt | None:
        """Learn until the goal is reached; return why, if it ended before."""
        executor = self._workers.serve(self._learner.function, self._initializer)
        lost = asyncio.wrap_future(executor.lost)
        executor.on_first_result = self._workers.note_first_result
        npoints_start = self._learner.npoints
        runner = _start_runner(
            self._learner, self._spec.goal_function, executor, self._spec.runner_kwargs or {}
        )
        try:
            async with self._in_background(runner, npoints_start) as tasks:
                signs: list[asyncio.Future[Any]] = [*tasks, self._interrupted, lost]
                await asyncio.wait({runner.task, *signs}, return_when=asyncio.FIRST_COMPLETED)
                if runner.task.done():
                    runner.task.result()
                    return None
                interrupt: Interrupt = next(sign.result() for sign in signs if sign.done())
                return interrupt
        finally:
            await _stop_runner(runner)
            executor.close()
            lost.cancel()
            if self._workers.broken and not self._interrupted.done():
                self._interrupted.set_result(Interrupt(self._workers.broken))
            self._figures = self._log_progress(runner, npoints_start)

    async def _save_for_good(self, *, give_up_early: bool) -> bool:
        """Save for the last time, and tell meanwhile what hinders that."""
        telling = asyncio.create_task(self._keep_telling_trouble())
        try:
            return await self._saver.save_for_good(self._interrupted, give_up_early=give_up_early)
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)

    @contextlib.asynccontextmanager
    async def _in_background(
        self, runner: AsyncRunner, npoints_start: int
    ) -> AsyncIterator[list[asyncio.Task[Interrupt]]]:
        """Save and report meanwhile, in tasks that end when the attempt must."""
        tasks: list[asyncio.Task[Interrupt]] = [
            asyncio.create_task(self._saver.keep_saving()),
            asyncio.create_task(self._keep_reporting(runner, npoints_start)),
        ]
        try:
            yield tasks
        finally:
            for task in tasks:
                task.cancel()
            # A save that has begun is finished: it runs in a thread.
            await asyncio.gather(*tasks, return_exceptions=True)

    # Reporting.

    async def _keep_reporting(self, runner: AsyncRunner, npoints_start: int) -> Interrupt:
        """Log and tell the progress now and then, and trouble at once.

        Returns when the manager says to end.

        Raises
        ------
        SupersededError
            If it says that another job has the learner.
        """
        figures: messages.Figures = {}
        next_line, pause = time.monotonic(), _FIRST_CALL_PAUSE
        while True:
            if time.monotonic() >= next_line:
                figures = self._log_progress(runner, npoints_start)
                next_line = time.monotonic() + self._spec.log_interval
            self._saver.news.clear()
            verdict = await self._manager.status(figures, self._saver.trouble)
            if verdict is Verdict.SUPERSEDED:
                raise SupersededError("The manager has given the learner to another job.")
            if verdict is Verdict.STOP:
                return Interrupt("The run was cancelled.")
            pause = (
                _FIRST_CALL_PAUSE
                if self._manager.is_answered
                else min(2 * pause, _LONGEST_CALL_PAUSE)
            )
            until_line = max(0.0, next_line - time.monotonic())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(
                    self._saver.news.wait(),
                    until_line if self._manager.is_answered else min(pause, until_line),
                )

    async def _keep_telling_trouble(self) -> None:
        while not self._interrupted.done():
            await self._saver.news.wait()
            self._saver.news.clear()
            verdict = await self._manager.status(self._figures, self._saver.trouble)
            if verdict is Verdict.STOP and not self._interrupted.done():
                self._interrupted.set_result(Interrupt("The run was cancelled."))

    def _log_progress(self, runner: AsyncRunner, npoints_start: int) -> messages.Figures:
        figures: messages.Figures = {
            "timestamp": datetime.now().isoformat(" "),  # noqa: DTZ005  read by people
            **runner_figures(runner, npoints_start),
            **self._usage.figures(),
        }
        if self._saver.error:
            figures["save_error"] = messages.clip(self._saver.error, 1000)
        ids = {"learner": self._attempt.learner, "attempt": self._current.number}
        note_fields("current status", {**ids, **figures})
        return figures

    def _failed_with(self, error: Exception) -> messages.Failed:
        summary, text = describe(error)
        note("failed", level=logging.ERROR, learner=self._attempt.learner, traceback=text)
        return self._failed(summary, text)

    def _failed(self, error: str, text: str) -> messages.Failed:
        return messages.Failed(
            self._manager.job,
            self._current,
            error=messages.clip(error, 2000),
            traceback=messages.clip(text),
        )


def _start_runner(
    learner: BaseLearner,
    goal: Callable[[BaseLearner], bool],
    executor: FunctionExecutor,
    runner_kwargs: Mapping[str, Any],
) -> AsyncRunner:
    """Start to learn on the running event loop."""
    from adaptive import AsyncRunner

    options = {"ntasks": executor.n_workers, **runner_kwargs}
    with _no_foreign_clients():
        return AsyncRunner(learner, goal=goal, executor=executor, **options)


async def _stop_runner(runner: AsyncRunner) -> None:
    """Stop a runner, if it still runs, and tell its learner what has come in meanwhile."""
    runner.cancel()
    await asyncio.wait([runner.task])  # whoever watches the task has its exception
    for future, point in list(runner.pending_points):
        if future.done() and not future.cancelled() and future.exception() is None:
            runner.learner.tell(point, future.result())


@contextlib.contextmanager
def _no_foreign_clients() -> Iterator[None]:
    """Keep adaptive from importing packages only to see that an executor is not theirs.

    Importing ipyparallel and distributed takes a job a second, and the
    executor is ours. Nothing but these globals decides whether adaptive does.
    """
    from adaptive import runner

    found = runner.with_ipyparallel, runner.with_distributed
    runner.with_ipyparallel = runner.with_distributed = False
    try:
        yield
    finally:
        runner.with_ipyparallel, runner.with_distributed = found


def describe(error: Exception) -> tuple[str, str]:
    """Return an error in one line, and its traceback: that of the user's function, if it raised."""
    cause = error.__cause__  # the runner wraps what an evaluation raised
    if isinstance(cause, FunctionError):
        return cause.summary, cause.traceback_text
    root = cause if isinstance(cause, Exception) else error
    summary = traceback.format_exception_only(root)[-1].strip()
    return summary, "".join(traceback.format_exception(error))
