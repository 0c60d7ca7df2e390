"""A run whose learners are calls, and the tasks that wait for their outcomes."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from adaptive_scheduler._common.by_value import SourceFiles
from adaptive_scheduler._common.trusted import open_data
from adaptive_scheduler.errors import (
    AdaptiveSchedulerError,
    CallError,
    DataFileError,
    MaxRestartsReachedError,
    UntrustedFileError,
)
from adaptive_scheduler.futures.calls import Call, Calls, outcome_of
from adaptive_scheduler.learners import contents
from adaptive_scheduler.learners.splitting import split
from adaptive_scheduler.run_folder.models import DONE, FAILED, RUNNING, LearnerEntry
from adaptive_scheduler.server_support.event_loop import event_loop

if TYPE_CHECKING:
    from adaptive import SequenceLearner

    from adaptive_scheduler.server_support.run_manager import RunManager

#: Seconds for which the data of a learner that is done is looked for: a file
#: system on the network may show a new file late.
_PATIENCE = 60.0


class PackedCall(NamedTuple):
    """A function and its arguments, pickled when the call was submitted."""

    function: bytes
    arguments: bytes
    #: Where functions in them were defined.
    files: SourceFiles


@dataclass
class _Part:
    """The tasks of one learner that still wait, by their place in its sequence."""

    index: int
    path: Path
    waiting: dict[int, Future[Any]]
    has_started: bool = False
    #: What the file looked like when it was last read.
    seen: tuple[int, int, int] | None = None
    #: When to stop looking for the data of a learner that is done.
    deadline: float | None = None
    places: dict[Future[Any], int] = field(init=False)

    def __post_init__(self) -> None:
        self.places = {task: place for place, task in self.waiting.items()}


class CallRun:
    """The tasks of one run.

    Parameters
    ----------
    calls
        What is to be called, by the task that waits for it.
    size
        How many calls make a learner.
    folder
        Where the learners' data is saved.
    make_run
        Makes the run of learners and their fnames.
    """

    def __init__(
        self,
        calls: dict[Future[Any], PackedCall],
        size: int,
        folder: Path,
        make_run: Callable[[Sequence[SequenceLearner], Sequence[Path]], RunManager],
    ) -> None:
        self._lock = threading.Lock()
        self._is_partly_cancelled = False
        #: Learners of which all tasks were cancelled before any job had them.
        self._unwanted: list[int] = []
        learners: list[SequenceLearner] = []
        self._parts: list[_Part] = []
        for tasks in split(calls, -(-len(calls) // size)):
            learners.append(_learner([calls[task] for task in tasks]))
            index = len(self._parts)
            path = folder / f"{index}.pickle"
            self._parts.append(_Part(index, path, dict(enumerate(tasks))))
        self._part_of = {task: part for part in self._parts for task in part.waiting.values()}
        self.run = make_run(learners, [part.path for part in self._parts])

    @property
    def is_over(self) -> bool:
        """Whether nobody waits any more, and no job is left."""
        return not self._part_of and (self.run.task is None or self._has_ended)

    @property
    def _has_ended(self) -> bool:
        return self.run.task is not None and self.run.task.done()

    def start(self) -> None:
        """Start the run; if that fails, the tasks raise the same.

        Raises
        ------
        AdaptiveSchedulerError
            If it can't be started.
        """
        try:
            self.run.start()
        except BaseException as error:  # Ctrl-C as well: nobody may wait for ever
            self.fail(error)
            raise

    def forget(self, task: Future[Any]) -> bool:
        """Let a task that was cancelled wait no longer; return whether it has waited."""
        with self._lock:
            part = self._part_of.get(task)
            was_waiting = self._pop(task)
            self._is_partly_cancelled |= was_waiting
            if part is not None and not part.waiting and not part.has_started:
                self._unwanted.append(part.index)
        return was_waiting

    def tasks(self) -> list[Future[Any]]:
        """Return the tasks that wait."""
        with self._lock:
            return list(self._part_of)

    def fail(self, error: BaseException) -> None:
        """Let all tasks that wait raise this error."""
        for task in self.tasks():
            self._settle(task, error=error)

    def deliver(self) -> None:
        """Give tasks what was saved since the last time, and notice how the run does."""
        if self.run.task is None:
            return
        has_ended = self._has_ended  # asked first: what was saved before the end is read below
        entries = event_loop.call(lambda: list(self.run.database_manager.state.learners))
        for part, entry in zip(self._parts, entries, strict=True):
            if part.waiting:
                self._deliver_part(part, entry)
        if has_ended:
            self._fail_the_rest(entries)
        else:
            self._cancel_unwanted()

    def _cancel_unwanted(self) -> None:
        """Keep jobs from what nobody waits for any more."""
        with self._lock:
            unwanted, self._unwanted = self._unwanted, []
            is_over = self._is_partly_cancelled and not self._part_of
            self._is_partly_cancelled &= not is_over
        if is_over:
            self.run.cancel()
        elif unwanted:
            with contextlib.suppress(AdaptiveSchedulerError):  # the run has just ended
                self.run.cancel_learners(unwanted)

    def _deliver_part(self, part: _Part, entry: LearnerEntry) -> None:
        if entry.state not in (RUNNING, DONE, FAILED):
            return
        self._note_start(part)
        is_final = entry.state in (DONE, FAILED)
        try:
            outcomes = _read_outcomes(part, only_news=not is_final)
        except DataFileError as error:
            if is_final:
                self._fail_part(part, error)
            return
        for place in [place for place in part.waiting if place in outcomes]:
            has_returned, outcome = outcome_of(outcomes[place])
            if has_returned:
                self._settle(part.waiting[place], result=outcome)
            else:
                self._settle(part.waiting[place], error=outcome)
        if entry.state == FAILED:
            self._fail_part(part, _given_up(entry))
        elif entry.state == DONE:
            self._miss(part)

    def _note_start(self, part: _Part) -> None:
        """Let the tasks of a learner that a job has begin; they can't be cancelled from now on."""
        if part.has_started:
            return
        part.has_started = True
        with self._lock:
            for task in list(part.places):
                if not task.set_running_or_notify_cancel():
                    self._pop(task)

    def _miss(self, part: _Part) -> None:
        """Wait for the data of a learner that is done, but not for ever."""
        part.deadline = part.deadline or time.monotonic() + _PATIENCE
        if part.waiting and time.monotonic() > part.deadline:
            self._fail_part(
                part,
                CallError(
                    f"The call's learner is done, but '{part.path}' has no outcome of it: its "
                    "`goal` was reached before, or the file was changed."
                ),
            )

    def _fail_part(self, part: _Part, error: BaseException) -> None:
        for task in list(part.places):
            self._settle(task, error=error)

    def _fail_the_rest(self, entries: Sequence[LearnerEntry]) -> None:
        """Tell the tasks that still wait that the run has ended."""
        task = self.run.task
        reason = None if task is None or task.cancelled() else task.exception()
        for part, entry in zip(self._parts, entries, strict=True):
            if part.waiting and entry.state != DONE:  # the data of those that are is waited for
                self._fail_part(part, reason or CancelledError(f"{self.run} was cancelled."))

    def _settle(
        self, task: Future[Any], *, result: Any = None, error: BaseException | None = None
    ) -> None:
        with self._lock:
            if not self._pop(task):
                return
            may_settle = task.running() or task.set_running_or_notify_cancel()
        if not may_settle:
            return
        if error is None:
            task.set_result(result)
        else:
            task.set_exception(error)

    def _pop(self, task: Future[Any]) -> bool:
        part = self._part_of.pop(task, None)
        if part is None:
            return False
        part.waiting.pop(part.places.pop(task))
        return True


def _learner(calls: Sequence[PackedCall]) -> SequenceLearner:
    """Return a learner that makes these calls; each function travels once."""
    from adaptive import SequenceLearner

    numbers: dict[bytes, int] = {}
    points = [
        Call(numbers.setdefault(call.function, len(numbers)), call.arguments) for call in calls
    ]
    files = SourceFiles(set().union(*(call.files.names for call in calls)))
    return SequenceLearner(Calls(list(numbers), files), points)


def _read_outcomes(part: _Part, *, only_news: bool) -> dict[int, bytes]:
    """Read the outcomes that were saved, by their place; none if nothing was saved since."""
    try:
        # A network file system looks at the server anew when a file is opened.
        with open_data(part.path) as opened:
            status = opened.status
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
            if only_news and seen == part.seen:
                return {}
            if opened.owner:
                raise DataFileError(f"'{part.path}' was not read: it belongs to {opened.owner}.")
            content = opened.file.read()
    except FileNotFoundError:
        return {}
    except (OSError, UntrustedFileError) as error:
        raise DataFileError(f"'{part.path}' can't be read: {error}.") from error
    try:
        outcomes: dict[int, bytes] = contents.decode(content)
    except contents.UnreadableContentError as error:
        raise DataFileError(f"'{part.path}' holds no outcomes of calls: {error}.") from error
    part.seen = seen
    return outcomes


def _given_up(entry: LearnerEntry) -> MaxRestartsReachedError:
    return MaxRestartsReachedError(
        f"The job that was to make this call has failed {entry.fails} times: {entry.error}\n"
        f"{entry.traceback.rstrip()}\nLog: {entry.log_fname}. Each call is in a job with "
        "others: `size_per_learner=1` keeps them apart."
    )
