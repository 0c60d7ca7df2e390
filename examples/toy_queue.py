"""A queueing system in one file, for the tutorial on schedulers and its tests.

It has what real ones have: jobs wait until cores are free, run in a folder with
an environment, are ended at their time limit or when somebody cancels them, and
leave an exit code. Its commands are::

    toyinfo                            how many cores there are
    toysub [OPTIONS] NUMBER... <FILE   submit a script, once for each number
    toystat                            list the jobs that have not ended
    toydel ID...                       cancel jobs
    toyends ID...                      tell how jobs have ended

Each is a link or a small program that runs ``toy_queue.py COMMAND ...``. All of a
queue is in the folder ``$TOY_SPOOL``. There is no server: whoever changes
something, be it a command or the end of a job, starts what fits.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

#: Cores of this machine, and seconds between SIGTERM and SIGKILL, unless the spool says otherwise.
DEFAULTS = {"cores": 2, "kill_wait": 5.0}
#: Seconds between two looks at a running job.
TICK = 0.05
ALIVE = ("PENDING", "RUNNING", "ENDING")

SPOOL = Path(os.environ.get("TOY_SPOOL", "toy-spool")).absolute()


def setting(name: str) -> Any:
    """Return what the file `name` in the spool says, or else the default."""
    path = SPOOL / name
    return json.loads(path.read_text()) if path.exists() else DEFAULTS[name]


def read(job_id: str) -> dict[str, Any]:
    """Return what is known of a job; nothing if there is none."""
    with suppress(OSError, ValueError):
        job: dict[str, Any] = json.loads((SPOOL / f"{int(job_id)}.json").read_text())
        return job
    return {}


def write(job: dict[str, Any], **changes: Any) -> None:
    """Change what is known of a job."""
    path = SPOOL / f"{job['id']}.json"
    path.with_suffix(".new").write_text(json.dumps(job | changes))
    path.with_suffix(".new").rename(path)


def all_jobs() -> list[dict[str, Any]]:
    """Return all jobs in the order in which they came."""
    return [read(i) for i in sorted((p.stem for p in SPOOL.glob("*.json")), key=int)]


@contextmanager
def alone() -> Iterator[None]:
    """Let no other process change the queue meanwhile."""
    SPOOL.mkdir(parents=True, exist_ok=True)
    with (SPOOL / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def start_what_fits() -> None:
    """Start jobs in their order until one has to wait for cores. The caller holds the lock."""
    jobs = all_jobs()
    free = setting("cores") - sum(j["cores"] for j in jobs if j["state"] in ("RUNNING", "ENDING"))
    for job in jobs:
        if job["state"] == "PENDING":
            free -= job["cores"]
            if free < 0:
                return
            write(job, state="RUNNING")
            subprocess.Popen(
                [sys.executable, __file__, "run", job["id"]],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "TOY_SPOOL": str(SPOOL)},
                start_new_session=True,
            )


def run(job_id: str) -> None:
    """Run a job to its end. This is a process of its own for each running job."""
    job = read(job_id)
    own = {"TOY_JOB_ID": job_id, "TOY_NUMBER": str(job["number"]), "TOY_CORES": str(job["cores"])}
    output = Path(job["logs"], f"{job['name']}-{job['number']}-{job_id}.out")
    with output.open("ab") as file:
        process = subprocess.Popen(
            ["/bin/bash", str(SPOOL / f"{job_id}.sh")],
            cwd=job["chdir"],
            env=job["environment"] | own,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    state, reason, deadline = "", "", time.monotonic() + job["time"]
    while process.poll() is None and not state:
        if read(job_id)["state"] == "ENDING":
            state = "CANCELLED"
        elif time.monotonic() > deadline:
            state = "TIMEOUT"
        time.sleep(TICK)
    if state:
        tell(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(setting("kill_wait"))
        reason = "it had to be ended by SIGKILL" if process.poll() is None else ""
    tell(process.pid, signal.SIGKILL)  # what the script has started ends with it
    code = process.wait()
    if not state:
        state = "FAILED" if code else "COMPLETED"
        reason = f"ended by {signal.Signals(-code).name}" if code < 0 else ""
    with alone():
        write(job, state=state, exit_code=code if code >= 0 else None, reason=reason)
        start_what_fits()


def tell(session: int, signum: int) -> None:
    """Send a signal to all processes of a job."""
    with suppress(ProcessLookupError):
        os.killpg(session, signum)


def submit(arguments: list[str]) -> None:
    """Submit jobs and print the number and the id of each."""
    parser = argparse.ArgumentParser(prog="toysub")
    parser.add_argument("--name", default="job")
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--time", type=float, default=3600.0, help="seconds until it is ended")
    parser.add_argument("--comment", default="")
    parser.add_argument("--chdir", default=".")
    parser.add_argument("--logs", default=".")
    parser.add_argument("numbers", type=int, nargs="+")
    options = vars(parser.parse_args(arguments))
    script, numbers = sys.stdin.read(), options.pop("numbers")
    if options["cores"] > setting("cores"):
        sys.exit(f"toysub: there are not so many cores: {options['cores']}")
    new = {"state": "PENDING", "submitted": time.time(), "environment": dict(os.environ)}
    with alone():
        first = len(all_jobs()) + 1
        for i, number in enumerate(numbers, first):
            (SPOOL / f"{i}.sh").write_text(script)
            write({"id": str(i), "number": number} | options | new)
            print(number, i)
        start_what_fits()


def show(jobs: list[dict[str, Any]], *names: str) -> None:
    """Print some of what is known of jobs, one JSON object a line."""
    for job in jobs:
        print(json.dumps({name: job.get(name) for name in ("id", "state", *names)}))


def delete(job_ids: list[str]) -> None:
    """Cancel jobs; those that have ended are left as they are."""
    with alone():
        for job in map(read, job_ids):
            if job.get("state") == "PENDING":
                write(job, state="CANCELLED", reason="before it began")
            elif job.get("state") == "RUNNING":
                write(job, state="ENDING")
        start_what_fits()


def main(command: str, arguments: list[str]) -> None:
    """Run one of the commands."""
    if command == "run":
        run(*arguments)
        return
    if (SPOOL / "down").exists():
        sys.exit(f"{command}: the toy queue is down")
    if command == "toysub":
        submit(arguments)
    elif command == "toydel":
        delete(arguments)
    elif command == "toyinfo":
        print(setting("cores"))
    else:
        with alone():
            jobs = all_jobs()
        if command == "toystat":
            alive = [job for job in jobs if job["state"] in ALIVE]
            show(alive, "name", "number", "comment", "submitted")
        else:
            ended = [j for j in jobs if j["id"] in arguments and j["state"] not in ALIVE]
            show(ended, "exit_code", "reason")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
