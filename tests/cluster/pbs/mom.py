"""The process that runs a job, as pbs_mom does: a login shell, its output, its end."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from tests.cluster.pbs.state import SERVER, Job, server

#: After so many starts in vain the server holds a job.
_MAX_STARTS = 20
_HELD = "job held, too many failed attempts to run"
#: Seconds between two looks at the clock.
_TICK = 0.05
_SIGNALS = {signal.SIGCHLD, signal.SIGUSR1}
#: What the exit status of a job says that reached its walltime.
_OVERTIME, _OVERTIME_OF_TORQUE = -29, -11


def run_job(folder: Path, job_id: str) -> None:
    """Run a job until it ends, and tell the server."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    with server(folder) as pbs:
        job = pbs.jobs[job_id]
        job["mom"] = os.getpid()
    output = _output(folder, job)
    try:
        file = output.open("ab" if job["run_count"] > 1 else "wb")
    except OSError:
        _give_back(folder, job_id)
        return
    with file:
        shell = _start(folder, job, file)
    status, end = _watch(folder, job, shell)
    while _session(shell.pid):
        _kill(shell.pid, signal.SIGKILL)
        time.sleep(_TICK)
    with server(folder) as pbs:
        job = pbs.jobs.get(job_id, {"mom": None})
        if job["mom"] != os.getpid():
            return  # the server has given up the node, and the job is somewhere else
        if end == "requeued":
            job.update(state="Q", nodes=None, mom=None, request=None)
        else:
            pbs.finish(job, status, end)
            _deliver(job, output)


def _output(folder: Path, job: Job) -> Path:
    """Return the file into which the job writes."""
    if "d" not in job["keep"]:
        return folder / "spool" / f"{job['id']}.OU"
    return _final(job)


def _final(job: Job) -> Path:
    path = job["out"].replace("^array_index^", str(job["index"]))
    return Path(path) / f"{job['id']}.OU" if path.endswith("/") else Path(path)


def _deliver(job: Job, output: Path) -> None:
    if "d" not in job["keep"] and _final(job) != Path("/dev/null"):
        with suppress(OSError):
            shutil.copy(output, _final(job))


def _give_back(folder: Path, job_id: str) -> None:
    """Put a job that could not be started back into the queue; or hold it at last."""
    with server(folder) as pbs:
        job = pbs.jobs[job_id]
        job.update(state="Q", nodes=None, mom=None)
        if job["run_count"] > _MAX_STARTS:
            job.update(state="H", hold="s", comment=_HELD)


def _start(folder: Path, job: Job, output) -> subprocess.Popen[bytes]:
    script = folder / "jobs" / f"{job['id']}.SC"
    shutil.copy(folder / "jobs" / job["script"], script)
    script.chmod(0o700)
    shell = subprocess.Popen(
        ["-bash"],  # with Torque it is the shell that -S names
        executable="/bin/bash",
        env=_environment(folder, job),
        cwd=folder / "home",
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=output,
        umask=0o077,
        start_new_session=True,
        preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS),  # noqa: PLW1509
    )
    # Torque gives a script to a shell, and does not look at its first line.
    shell.stdin.write(script.read_bytes() if job["is_torque"] else f"{script}\n".encode())
    shell.stdin.close()
    return shell


def _environment(folder: Path, job: Job) -> dict[str, str]:
    user = pwd.getpwuid(os.getuid()).pw_name
    nodefile = folder / "jobs" / f"{job['id']}.nodes"
    places = zip(job["chunks"], job["nodes"], strict=True)
    nodefile.write_text("".join(f"{name}\n" * processes for (_, processes), name in places))
    variables = {
        "FAKE_PBS": str(folder),
        "ENVIRONMENT": "BATCH",
        "HOME": str(folder / "home"),
        "LOGNAME": user,
        "USER": user,
        "SHELL": "/bin/bash",
        "PATH": os.defpath,
        "TMPDIR": str(folder / "tmp"),
        "NCPUS": str(job["chunks"][0][0]),
        "OMP_NUM_THREADS": str(job["chunks"][0][0]),
        "PBS_ENVIRONMENT": "PBS_BATCH",
        "PBS_JOBID": job["id"],
        "PBS_JOBNAME": job["name"],
        "PBS_NODEFILE": str(nodefile),
        "PBS_O_WORKDIR": job["workdir"],
        "PBS_QUEUE": job["queue"],
    }
    if job["array"]:
        of_pbs = {"PBS_ARRAY_ID": job["array"], "PBS_ARRAY_INDEX": str(job["index"])}
        variables |= {"PBS_ARRAYID": str(job["index"])} if job["is_torque"] else of_pbs
    return variables


def _watch(folder: Path, job: Job, shell: subprocess.Popen[bytes]) -> tuple[int, str]:
    """Return the exit status of a job, and how its end is called."""
    kill_at, is_overtime = None, False
    deadline = time.monotonic() + job["walltime"] if job["walltime"] else None
    request, kill_delay = _request_for(folder, job["id"])
    is_told = request is not None
    # Like pbs_mom, wait for those that go on after they were told to end.
    while shell.poll() is None or (kill_at is not None and _session(shell.pid)):
        now = time.monotonic()
        if is_told and request == "requeue":
            _kill(shell.pid, signal.SIGKILL)
        elif is_told or (deadline is not None and now >= deadline):
            is_overtime = is_overtime or not is_told or request == "overtime"
            deadline, is_told = None, False
            _kill(shell.pid, signal.SIGTERM)
            kill_at = now + kill_delay
        if kill_at is not None and now >= kill_at:
            _kill(shell.pid, signal.SIGKILL)
        caught = signal.sigtimedwait(_SIGNALS, _TICK)
        if caught is not None and caught.si_signo == signal.SIGUSR1 and request is None:
            request, kill_delay = _request_for(folder, job["id"])
            is_told = request is not None
    code = shell.returncode
    status = 256 - code if code < 0 else code
    if request == "requeue":
        return status, "requeued"
    if request == "delete":
        return status, f"terminated by {job['owner']}@{SERVER}.lab.test"
    if is_overtime:
        return _OVERTIME_OF_TORQUE if job["is_torque"] else _OVERTIME, "failed"
    return status, "finished" if status == 0 else "failed"


def _request_for(folder: Path, job_id: str) -> tuple[str | None, float]:
    with server(folder) as pbs:
        return pbs.jobs[job_id]["request"], pbs.settings["kill_delay"]


def _kill(session: int, signum: signal.Signals) -> None:
    """Send a signal to all processes of a session."""
    for pid in _session(session):
        with suppress(ProcessLookupError):
            os.kill(pid, signum)


def _session(session: int) -> list[int]:
    """Return the processes of a session, without those that have ended."""
    paths = (path for path in Path("/proc").iterdir() if path.name.isdigit())
    return [int(path.name) for path in paths if _is_in(session, path)]


def _is_in(session: int, process: Path) -> bool:
    try:
        state, _, _, own = (process / "stat").read_text().rpartition(")")[2].split()[:4]
    except OSError:
        return False
    return int(own) == session and state not in "ZX"
