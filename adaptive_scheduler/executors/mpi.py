"""The executor of mpi4py: the ranks of an MPI program, on one node or many.

Rank 0 is the job, all others are its workers. ``python -m mpi4py.futures``
makes them so, before the job's program begins.
"""

from __future__ import annotations

import atexit
import signal
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from adaptive_scheduler.executors.base import Workers
from adaptive_scheduler.executors.remote import RemoteExecutor, Send
from adaptive_scheduler.executors.shared_memory import forget_names
from adaptive_scheduler.executors.worker import Preparation, WorkerError, evaluate, hold, portable
from adaptive_scheduler.executors.worker_liveness import Lifeline, Lifelines

#: What the ranks of a node share with MPICH.
_SHARED_MEMORY = r"mpich_shm_\w+"
#: Seconds for which the end of a job waits for workers that still evaluate.
_PARTING = 2.0


class MPIWorkers(Workers):
    """The other ranks. They live as long as the job, and serve one learner after another.

    A rank can't be ended alone: it finishes what it evaluates.
    """

    def __init__(self) -> None:
        super().__init__(_world_size() - 1)
        forget_names(_SHARED_MEMORY)
        _end_in_peace()
        self._lifelines = Lifelines(self._mourn)
        self._pool: Any = None
        self._executor: RemoteExecutor | None = None

    def serve(
        self, function: Callable[[Any], Any], initializer: Callable[[], None] | None = None
    ) -> RemoteExecutor:
        """Return an executor for the next learner."""
        from mpi4py.futures import MPIPoolExecutor

        self._shut_pool()
        self._executor = RemoteExecutor(function, self.n_workers, initializer)
        self._pool = MPIPoolExecutor(
            initializer=_prepare_rank,
            initargs=(self._executor.preparation, self._lifelines.lifeline),
            main=False,
        )
        self._executor.begin(_sender(self._executor, self._pool))
        return self._executor

    def close(self) -> None:
        """Take no further points."""
        self._lifelines.close()
        self._shut_pool()

    def _shut_pool(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _mourn(self, name: str) -> None:
        self.spoilt = f"The worker {name} died"
        if self._executor is not None:
            self._executor.lose(
                f"{self.spoilt}: out of memory, perhaps, or a crash in compiled code. With it ends "
                "its MPI program; another job goes on."
            )


def _sender(executor: RemoteExecutor, pool: Any) -> Send:
    def send(future: Future[Any], x: Any) -> None:
        inner = pool.submit(evaluate, portable(x))
        future.add_done_callback(lambda done: inner.cancel() if done.cancelled() else None)
        inner.add_done_callback(lambda done: pass_on(done, future))

    def pass_on(done: Future[Any], future: Future[Any]) -> None:
        if done.cancelled():
            future.cancel()
        elif (error := done.exception()) is not None:
            executor.settle(future, error=error)
        else:
            executor.settle(future, done.result())

    return send


def check_world() -> None:
    """Check that this process is the first of several ranks.

    Raises
    ------
    WorkerError
        If it is alone, or another rank.
    """
    from mpi4py import MPI

    if (size := _world_size()) == 1:
        library = MPI.Get_library_version().splitlines()[0].strip("\0 ")
        raise WorkerError(
            "This process is an MPI program of its own, with one rank, though it was to be one of "
            "several. What started it does not fit the MPI library of mpi4py "
            f"({library!r}). Set `mpiexec_executable` to what belongs to that MPI, for "
            "example 'srun --mpi=pmix' (`srun --mpi=list` shows what there is) or the mpiexec "
            "that was installed with it."
        )
    if MPI.COMM_WORLD.rank != 0:
        raise WorkerError(
            f"This is rank {MPI.COMM_WORLD.rank} of {size}, and not the job. Start the job's "
            "program with `python -m mpi4py.futures -m adaptive_scheduler.run_learner`."
        )


def end_soon(exit_code: int) -> None:
    """End all ranks, even if some still evaluate; the job has saved and reported."""
    from mpi4py import MPI

    def end() -> None:
        if not MPI.Is_finalized():
            MPI.COMM_WORLD.Abort(exit_code)

    timer = threading.Timer(_PARTING, end)
    timer.daemon = True
    timer.start()


def _world_size() -> int:
    from mpi4py import MPI

    return int(MPI.COMM_WORLD.size)


def _prepare_rank(preparation: Preparation, lifeline: Lifeline) -> None:
    from mpi4py import MPI

    preparation.apply()
    forget_names(_SHARED_MEMORY)
    _end_in_peace()
    name = f"with MPI rank {MPI.COMM_WORLD.rank} on {socket.gethostname()}"
    hold(lambda: lifeline.hold(name))


def _end_in_peace() -> None:
    """Let this rank end without heed to SIGUSR1.

    By that, MPICH's mpiexec tells the other ranks that one is gone, also when all are about to end.
    """
    atexit.register(signal.signal, signal.SIGUSR1, signal.SIG_IGN)
