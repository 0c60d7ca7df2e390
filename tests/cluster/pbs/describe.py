"""The attributes of a job in the order in which ``qstat -f`` prints them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

from tests.cluster.pbs.state import SERVER, Job, Server, vnodes

_HOST = f"{SERVER}.lab.test"
#: In Variable_List these have a backslash before them.
_SPECIAL = re.compile(r"([,\\\"'])")


def described(pbs: Server, job: Job, array: Job | None) -> Iterator[tuple[str, str]]:
    """Yield names and values of a job's attributes.

    A member of an array that has not begun, or of which nothing is kept, is
    shown as a copy of the array, but for its state.
    """
    if pbs.is_torque:
        yield from _as_torque(job)
        return
    has_begun = job["run_count"] > 0 and job["state"] not in {"Q", "H", "W"}
    if array is not None and (not has_begun or _is_forgotten(pbs, job)):
        comment = "Subjob finished" if job["state"] == "X" else job["comment"] or array["comment"]
        hold = job["hold"] if job["hold"] != "n" else array["hold"]
        copy = array | {"state": job["state"], "comment": comment, "hold": hold}
        yield from _attributes(copy, is_member=False)
        return
    yield from _attributes(job, is_member=array is not None)
    if job["is_array"]:
        yield from _of_array(pbs, job)
    yield "project", "_pbs_project_default"
    yield "Submit_Host", _HOST


def _as_torque(job: Job) -> Iterator[tuple[str, str]]:
    """Yield what Torque shows: members of arrays are jobs like all others."""
    number = [] if job["array"] is None else [("job_array_id", str(job["index"]))]
    for name, value in (*_attributes(job, is_member=False), *number):
        if name not in {"substate", "Resource_List.select"}:
            yield ("exit_status" if name == "Exit_status" else name), value


def _is_forgotten(pbs: Server, job: Job) -> bool:
    return job["state"] == "X" and not pbs.settings["history"]


def _attributes(job: Job, *, is_member: bool) -> Iterator[tuple[str, str]]:
    index = str(job["index"]) if is_member else "^array_index^"
    yield "Job_Name", job["name"]
    yield "Job_Owner", f"{job['owner']}@{_HOST}"
    yield "job_state", job["state"]
    yield "queue", job["queue"]
    yield "server", "other-head" if job["is_moved"] else SERVER
    if not is_member:
        yield "Checkpoint", "u"
    yield "ctime", _date(job["created"])
    yield "Error_Path", f"{_HOST}:{job['err'].replace('^array_index^', index)}"
    if job["nodes"] is not None:
        yield "exec_host", "+".join(f"{name}/0" for name in job["nodes"])
        yield "exec_vnode", vnodes(job)
    if not is_member:
        yield "Hold_Types", job["hold"]
    yield "Join_Path", job["join"]
    yield "Keep_Files", job["keep"]
    yield "Mail_Points", "a"
    yield "mtime", _date(job["changed"])
    yield "Output_Path", f"{_HOST}:{job['out'].replace('^array_index^', index)}"
    yield "Priority", "0"
    yield "qtime", _date(job["created"])
    yield "Rerunable", "True"
    yield "Resource_List.ncpus", str(job["cores"])
    yield "Resource_List.select", job["select"]
    if job["walltime"] is not None:
        yield "Resource_List.walltime", _span(job["walltime"])
    if job["began"] is not None:
        yield "stime", _date(job["began"])
    yield "substate", str({"R": 42, "B": 70}.get(job["state"], job["substate"]))
    yield (
        "Variable_List",
        f"PBS_O_WORKDIR={_SPECIAL.sub(_escaped, job['workdir'])},PBS_O_QUEUE={job['queue']}",
    )
    if job["comment"]:
        yield "comment", job["comment"]
    yield "etime", _date(job["created"])
    if job["run_count"]:
        yield "run_count", str(job["run_count"])
    if job["status"] is not None:
        yield "Exit_status", str(job["status"])
    if is_member:
        yield "array_id", job["array"]
        yield "array_index", str(job["index"])
    else:
        yield "Submit_arguments", job["arguments"].replace("\n", "\\n")


def _of_array(pbs: Server, array: Job) -> Iterator[tuple[str, str]]:
    states = [job["state"] for job in pbs.members(array)]
    yield "array", "True"
    counts = {"Queued": "Q", "Running": "R", "Exiting": "E", "Expired": "X"}
    yield (
        "array_state_count",
        " ".join(f"{word}:{states.count(state)}" for word, state in counts.items()) + " ",
    )
    yield "array_indices_submitted", array["indices"]


def _escaped(match: re.Match[str]) -> str:
    return f"\\{match[1]}"


def _span(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _date(seconds: float) -> str:
    return time.strftime("%a %b %d %H:%M:%S %Y", time.localtime(seconds))
