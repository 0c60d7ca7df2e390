"""Both ends of the handshake, ours: ``manager`` and ``jobs``, each in its own process."""

from __future__ import annotations

import collections
import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zmq
from children import serve, size_of

from adaptive_scheduler.protocol import curve, messages

#: Milliseconds without any answer after which the benchmark has failed.
_PATIENCE_MS = 60_000


class Manager:
    """Starts one `DatabaseManager` after another, each with learners that are trivial."""

    def start(self, folder: str, learners: int) -> dict[str, Any]:
        """Start a manager; return where its jobs find it, and what the set-up cost."""
        from adaptive import SequenceLearner

        from adaptive_scheduler.run_folder.layout import RunFolder
        from adaptive_scheduler.scheduler import Local
        from adaptive_scheduler.server_support import DatabaseManager

        root = Path(folder)
        self._manager = DatabaseManager(
            None,
            Local(cores=1),
            None,
            [SequenceLearner(abs, range(1)) for _ in range(learners)],
            [root / "data" / f"{i:06}.pickle" for i in range(learners)],
            run_folder=RunFolder.at(root),
            with_progress_bar=False,
        )
        started = time.perf_counter()
        self._manager.start()
        seconds = time.perf_counter() - started
        address = str(self._manager.run_folder.connection)
        return {"address": address, "names": None, "seconds": seconds, **size_of([root])}

    def cpu(self) -> dict[str, Any]:
        """Return the CPU seconds that this process has used, and how many learners are done."""
        return {"cpu": time.process_time(), "done": self._manager.n_done()}

    def stop(self) -> dict[str, Any]:
        """Stop the manager, and return the size of its journal."""
        self._manager.cancel()
        return {"journal": self._manager.run_folder.journal.stat().st_size}


class Job:
    """A job that does nothing with the learners it gets but report them as done."""

    def __init__(self, job_id: str, number: int, socket: zmq.Socket[bytes]) -> None:
        self.socket = socket
        self._number = number
        self._identity = messages.JobIdentity(job_id)
        self._seq = itertools.count(1)

    def say_hello(self) -> None:
        """Ask for a learner."""
        name = f"bench-{self._number}"
        log_fname = f"bench-run/logs/{name}-{self._identity}.log"
        self._send(messages.Hello(self._identity, name, self._number, "host", 1, log_fname))

    def say_done(self, attempt: messages.Attempt) -> None:
        """Report a learner as done."""
        self._send(messages.Done(self._identity, attempt, {"npoints": 1}))

    def say_anything(self) -> None:
        """Send what changes nothing and is answered all the same."""
        self._send(messages.Status(self._identity, messages.Attempt(0, 1 << 30), {}))

    def answer(self) -> messages.Answer:
        """Return the answer that has come in."""
        return messages.decode_reply(self.socket.recv()).answer

    def _send(self, message: messages.Message) -> None:
        self.socket.send(messages.encode(messages.Request(next(self._seq), message)))


class Jobs:
    """Many jobs in one process."""

    def __init__(self) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, 10_000)
        self._jobs: list[Job] = []

    def connect(self, address: str, names: None, in_flight: int) -> dict[str, Any]:
        """Open the connections of `in_flight` jobs, and wait until they are there."""
        del names
        self._connection = curve.Connection.from_json(Path(address).read_bytes())
        started = time.perf_counter()
        self._jobs = [self._job(f"job_{number}", number) for number in range(in_flight)]
        for job in self._jobs:
            job.say_anything()
        collections.deque(_answers(self._jobs, in_flight), maxlen=0)
        return {"seconds": time.perf_counter() - started}

    def run(self, learners: int) -> dict[str, Any]:
        """Take learners and say that they are done.

        As in a run, a job that is done with one asks for the next.
        """
        started, cpu = time.perf_counter(), time.process_time()
        n_begun = min(learners, len(self._jobs))
        for job in self._jobs[:n_begun]:
            job.say_hello()
        for job, answer in _answers(self._jobs, 2 * learners):
            if isinstance(answer, messages.Assigned):
                job.say_done(answer.attempt)
            elif n_begun < learners:
                n_begun += 1
                job.say_hello()
        return {"seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu}

    def run_afresh(self, learners: int) -> dict[str, Any]:
        """Do the same, with a new job and a new connection for each learner."""
        started, cpu = time.perf_counter(), time.process_time()
        in_flight, n_begun, n_done = len(self._jobs), 0, 0
        self.close()
        poller = zmq.Poller()
        by_socket: dict[zmq.Socket[bytes], Job] = {}
        while n_done < learners:
            while n_begun < learners and len(by_socket) < in_flight:
                job = self._job(f"afresh_{n_begun}", n_begun)
                n_begun += 1
                poller.register(job.socket, zmq.POLLIN)
                by_socket[job.socket] = job
                job.say_hello()
            for socket in _readable(poller):
                job = by_socket[socket]
                answer = job.answer()
                if isinstance(answer, messages.Assigned):
                    job.say_done(answer.attempt)
                    continue
                n_done += 1
                poller.unregister(socket)
                by_socket.pop(socket).socket.close(linger=0)
        return {"seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu}

    def close(self) -> dict[str, Any]:
        """Close all connections."""
        for job in self._jobs:
            job.socket.close(linger=0)
        self._jobs = []
        return {}

    def _job(self, job_id: str, number: int) -> Job:
        address = self._connection.addresses[0]
        return Job(job_id, number, curve.job_socket(self._context, self._connection, address))


def _answers(jobs: list[Job], number: int) -> Iterator[tuple[Job, messages.Answer]]:
    """Yield the next `number` answers, each with the job that it is for."""
    poller = zmq.Poller()
    by_socket = {job.socket: job for job in jobs}
    for job in jobs:
        poller.register(job.socket, zmq.POLLIN)
    while number > 0:
        for socket in _readable(poller):
            number -= 1
            yield by_socket[socket], by_socket[socket].answer()


def _readable(poller: zmq.Poller) -> list[zmq.Socket[bytes]]:
    ready = poller.poll(_PATIENCE_MS)
    if not ready:
        raise TimeoutError("The manager does not answer.")
    return [socket for socket, _ in ready]


if __name__ == "__main__":
    if sys.argv[1] == "manager":
        manager = Manager()
        serve({"start": manager.start, "cpu": manager.cpu, "stop": manager.stop})
    else:
        jobs = Jobs()
        serve(
            {
                "connect": jobs.connect,
                "run": jobs.run,
                "run_afresh": jobs.run_afresh,
                "close": jobs.close,
            }
        )
