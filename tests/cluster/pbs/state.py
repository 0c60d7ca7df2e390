"""What the fake server knows: jobs and settings, in a file under a lock.

Whoever changes something does it here: a command, or the mom of a job. There
is no daemon, so nothing is left when a test is over but jobs.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SERVER = "pbs-head"
#: Where this repository is, for commands that are started elsewhere.
ROOT = Path(__file__).parents[3]

#: As PBS has them; tests make some of them shorter.
SETTINGS: dict[str, Any] = {
    "nodes": {"pbs-head": 2},
    "history": True,
    "max_array_size": 10_000,
    "queue_max_array_size": 10_000,
    "kill_delay": 10.0,
    "max_user_jobs": None,
    "longest_name": 230,
    "lost_nodes": [],
    "torque": False,
    "other_server_is_down": False,
    # Attributes of the server and of its queues, as qstat shows them.
    "server": {"default_queue": "workq"},
    "queues": {"workq": {"queue_type": "Execution"}},
}

#: Why a job waits for which there are no cores.
_NO_CORES = "Not Running: Insufficient amount of resource: ncpus"

Job = dict[str, Any]

#: A job of which nothing is known yet.
BLANK: Job = {
    "select": "1:ncpus=1",
    "chunks": [(1, 1)],
    "cores": 1,
    "queue": "workq",
    "walltime": None,
    "out": "/x.o",
    "err": "/x.e",
    "join": "n",
    "keep": "n",
    "workdir": "/",
    "created": 0.0,
    "changed": 0.0,
    "began": None,
    "comment": "",
    "status": None,
    "substate": 20,
    "run_count": 0,
    "nodes": None,
    "is_moved": False,
    "is_torque": False,
    "mom": None,
    "request": None,
    "is_array": False,
    "array": None,
    "index": None,
    "script": "",
    "arguments": "",
}


class Server:
    """The jobs in a folder, while the lock is held."""

    def __init__(self, folder: Path, data: dict[str, Any]) -> None:
        self.folder = folder
        self.settings: dict[str, Any] = data["settings"]
        self.jobs: dict[str, Job] = data["jobs"]
        self.data = data

    @property
    def is_torque(self) -> bool:
        """Whether the commands are to be like Torque's."""
        return bool(self.settings["torque"])

    def new_number(self) -> int:
        """Return the number of the next job."""
        self.data["next"] += 1
        return self.data["next"] - 1

    def members(self, array: Job) -> list[Job]:
        """Return the jobs of an array."""
        return [job for job in self.jobs.values() if job["array"] == array["id"]]

    def free_nodes(self, job: Job) -> list[str] | None:
        """Return a node for each chunk of a job, so that it fits."""
        free = {
            name: cores
            for name, cores in self.settings["nodes"].items()
            if name not in self.settings["lost_nodes"]
        }
        for other in self.jobs.values():
            if other["nodes"] is not None and other["state"] in {"R", "E", "S"}:
                for (cores, _), name in zip(other["chunks"], other["nodes"], strict=True):
                    free[name] = free.get(name, 0) - cores
        found = []
        for cores, _ in job["chunks"]:
            name = next((name for name in free if free[name] >= cores), None)
            if name is None:
                return None
            free[name] -= cores
            found.append(name)
        return found

    def schedule(self) -> None:
        """Start the jobs that fit."""
        for job in self.jobs.values():
            array = self.jobs.get(job["array"] or "")
            is_held = job["hold"] != "n" or (array is not None and array["hold"] != "n")
            if job["state"] != "Q" or job["is_array"] or is_held:
                continue
            job["nodes"] = self.free_nodes(job)
            if job["nodes"] is None:
                if array is None or array["state"] == "Q":  # members that wait copy their array
                    (array or job)["comment"] = _NO_CORES
                continue
            self._start(job, array)

    def _start(self, job: Job, array: Job | None) -> None:
        now = time.time()
        job.update(state="R", began=now, changed=now, status=None, run_count=job["run_count"] + 1)
        when = time.strftime("%a %b %d at %H:%M", time.localtime(now))
        job["comment"] = f"Job run at {when} on {vnodes(job)}"
        if array is not None and array["state"] == "Q":
            array.update(state="B", began=now, comment=f"Job Array Began at {when}")
        start_mom(self.folder, job["id"])

    def finish(self, job: Job, status: int | None, end: str) -> None:
        """Take note that a job has ended: by itself, or because it was deleted."""
        job.update(status=status, changed=time.time(), mom=None)
        job["substate"] = {"finished": 92, "failed": 93}.get(end, 91)
        if job["run_count"]:
            job["comment"] += f" and {end}"
        array = self.jobs.get(job["array"] or "")
        if array is None:
            self._forget(job)
            return
        job["state"] = "C" if self.is_torque else "X"
        if status is not None:
            array["status"] = status
        if all(member["state"] in "CX" for member in self.members(array)):
            for ended in (array, *self.members(array)):
                self._forget(ended)

    def _forget(self, job: Job) -> None:
        job["state"] = "C" if self.is_torque else "F"
        if not self.settings["history"]:
            del self.jobs[job["id"]]


def vnodes(job: Job) -> str:
    """Return on which nodes a job is, as ``exec_vnode`` shows it."""
    places = zip(job["chunks"], job["nodes"], strict=True)
    return "+".join(f"({name}:ncpus={cores})" for (cores, _), name in places)


@contextmanager
def server(folder: Path) -> Iterator[Server]:
    """Hold the lock of the server in a folder; what was changed is kept."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = folder / "state.json"
        found = Server(folder, json.loads(path.read_text()))
        yield found
        found.schedule()
        new = path.with_suffix(".new")
        new.write_text(json.dumps(found.data))
        new.replace(path)


def create(folder: Path, **settings: Any) -> None:
    """Make the folder of a server that has no jobs."""
    for name in ("", "bin", "jobs", "home", "spool", "tmp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    data = {"next": 1, "settings": SETTINGS | settings, "jobs": {}}
    (folder / "state.json").write_text(json.dumps(data))
    for name in ("qsub", "qstat", "qdel", "qselect", "pbsnodes", "mom"):
        command = folder / "bin" / name
        command.write_text(
            f"#!{sys.executable} -IS\n"
            f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n"
            "from pathlib import Path\n"
            "from tests.cluster.pbs.commands import main\n"
            f"sys.exit(main({name!r}, Path({str(folder)!r}), sys.argv[1:]))\n"
        )
        command.chmod(0o755)
    write_ssh(folder)


def write_ssh(folder: Path) -> None:
    """Write a program that takes the place of ssh.

    All nodes are this machine; what it starts finds the name of its node in ``FAKE_NODE``.
    """
    program = folder / "bin" / "ssh"
    program.write_text(
        "#!/bin/sh\n"
        'while [ "${1#-}" != "$1" ]; do shift; done  # options\n'
        'export FAKE_NODE="$1"\n'
        'shift\nexec /bin/sh -c "$*"\n'
    )
    program.chmod(0o755)


def start_mom(folder: Path, job_id: str) -> None:
    """Start the process that runs a job."""
    subprocess.Popen(
        [folder / "bin" / "mom", job_id],
        env={"FAKE_PBS": str(folder), "PATH": os.defpath},
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=(folder / "moms.log").open("a"),
        start_new_session=True,
    )
