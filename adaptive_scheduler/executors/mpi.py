"""The executor of mpi4py: the ranks of an MPI program, on one node or many.

Rank 0 is the job, all others are its workers. ``python -m mpi4py.futures``
makes them so, before the job's program begins. Each worker holds a connection to
the job, over which nothing is said: the kernel closes it when the worker ends,
however that happens, on whatever node.
"""

from __future__ import annotations

import atexit
import hmac
import os
import selectors
import signal
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, NamedTuple

from adaptive_scheduler._common.addresses import own_addresses
from adaptive_scheduler.executors.base import Workers
from adaptive_scheduler.executors.cluster import RemoteExecutor, Send, forget_names
from adaptive_scheduler.executors.worker import Preparation, WorkerError, evaluate, hold, portable

#: Bytes of the word by which the job knows its workers.
_N_SECRET = 16
#: Seconds that a worker gives each address.
_PATIENCE = 5.0
#: Bytes that a worker says at most.
_MOST_SAID = 512
#: Connections that may wait to be accepted: all workers come at once.
_BACKLOG = 4096
#: What the ranks of a node share with MPICH.
_SHARED_MEMORY = r"mpich_shm_\w+"
#: Seconds for which the end of a job waits for workers that still evaluate.
_EXIT_GRACE = 2.0


class LivenessAddress(NamedTuple):
    """Where a worker finds its job, to have itself watched."""

    hosts: list[str]
    port: int
    secret: bytes

    def connect(self, name: str) -> socket.socket | None:
        """Return a connection that the job watches; None if no address can be reached."""
        for host in self.hosts:
            try:
                connection = socket.create_connection((host, self.port), timeout=_PATIENCE)
                connection.sendall(self.secret + name.encode() + b"\n")
            except OSError:
                continue
            return connection
        return None


class LivenessListener:
    """The job's ends of the connections of all workers, watched by a thread.

    Parameters
    ----------
    on_death
        Called in that thread with the name of a worker that has died.
    """

    def __init__(self, on_death: Callable[[str], None]) -> None:
        self._on_death = on_death
        self._secret = os.urandom(_N_SECRET)
        self._listener = socket.create_server(("", 0), backlog=_BACKLOG)
        self._stopping, self._stop = socket.socketpair()
        #: What each connection has said.
        self._said: dict[socket.socket, bytes] = {}
        threading.Thread(target=self._watch, name="worker-liveness", daemon=True).start()

    @property
    def address(self) -> LivenessAddress:
        """What workers are given."""
        port: int = self._listener.getsockname()[1]
        return LivenessAddress([socket.gethostname(), *own_addresses()], port, self._secret)

    def close(self) -> None:
        """Let go of all workers."""
        self._stop.close()

    def _watch(self) -> None:
        with selectors.DefaultSelector() as selector, self._listener, self._stopping:
            for watched in (self._listener, self._stopping):
                watched.settimeout(0)
                selector.register(watched, selectors.EVENT_READ)
            while all(self._handle(key.fileobj, selector) for key, _ in selector.select()):
                pass
            for connection in self._said:
                connection.close()

    def _handle(self, ready: Any, selector: selectors.BaseSelector) -> bool:
        """Accept, read or close what a socket is ready for; return whether to go on."""
        if ready is self._stopping:
            return False
        if ready is self._listener:
            with suppress(OSError):  # it has hung up already
                connection, _ = ready.accept()
                connection.settimeout(0)
                self._said[connection] = b""
                selector.register(connection, selectors.EVENT_READ)
        elif not self._receive(ready):
            selector.unregister(ready)
            ready.close()
            said = self._said.pop(ready)
            if hmac.compare_digest(said[:_N_SECRET], self._secret):
                self._on_death(said[_N_SECRET:].decode(errors="replace").strip())
        return True

    def _receive(self, connection: socket.socket) -> bool:
        """Read what is said; return whether the connection is still of use."""
        try:
            said = connection.recv(_MOST_SAID)
        except BlockingIOError:
            return True
        except OSError:  # its node is gone
            return False
        self._said[connection] += said
        return bool(said) and len(self._said[connection]) <= _MOST_SAID


class MPIWorkers(Workers):
    """The other ranks. They live as long as the job, and serve one learner after another.

    A rank can't be ended alone: it finishes what it evaluates.
    """

    def __init__(self) -> None:
        super().__init__(_world_size() - 1)
        forget_names(_SHARED_MEMORY)
        _ignore_sigusr1_at_exit()
        self._liveness = LivenessListener(self._on_death_of)
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
            initargs=(self._executor.preparation, self._liveness.address),
            main=False,
        )
        self._executor.begin(_sender(self._executor, self._pool))
        return self._executor

    def close(self) -> None:
        """Take no further points."""
        self._liveness.close()
        self._shut_pool()

    def _shut_pool(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _on_death_of(self, name: str) -> None:
        self.broken = f"The worker {name} died"
        if self._executor is not None:
            self._executor.lose(
                f"{self.broken}: out of memory, perhaps, or a crash in compiled code. With it ends "
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

    timer = threading.Timer(_EXIT_GRACE, end)
    timer.daemon = True
    timer.start()


def _world_size() -> int:
    from mpi4py import MPI

    return int(MPI.COMM_WORLD.size)


def _prepare_rank(preparation: Preparation, address: LivenessAddress) -> None:
    from mpi4py import MPI

    preparation.apply()
    forget_names(_SHARED_MEMORY)
    _ignore_sigusr1_at_exit()
    name = f"with MPI rank {MPI.COMM_WORLD.rank} on {socket.gethostname()}"
    hold(lambda: address.connect(name))


def _ignore_sigusr1_at_exit() -> None:
    """Ignore SIGUSR1 while this rank exits.

    By that, MPICH's mpiexec tells the other ranks that one is gone, also when all are about to end.
    """
    atexit.register(signal.signal, signal.SIGUSR1, signal.SIG_IGN)
