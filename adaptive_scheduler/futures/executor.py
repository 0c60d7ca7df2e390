"""The face of `concurrent.futures`: functions are submitted, jobs call them."""

from __future__ import annotations

import asyncio
import inspect
import math
import secrets
import shutil
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, Unpack

from adaptive_scheduler._common.checks import check_count
from adaptive_scheduler._common.signatures import Face
from adaptive_scheduler.errors import AdaptiveSchedulerError, InvalidInputError
from adaptive_scheduler.futures.run import CallRun, PackedCall
from adaptive_scheduler.futures.service import CallService
from adaptive_scheduler.run_folder.checks import check_job_name
from adaptive_scheduler.run_folder.options import ExecutorOptions
from adaptive_scheduler.run_folder.spec import NO_KEYWORDS, RunSpec
from adaptive_scheduler.scheduler.registry import default_kind
from adaptive_scheduler.server_support.run_manager import RunManager
from adaptive_scheduler.server_support.validation import check_scheduler

if TYPE_CHECKING:
    from typing import Self

    from adaptive import SequenceLearner

    from adaptive_scheduler.executors.kinds import EXECUTOR_TYPES
    from adaptive_scheduler.scheduler.base import BaseScheduler
    from adaptive_scheduler.scheduler.resources import PerLearner

__all__ = ["SlurmExecutor", "SlurmTask"]

P = ParamSpec("P")
T = TypeVar("T")

#: Keywords that all schedulers take.
_COMMON = ("num_threads", "executor_type", "extra_scheduler", "extra_env_vars")


class SlurmTask(Future[T]):
    """One call: a `concurrent.futures.Future` that can also be awaited.

    It can be cancelled until a job has it. Asking for its result starts
    whatever was gathered so far.
    """

    def __init__(self, service: CallService) -> None:
        super().__init__()
        self._service = service

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
        self._service.hurry()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for what the function raises; None if it returns. See `result`."""
        self._service.hurry()
        return super().exception(timeout)

    def cancel(self) -> bool:
        """Cancel the call, unless a job has it; return whether it is cancelled."""
        is_cancelled = super().cancel()
        if is_cancelled:
            self._service.forget(self)
        return is_cancelled

    def __await__(self) -> Generator[Any, None, T]:
        async def wait() -> T:
            self._service.hurry()
            # Interrupting the cell that awaits must not cancel the call.
            return await asyncio.shield(asyncio.wrap_future(self))

        return wait().__await__()


_FACE: Final = Face(
    "SlurmExecutor",
    RunSpec,
    hidden={
        # The executor decides on these.
        *("job_name", "folder", "db_fname", "move_old_logs_to", "dependencies", "initializers"),
        *NO_KEYWORDS,
    },
    # Results arrive when a job has saved them, and a call that kills its job fails soon.
    defaults={
        "cleanup_first": True,
        "log_interval": 60,
        "max_fails_per_job": 5,
        "quiet": True,
        "save_interval": 10,
    },
)


@_FACE
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
    **options
        See `RunSpec`.

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
        **options: Unpack[ExecutorOptions],
    ) -> None:
        said = _FACE.read(options)
        check_job_name("name", name)
        if size_per_learner is not None:
            check_count("size_per_learner", size_per_learner)
        requested = {
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
            **requested,
            "extra_run_manager_kwargs": extra_run_manager_kwargs,
            "extra_scheduler_kwargs": extra_scheduler_kwargs,
            "size_per_learner": size_per_learner,
            "scheduler": scheduler,
            **options,
        }
        self.name = name
        self.size_per_learner = size_per_learner
        if scheduler is None:
            scheduler = scheduler_for(requested, extra_scheduler_kwargs or {})
        else:
            check_scheduler(scheduler)
            check_requested(requested, extra_scheduler_kwargs or {}, SlurmExecutor)
        self.scheduler: BaseScheduler = scheduler
        self._run_keywords = {**said, **(extra_run_manager_kwargs or {})}
        stamp = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
        self.folder = Path(folder or f"{name}-futures").expanduser().absolute() / stamp
        self.run_managers: list[RunManager] = []
        self._service = CallService(f"{name}-executor", self._call_run_of)
        self._check_run_keywords()

    def __repr__(self) -> str:
        n_open = len(self._service.open_tasks())
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
        task: SlurmTask[T] = SlurmTask(self._service)
        self._service.add(task, fn, args, kwargs)
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
        self._service.hurry()
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
        self._service.close()
        if cancel_futures:
            for task in self._service.open_tasks():
                task.cancel()
        self._service.hurry()
        if wait:
            self._service.join()

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
        call_run = self._service.make_run()
        if call_run is None:
            return None
        if start:
            call_run.start()
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
        n_open = len(self._service.open_tasks())
        running = [run.job_name for run in self.run_managers if run.status() == "running"]
        if n_open or running:
            raise AdaptiveSchedulerError(
                f"Executor '{self.name}' has {n_open} open calls, and these runs go on: {running}. "
                "Wait for them, with `shutdown()`, or cancel them before you clean up."
            )
        shutil.rmtree(self.folder, ignore_errors=True)

    def _call_run_of(self, calls: dict[Future[Any], PackedCall]) -> CallRun:
        folder = self.folder / f"data-{len(self.run_managers)}"
        call_run = CallRun(calls, self._size(len(calls)), folder, self._run_of)
        self.run_managers.append(call_run.run)
        return call_run

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

    def _check_run_keywords(self) -> None:
        """Have `RunManager` look at its keywords now; it touches nothing before it starts."""
        from adaptive import SequenceLearner

        n_learners = self.scheduler.n_learners or 1
        learners = [SequenceLearner(abs, [0]) for _ in range(n_learners)]
        fnames = [self.folder / f"{i}.pickle" for i in range(n_learners)]
        if clash := self._run_keywords.keys() & {"learners", "fnames", "scheduler"}:
            raise InvalidInputError(f"The executor itself decides on {sorted(clash)}.")
        self._run_of(learners, fnames)


def scheduler_for(requested: Mapping[str, Any], more: Mapping[str, Any]) -> BaseScheduler:
    """Return the scheduler of this machine, for jobs that ask for `requested`.

    Parameters
    ----------
    requested
        What `SlurmExecutor` was given, in the words of `SLURM`.
    more
        Further arguments, in the scheduler's own words; they win.

    Raises
    ------
    InvalidInputError
        If the scheduler knows no such thing.
    """
    kind = default_kind()
    names = {**{name: name for name in _COMMON}, **kind.names_of_slurm}
    known = {"nodes", "cores_per_node", *names}
    if unknown := [name for name, request in requested.items() if name not in known and request]:
        raise InvalidInputError(
            f"This machine's scheduler is {kind.__name__}, whose jobs can't ask for "
            f"{', '.join(map(repr, unknown))}: leave that out, or say `scheduler=...`."
        )
    translated = {own: requested[name] for name, own in names.items()}
    if "nodes" not in names:
        translated["cores"] = _cores(requested["nodes"], requested["cores_per_node"])
    return kind(**{**translated, **more})


def check_requested(
    requested: Mapping[str, Any], more: Mapping[str, Any], executor: Callable[..., Any]
) -> None:
    """Check that nothing is asked of a scheduler that was given.

    Raises
    ------
    InvalidInputError
        If it is.
    """
    parameters = inspect.signature(executor).parameters
    said = [name for name, request in requested.items() if request != parameters[name].default]
    said += ["extra_scheduler_kwargs"] if more else []
    if said:
        raise InvalidInputError(
            f"Say {', '.join(map(repr, said))} to the scheduler that is given as `scheduler`, "
            "not to the executor."
        )


def cores_of(scheduler: BaseScheduler) -> int:
    """Return how many calls a job makes at once."""
    resources = scheduler.resources(0)
    return 1 if resources.executor_type == "sequential" else resources.cores


def _cores(nodes: Any, cores_per_node: Any) -> int:
    """Return the cores of a job."""
    if not isinstance(nodes, int) or not isinstance(cores_per_node, int):
        raise InvalidInputError(
            "`nodes` and `cores_per_node` are whole numbers where the scheduler is not SLURM, not "
            f"{nodes!r} and {cores_per_node!r}: else say `scheduler=...`."
        )
    return nodes * cores_per_node
