"""What every executor is: a `concurrent.futures.Executor` for one function."""

from __future__ import annotations

import abc
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any


class FunctionExecutor(Executor, abc.ABC):
    """Evaluates one function, which travels once to each worker.

    Create and use it on the thread of a running event loop.

    Parameters
    ----------
    function
        What is evaluated.
    n_workers
        How many evaluations run at once.
    """

    def __init__(self, function: Callable[[Any], Any], n_workers: int) -> None:
        self.function = function
        self.n_workers = n_workers
        #: Called once, in any thread, when the first evaluation has returned.
        self.on_first_result: Callable[[], None] | None = None
        #: Raises `WorkerError` when the workers are gone and nobody starts others. No point
        #: is to blame then: none of those that are being evaluated will ever be done.
        self.lost: Future[None] = Future()
        self._is_closed = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Evaluate the function at one point.

        Raises
        ------
        TypeError
            If it is another function than the workers have.
        """
        if fn is not self.function or kwargs or len(args) != 1:
            raise TypeError("This executor evaluates its own function, at one point.")
        future: Future[Any] = Future()
        if self._is_closed:
            future.cancel()
            return future
        if self.on_first_result is not None:
            future.add_done_callback(self._note_first)
        self._evaluate(future, args[0])
        return future

    def _note_first(self, future: Future[Any]) -> None:
        if not future.cancelled() and (tell := self.on_first_result) is not None:
            self.on_first_result = None
            tell()

    @abc.abstractmethod
    def _evaluate(self, future: Future[Any], x: Any) -> None:
        """Have the function evaluated at `x`, and `future` get the result."""

    def close(self) -> None:
        """Evaluate nothing more; what is being evaluated comes to nothing."""
        self._is_closed = True

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002  as in the standard library
        """Close, at once and with all futures: the workers belong to the job."""
        self.close()


class Workers(abc.ABC):
    """The workers of a job. They serve one learner after another.

    Parameters
    ----------
    n_workers
        How many evaluations run at once.
    """

    def __init__(self, n_workers: int) -> None:
        self.n_workers = n_workers
        #: Why they can't serve another learner; empty if they can.
        self.broken = ""
        #: Called once, in any thread, when the first evaluation of the job has returned.
        self.on_first_result: Callable[[], None] | None = None

    def note_first_result(self) -> None:
        """Say that the first evaluation for a learner has returned."""
        tell, self.on_first_result = self.on_first_result, None
        if tell is not None:
            tell()

    @abc.abstractmethod
    def serve(
        self, function: Callable[[Any], Any], initializer: Callable[[], None] | None = None
    ) -> FunctionExecutor:
        """Return an executor for the next learner; that of the one before is closed.

        Parameters
        ----------
        function
            What is evaluated.
        initializer
            Called in each worker before its first evaluation of it.
        """

    def close(self) -> None:  # noqa: B027  those that end with their executor are gone by then
        """End all workers, whatever they are doing."""

    def join(self) -> None:  # noqa: B027  most have nothing to wait for
        """Return when all workers have ended, after `close`."""


def settle(future: Future[Any], result: Any = None, error: BaseException | None = None) -> None:
    """Give a future its result, or what was raised, unless it was cancelled."""
    if not future.set_running_or_notify_cancel():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
