"""The face of `concurrent.futures`: functions are submitted, jobs call them."""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from datetime import datetime
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from adaptive_scheduler.call_run import CallRun, PackedCall
from adaptive_scheduler.call_scheduler import check_wishes, cores_of, scheduler_for
from adaptive_scheduler.errors import AdaptiveSchedulerError, InvalidInputError
from adaptive_scheduler.learners.pickling import dumps
from adaptive_scheduler.server_support.run_manager import RunManager
from adaptive_scheduler.server_support.validation import check_count, check_job_name
from adaptive_scheduler.signatures import check_keywords, extended, keywords_of

if TYPE_CHECKING:
    from typing import Self

    from adaptive import SequenceLearner

    from adaptive_scheduler.resources import EXECUTOR_TYPES, PerLearner
    from adaptive_scheduler.scheduler.base import BaseScheduler

__all__ = ["SlurmExecutor", "SlurmTask"]

P = ParamSpec("P")
T = TypeVar("T")

#: Seconds without a further submission after which calls become a run.
_GATHERING = 0.5
#: Seconds for which calls wait for further ones at most.
_LONGEST_GATHERING = 10.0
#: Seconds between two looks at what jobs have saved.
_INTERVAL = 0.2

#: Defaults that differ from those of `RunManager`. Results arrive when a job has
#: saved them, and a call that kills its job fails soon.
_DEFAULTS: Final = {
    "cleanup_first": True,
    "log_interval": 60,
    "max_fails_per_job": 5,
    "quiet": True,
    "save_interval": 10,
}
#: Keywords of `RunManager` that the executor decides on.
_OURS: Final = frozenset(
    {"job_name", "folder", "db_fname", "move_old_logs_to", "dependencies", "initializers"}
)
_RUN_MANAGER_KEYWORDS: Final = keywords_of(RunManager, without=_OURS, defaults=_DEFAULTS)


class SlurmTask(Future[T]):
    """One call: a `concurrent.futures.Future` that can also be awaited.

    It can be cancelled until a job has it. Asking for its result starts
    whatever was gathered so far.
    """

    def __init__(self, executor: SlurmExecutor) -> None:
        super().__init__()
        self._executor = executor

    def result(self, timeout: float | None = None) -> T:
        """Wait for what the function returns, or raise what it raised.

        Parameters
        ----------
        timeout
            Seconds to wait at most; None waits for ever.

        Raises
        ------
        TimeoutError
            If it isn't there by then.
        concurrent.futures.CancelledError
            If the call or its run was cancelled.
        """
        self._executor.start_gathered()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for what the function raises; None if it returns. See `result`."""
        self._executor.start_gathered()
        return super().exception(timeout)

    def cancel(self) -> bool:
        """Cancel the call, unless a job has it; return whether it is cancelled."""
        is_cancelled = super().cancel()
        if is_cancelled:
            self._executor.forget(self)
        return is_cancelled

    def __await__(self) -> Generator[Any, None, T]:
        async def wait() -> T:
            self._executor.start_gathered()
            # Interrupting the cell that awaits must not cancel the call.
            return await asyncio.shield(asyncio.wrap_future(self))

        return wait().__await__()


class SlurmExecutor(Executor):
    """Calls functions in jobs of a cluster, or of this machine.

    Calls that are submitted within a short time become learners of one run,
    later ones of another. Results arrive as jobs save them. Leaving a
    ``with`` block waits for all of them.

    Parameters
    ----------
    name
        What the names of the jobs begin with.
    folder
        Where each executor makes a folder of its own for its runs and
        results, ``./{name}-futures`` by default.
    partition, nodes, cores_per_node, memory, exclusive
        What each job asks for, as for `SLURM`.
    num_threads, executor_type, extra_scheduler, extra_env_vars
        As for all schedulers.
    extra_run_manager_kwargs
        Further arguments for `RunManager`; they win over all others.
    extra_scheduler_kwargs
        Further arguments for the scheduler, such as ``{"time": "02:00:00"}``.
    size_per_learner
        How many calls a job takes at once. By default they are spread over
        `max_simultaneous_jobs` jobs, each with as many calls as cores at least.
    scheduler
        Where the jobs run; it says what they ask for, then. By default the
        scheduler that this machine has: `SLURM`, `PBS`, or else `Local`.
    **run_manager_kwargs
        All others are keywords of `RunManager`, with its defaults but for
        ``cleanup_first=True``, ``quiet=True``, ``save_interval=10``,
        ``log_interval=60`` and ``max_fails_per_job=5``.

    Attributes
    ----------
    run_managers
        The runs so far.

    Raises
    ------
    TypeError
        If there is no such keyword.
    InvalidInputError
        If anything that was given can't work.
    """

    def __init__(  # noqa: PLR0917  the public signature
        self,
        name: str = "adaptive-scheduler",
        folder: str | Path | None = None,
        partition: PerLearner[str | None] = None,
        nodes: PerLearner[int | None] = 1,
        cores_per_node: PerLearner[int | None] = 1,
        memory: PerLearner[str | None] = None,
        num_threads: PerLearner[int] = 1,
        exclusive: PerLearner[bool] = False,  # noqa: FBT002  the public signature
        executor_type: PerLearner[EXECUTOR_TYPES] = "process-pool",
        extra_scheduler: PerLearner[list[str] | None] = None,
        extra_env_vars: PerLearner[list[str] | None] = None,
        *,
        extra_run_manager_kwargs: Mapping[str, Any] | None = None,
        extra_scheduler_kwargs: Mapping[str, Any] | None = None,
        size_per_learner: int | None = None,
        scheduler: BaseScheduler | None = None,
        **run_manager_kwargs: Any,
    ) -> None:
        check_keywords("SlurmExecutor", run_manager_kwargs, _RUN_MANAGER_KEYWORDS)
        check_job_name(name)
        if size_per_learner is not None:
            check_count("size_per_learner", size_per_learner)
        wishes = {
            "partition": partition,
            "nodes": nodes,
            "cores_per_node": cores_per_node,
            "memory": memory,
            "num_threads": num_threads,
            "exclusive": exclusive,
            "executor_type": executor_type,
            "extra_scheduler": extra_scheduler,
            "extra_env_vars": extra_env_vars,
        }
        self._arguments = {
            "name": name,
            "folder": folder,
            **wishes,
            "extra_run_manager_kwargs": extra_run_manager_kwargs,
            "extra_scheduler_kwargs": extra_scheduler_kwargs,
            "size_per_learner": size_per_learner,
            "scheduler": scheduler,
            **run_manager_kwargs,
        }
        self.name = name
        self.size_per_learner = size_per_learner
        if scheduler is None:
            scheduler = scheduler_for(wishes, extra_scheduler_kwargs or {})
        else:
            check_wishes(wishes, extra_scheduler_kwargs or {}, SlurmExecutor)
        self.scheduler: BaseScheduler = scheduler
        self._run_keywords = {
            **_DEFAULTS,
            **run_manager_kwargs,
            **(extra_run_manager_kwargs or {}),
        }
        stamp = f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"  # noqa: DTZ005  read by people
        self.folder = Path(folder or f"{name}-futures").expanduser().absolute() / stamp
        self.run_managers: list[RunManager] = []
        self._changed = threading.Condition()
        self._starting = threading.Lock()
        self._gathered: dict[Future[Any], PackedCall] = {}
        self._due = self._latest = math.inf
        self._call_runs: list[CallRun] = []
        self._thread: threading.Thread | None = None
        self._is_shut_down = False
        self._pickled: dict[int, tuple[Callable[..., Any], bytes]] = {}
        self._check_run_keywords()

    def __repr__(self) -> str:
        n_open = len(self._open_tasks())
        return f"<SlurmExecutor '{self.name}' in '{self.folder}': {n_open} calls are open>"

    # What `concurrent.futures` asks for.

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> SlurmTask[T]:
        """Have a job call a function.

        Function and arguments are pickled at once: what happens to them later
        does not change the call.

        Parameters
        ----------
        fn
            The function.
        *args, **kwargs
            Its arguments.

        Raises
        ------
        TypeError
            If `fn` can't be called.
        UnpicklableError
            If it or an argument can't travel to a job.
        RuntimeError
            After `shutdown`.
        """
        if not callable(fn):
            raise TypeError(f"submit() takes a function and its arguments; {fn!r} is no function.")
        task: SlurmTask[T] = SlurmTask(self)
        with self._changed:
            if self._is_shut_down:
                raise RuntimeError("cannot schedule new futures after shutdown")
            call = PackedCall(
                self._pickled_function(fn),
                dumps({"args": args, "kwargs": kwargs}, f"A call of {_name_of(fn)}"),
            )
            now = time.monotonic()
            if not self._gathered:
                self._latest = now + _LONGEST_GATHERING
                self._changed.notify_all()
            self._gathered[task] = call
            self._due = min(now + _GATHERING, self._latest)
            self._ensure_thread()
        return task

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
    ) -> Iterator[T]:
        """Return an iterator of results, in the order of the arguments.

        Parameters
        ----------
        fn
            The function.
        *iterables
            For each of its arguments the values.
        timeout
            Seconds from now after which no result is waited for any more.
        chunksize
            As for all executors. How many calls a job takes at once says
            `size_per_learner`.
        """
        results = super().map(fn, *iterables, timeout=timeout, chunksize=chunksize)
        self.start_gathered()
        return results

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002  as in the standard library
        """Take no further calls.

        Parameters
        ----------
        wait
            Wait until all calls have ended. On Ctrl-C the jobs go on.
        cancel_futures
            Cancel the calls that no job has begun with.
        """
        with self._changed:
            self._is_shut_down = True
            thread = self._thread
        if cancel_futures:
            for task in self._open_tasks():
                task.cancel()
        self.start_gathered()
        if wait and thread is not None:
            thread.join()

    # More than that.

    def finalize(self, *, start: bool = True) -> RunManager | None:
        """Make a run of what was gathered; you need not call it.

        Parameters
        ----------
        start
            Start the run, too.

        Returns
        -------
        RunManager or None
            The run; None if nothing was gathered.

        Raises
        ------
        AdaptiveSchedulerError
            If it can't be made or started. The calls raise the same.
        """
        call_run = self._make_run()
        if call_run is None:
            return None
        if start:
            self._start(call_run)
        return call_run.run

    def new(self, update: Mapping[str, Any] | None = None) -> Self:
        """Return another executor with the same arguments.

        Parameters
        ----------
        update
            Those that are to differ.
        """
        return type(self)(**{**self._arguments, **(update or {})})

    def cleanup(self) -> None:
        """Delete the files of all runs so far, with their logs and results.

        Tasks keep the results that they have.

        Raises
        ------
        AdaptiveSchedulerError
            If calls are open, or a run has not ended.
        """
        n_open = len(self._open_tasks())
        running = [run.job_name for run in self.run_managers if run.status() == "running"]
        if n_open or running:
            raise AdaptiveSchedulerError(
                f"Executor '{self.name}' has {n_open} open calls, and these runs go on: {running}. "
                "Wait for them, with `shutdown()`, or cancel them before you clean up."
            )
        shutil.rmtree(self.folder, ignore_errors=True)

    # For tasks.

    def start_gathered(self) -> None:
        """Let what was gathered wait for no further calls."""
        with self._changed:
            if self._gathered:
                self._due = -math.inf
                self._changed.notify_all()

    def forget(self, task: Future[Any]) -> None:
        """Take note that a task was cancelled."""
        with self._changed:
            was_open = self._gathered.pop(task, None) is not None
            was_open = was_open or any(each.forget(task) for each in self._call_runs)
            self._changed.notify_all()
        if was_open:
            task.set_running_or_notify_cancel()

    # The thread that starts runs and delivers results.

    def _ensure_thread(self) -> None:
        if self._thread is None:
            name = f"{self.name}-executor"
            self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
            self._thread.start()

    def _serve(self) -> None:
        """Start and deliver until nothing is open."""
        while True:
            with self._changed:
                if not self._gathered and not self._call_runs:
                    self._thread = None
                    return
                pause = _INTERVAL if self._call_runs else math.inf
                if self._gathered:
                    pause = min(pause, self._due - time.monotonic())
                if pause > 0:
                    self._changed.wait(pause)
                is_due = bool(self._gathered) and time.monotonic() >= self._due
            if is_due:
                self._begin()
            for call_run in list(self._call_runs):
                self._deliver(call_run)

    def _begin(self) -> None:
        with contextlib.suppress(Exception):  # the tasks raise it
            self.finalize()

    def _deliver(self, call_run: CallRun) -> None:
        try:
            call_run.deliver()
        except Exception as error:  # noqa: BLE001  nobody may wait for ever
            call_run.fail(error)
        if call_run.is_over:
            with self._changed:
                self._call_runs.remove(call_run)

    def _make_run(self) -> CallRun | None:
        with self._starting:
            with self._changed:
                calls, self._gathered = self._gathered, {}
                self._pickled.clear()
                self._due = math.inf
            if not calls:
                return None
            number = len(self.run_managers)
            try:
                call_run = CallRun(
                    calls, self._size(len(calls)), self.folder / f"data-{number}", self._run_of
                )
            except BaseException as error:
                for task in calls:
                    if task.set_running_or_notify_cancel():
                        task.set_exception(error)
                raise
            self.run_managers.append(call_run.run)
            with self._changed:
                self._call_runs.append(call_run)
                self._ensure_thread()
            return call_run

    def _start(self, call_run: CallRun) -> None:
        try:
            call_run.run.start()
        except BaseException as error:
            call_run.fail(error)
            raise

    def _run_of(self, learners: Sequence[SequenceLearner], fnames: Sequence[Path]) -> RunManager:
        name = f"{self.name}-{len(self.run_managers)}"
        ours = {"job_name": name, "folder": self.folder / f"{name}-run"}
        return RunManager(self.scheduler, learners, fnames, **{**ours, **self._run_keywords})

    def _size(self, n_calls: int) -> int:
        """Return how many calls make a learner."""
        if self.size_per_learner is not None:
            return self.size_per_learner
        n_jobs: int = self._run_keywords.get("max_simultaneous_jobs", 100)
        return max(cores_of(self.scheduler), math.ceil(n_calls / n_jobs))

    def _pickled_function(self, fn: Callable[..., Any]) -> bytes:
        """Pickle a function, once for all calls that are gathered."""
        known = self._pickled.get(id(fn))
        if known is None:
            known = (fn, dumps({_name_of(fn): fn}, f"The function {_name_of(fn)}"))
            if isinstance(fn, FunctionType):  # other things may change between two calls
                self._pickled[id(fn)] = known
        return known[1]

    def _open_tasks(self) -> list[Future[Any]]:
        with self._changed:
            in_runs = [task for call_run in self._call_runs for task in call_run.tasks()]
            return [*self._gathered, *in_runs]

    def _check_run_keywords(self) -> None:
        """Have `RunManager` look at its keywords now; it touches nothing before it starts."""
        from adaptive import SequenceLearner

        n_learners = self.scheduler.n_learners or 1
        learners = [SequenceLearner(abs, [0]) for _ in range(n_learners)]
        fnames = [self.folder / f"{i}.pickle" for i in range(n_learners)]
        if clash := self._run_keywords.keys() & {"learners", "fnames", "scheduler"}:
            raise InvalidInputError(f"The executor itself decides on {sorted(clash)}.")
        self._run_of(learners, fnames)


def _name_of(fn: Callable[..., Any]) -> str:
    return str(getattr(fn, "__qualname__", None) or repr(fn))


SlurmExecutor.__signature__ = extended(  # type: ignore[attr-defined]
    SlurmExecutor, _RUN_MANAGER_KEYWORDS
)
